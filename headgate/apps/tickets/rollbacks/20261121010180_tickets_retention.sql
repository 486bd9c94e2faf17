drop function tickets.retain(timestamptz, integer, integer);
drop function tickets.drop_before(text, date);
drop function tickets.ensure_partitions(date, integer);
drop view tickets.partitioned;
drop function tickets.make_partition(regclass, name, date);
drop function tickets.month_of(text);
