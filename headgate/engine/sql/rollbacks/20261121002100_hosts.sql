drop table control.hosts;
