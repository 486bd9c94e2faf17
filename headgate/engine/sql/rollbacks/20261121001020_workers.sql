drop function control.beat_worker;
drop function control.start_worker;
drop table control.workers;
