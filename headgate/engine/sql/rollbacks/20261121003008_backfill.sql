drop trigger backfill_settle on control.runs;
drop trigger backfill_adopt on control.runs;
drop function control.backfill_adopt();
drop function control.backfill_settle();
drop function control.backfill_take(bigint);
drop table control.backfill_chunks;
drop table control.backfills;
