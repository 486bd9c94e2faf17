drop table control.queues;
drop table control.lanes;
drop table control.jobs;
