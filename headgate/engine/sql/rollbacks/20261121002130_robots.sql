drop table control.robots;
