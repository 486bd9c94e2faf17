drop function control.drop_schedules;
drop function control.put_schedule;
drop function control.fire_schedule;
drop table control.schedules;
