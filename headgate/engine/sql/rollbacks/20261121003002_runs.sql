drop table control.rejects;
drop table control.run_steps;
drop table control.runs;
drop table control.cursors;
