-- Rows of the months' partitions go back to the default ones.
do $$
declare
    r record;
begin
    for r in
        select t.parent, c.oid::regclass as name
        from tickets.partitioned t
        join pg_catalog.pg_inherits i on i.inhparent = t.parent
        join pg_catalog.pg_class c on c.oid = i.inhrelid
        where tickets.month_of(c.relname) is not null
    loop
        execute format('alter table %s detach partition %s', r.parent, r.name);
        execute format('insert into %s select * from %s', r.parent, r.name);
        execute format('drop table %s', r.name);
    end loop;
end $$;
drop function tickets.retain(timestamptz, integer, integer);
drop function tickets.drop_before(text, date);
drop function tickets.ensure_partitions(date, integer);
drop view tickets.partitioned;
drop function tickets.make_partition(regclass, name, date);
drop function tickets.month_of(text);
