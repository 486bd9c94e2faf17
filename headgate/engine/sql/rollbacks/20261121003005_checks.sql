drop function control.hold_decide(bigint, text, text);
drop function control.hold_restage(bigint, bigint);
drop function control.hold_batch(bigint, bigint, text);
drop table control.held_rows;
drop table control.holds;
drop table control.findings;
