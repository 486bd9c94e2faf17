drop function control.sweep_replies(integer);
drop table control.replies;
drop table control.bodies;
