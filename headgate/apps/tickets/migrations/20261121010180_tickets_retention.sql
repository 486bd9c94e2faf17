-- Partitions by month, made ahead; retention drops whole ones.

create function tickets.month_of(p_partition text) returns date
language sql immutable strict
return to_date(substring(p_partition from '_(\d{6})$'), 'YYYYMM');
comment on function tickets.month_of is 'The month a partition is named for; null for the default one.';

create function tickets.make_partition(p_parent regclass, p_key name, p_month date) returns boolean
language plpgsql set search_path = '' as $$
declare
    v_base text := (select c.relname from pg_catalog.pg_class c where c.oid = p_parent);
    v_name text := v_base || to_char(p_month, '_YYYYMM');
    v_from timestamptz := p_month::timestamp at time zone 'UTC';
    v_to timestamptz := (p_month + interval '1 month')::timestamp at time zone 'UTC';
    v_is_date boolean := (select a.atttypid = 'date'::regtype from pg_catalog.pg_attribute a
                          where a.attrelid = p_parent and a.attname = p_key);
    v_low text := case when v_is_date then p_month::text else v_from::text end;
    v_high text := case when v_is_date then (p_month + interval '1 month')::date::text else v_to::text end;
begin
    if to_regclass(format('tickets.%I', v_name)) is not null then
        return false;
    end if;
    perform pg_advisory_xact_lock(tickets.number_of('tickets.retention'));
    execute format('create table tickets.%I (like %s including defaults including constraints including storage)',
                   v_name, p_parent);
    execute format('alter table tickets.%I enable row level security', v_name);
    -- rows that came before their partition wait in the default one
    execute format('lock table tickets.%I in access exclusive mode', v_base || '_default');
    execute format('with moved as (delete from tickets.%I where %I >= %L and %I < %L returning *) '
                   'insert into tickets.%I select * from moved',
                   v_base || '_default', p_key, v_low, p_key, v_high, v_name);
    execute format('alter table %s attach partition tickets.%I for values from (%L) to (%L)',
                   p_parent, v_name, v_low, v_high);
    return true;
end $$;
comment on function tickets.make_partition is 'Make the partition of a month; false when it is there.';

create view tickets.partitioned with (security_invoker = true) as
select p.parent::regclass as parent, p.key::name as key, p.kind
from (values ('public.polls', 'observed_at', 'spans'), ('tickets.spans', 'valid_to', 'spans'),
             ('tickets.packs', 'valid_to', 'spans'),
             ('public.listing_spans_sealed', 'day', 'spans'), ('public.rollup_hours', 'hour', 'hours'),
             ('public.rollup_hour_sections', 'hour', 'hours')) p(parent, key, kind);
comment on view tickets.partitioned is 'Tables partitioned by month, their key, and which retention they follow.';
grant select on tickets.partitioned to service_role;

create function tickets.ensure_partitions(p_from date default null, p_months integer default 3) returns integer
language plpgsql set search_path = '' as $$
declare
    v_first date := date_trunc('month', coalesce(p_from, (now() at time zone 'UTC')::date))::date;
    v_made integer := 0;
    r record;
begin
    perform pg_advisory_xact_lock(tickets.number_of('tickets.partitions'));
    for r in
        select t.parent, t.key, (v_first + make_interval(months => m))::date as month
        from tickets.partitioned t cross join generate_series(0, p_months) m
        order by m, t.parent::text
    loop
        v_made := v_made + tickets.make_partition(r.parent, r.key, r.month)::integer;
    end loop;
    return v_made;
end $$;
comment on function tickets.ensure_partitions is
    'Make the partitions from the month of p_from (now) and so many months after; how many were made. What has none waits '
    'in the default partition and is moved when it is made.';

create function tickets.drop_before(p_kind text, p_before date) returns integer
language plpgsql set search_path = '' as $$
declare
    r record;
    v_n integer := 0;
begin
    for r in
        select c.oid::regclass as name
        from tickets.partitioned t
        join pg_catalog.pg_inherits i on i.inhparent = t.parent
        join pg_catalog.pg_class c on c.oid = i.inhrelid
        where t.kind = p_kind and tickets.month_of(c.relname) < p_before
        order by c.relname
    loop
        execute format('drop table %s', r.name);
        v_n := v_n + 1;
    end loop;
    for r in select t.parent, t.key from tickets.partitioned t where t.kind = p_kind loop
        execute format('delete from %s where %I < %L', r.parent, r.key, p_before::timestamp at time zone 'UTC');
    end loop;
    return v_n;
end $$;
comment on function tickets.drop_before is
    'Drop the partitions of months before p_before, and such rows of the default one; how many partitions.';

create function tickets.retain(p_now timestamptz default now(), p_span_months integer default 4,
                               p_hour_months integer default 6) returns jsonb
-- less than a second, so that it is retention that gives way to a reader in a deadlock, and is tried again
language plpgsql set search_path = '' set lock_timeout = '900ms' as $$
declare
    v_spans date := date_trunc('month', (p_now at time zone 'UTC') - make_interval(months => p_span_months))::date;
    v_hours date := date_trunc('month', (p_now at time zone 'UTC') - make_interval(months => p_hour_months))::date;
    v_cut timestamptz := v_spans::timestamp at time zone 'UTC';
    v_dropped integer := 0;
begin
    if p_hour_months < p_span_months then
        raise exception 'Hours (% months) must be kept at least as long as spans (% months).',
            p_hour_months, p_span_months using errcode = 'invalid_parameter_value';
    end if;
    perform pg_advisory_xact_lock(tickets.number_of('tickets.partitions'));
    -- From here no poll and no refresher is under way, and no hour is marked. An hour still to be recomputed needs the spans.
    perform pg_advisory_xact_lock(tickets.number_of('tickets.retention'));
    lock table public.rollup_dirty in exclusive mode;
    if exists (select from public.rollup_dirty d where d.hour < v_cut + interval '1 hour') then
        return jsonb_build_object('dropped', 0, 'waits_for', 'refresh',
            'dirty', (select count(*) from public.rollup_dirty d where d.hour < v_cut + interval '1 hour'));
    end if;
    update tickets.horizon h
    set spans_from = greatest(h.spans_from, v_cut),
        hours_from = greatest(h.hours_from, v_hours::timestamp at time zone 'UTC');
    v_dropped := tickets.drop_before('spans', v_spans) + tickets.drop_before('hours', v_hours);
    return jsonb_build_object('dropped', v_dropped, 'spans_from', v_spans, 'hours_from', v_hours);
end $$;
comment on function tickets.retain is
    'Drop spans and polls of months before the last p_span_months and hours before p_hour_months; days stay for ever. '
    'Drops nothing while an hour of the range is dirty, and says so. Raises lock_not_available when others are in the way.';

revoke all on function tickets.make_partition(regclass, name, date), tickets.ensure_partitions(date, integer),
    tickets.drop_before(text, date), tickets.retain(timestamptz, integer, integer) from public;
grant execute on function tickets.ensure_partitions(date, integer), tickets.retain(timestamptz, integer, integer)
    to service_role;

select tickets.ensure_partitions(null, 3);
