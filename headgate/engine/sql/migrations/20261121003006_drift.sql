-- Schema drift: which fields a source sends and of which type. Names and types only, never values.
create table control.fields (
    source        text        not null,
    path          text        not null,
    types         text[]      not null,
    optional      boolean     not null,
    first_seen_at timestamptz not null default now(),
    last_seen_at  timestamptz not null default now(),
    missing_since timestamptz,
    primary key (source, path)
);
comment on table control.fields is
    'Fields seen per source, to three levels, at most 400. optional: some row lacked it. last_seen_at is exact to the hour.';

create table control.drift (
    id      bigint generated always as identity primary key,
    source  text        not null,
    path    text        not null,
    kind    text        not null check (kind in ('new', 'missing', 'returned', 'type')),
    type    text,
    run_id  bigint      not null,
    at      timestamptz not null default now()
);
create index drift_by_source on control.drift (source, at desc);
comment on table control.drift is 'Each change of a source''s fields since its first batch: one row per change.';

grant select, insert, update, delete on control.fields, control.drift to service_role;
alter table control.fields enable row level security;
alter table control.drift enable row level security;
create policy fields_service on control.fields for all to service_role using (true) with check (true);
create policy drift_service on control.drift for all to service_role using (true) with check (true);

-- Looks at up to 100 rows spread over the batch; integers and other numbers are two types. Writes only when something changed, or once an hour per field.
create function control.record_drift(p_source text, p_run bigint, p_batch bigint, p_rows bigint) returns void
language sql set search_path = '' as $$
    with sample as materialized (
        select doc from stage.rows
        where batch_id = p_batch and line > 0 and line % greatest(p_rows / 100, 1) = 0
        limit 100
    ), total as (
        select count(*) as n from sample
    ), one as (
        select e.key as path, e.value from sample, jsonb_each(doc) e
    ), two as (
        select one.path || '.' || e.key as path, e.value
        from one, jsonb_each(case jsonb_typeof(one.value) when 'object' then one.value else '{}' end) e
    ), three as (
        select two.path || '.' || e.key as path, e.value
        from two, jsonb_each(case jsonb_typeof(two.value) when 'object' then two.value else '{}' end) e
    ), typed as (
        select path, case jsonb_typeof(value)
                when 'null' then null
                when 'number' then case strpos(value::text, '.') when 0 then 'integer' else 'number' end
                when 'array' then 'array of ' || coalesce(jsonb_typeof(value -> 0), 'nothing')
                else jsonb_typeof(value) end as type
        from (select * from one union all select * from two union all select * from three) f
    ), seen as materialized (
        select path, sum(n) as n, coalesce(array_agg(type order by type) filter (where type is not null), '{}') as types
        from (select path, type, count(*) as n from typed group by path, type) g
        group by path
    ), known as materialized (
        select * from control.fields where source = p_source order by path for update
    ), added as (
        insert into control.fields (source, path, types, optional)
        select p_source, s.path, s.types, s.n < t.n
        from seen s cross join total t
        where not exists (select from known k where k.path = s.path)
        order by s.path
        limit greatest(400 - (select count(*) from known), 0)
        on conflict do nothing
        returning path, types
    ), changes as materialized (
        select k.path, s.types, s.path is null as absent, s.n < t.n as partial, k.types as old, k.missing_since,
            array(select distinct u from unnest(k.types || coalesce(s.types, '{}')) u order by u) as merged,
            k.optional, k.last_seen_at
        from known k cross join total t left join seen s on s.path = k.path
        where t.n > 0
    ), updated as (
        update control.fields f set
            types = c.merged,
            optional = f.optional or coalesce(c.partial, false),
            missing_since = case when c.absent then coalesce(f.missing_since, now()) end,
            last_seen_at = case when c.absent then f.last_seen_at else now() end
        from changes c
        where f.source = p_source and f.path = c.path and (
            c.merged <> c.old
            or (c.partial and not c.optional)
            or (c.absent and not c.optional and c.missing_since is null)
            or (not c.absent and (c.missing_since is not null or c.last_seen_at < now() - interval '1 hour')))
    )
    insert into control.drift (source, path, kind, type, run_id)
    select p_source, path, 'new', types[1], p_run from added where exists (select from known)
    union all
    select p_source, path, 'missing', old[1], p_run from changes
    where absent and not optional and missing_since is null
    union all
    select p_source, path, 'returned', types[1], p_run from changes where not absent and missing_since is not null
    union all
    select p_source, path, 'type', array_to_string(types, ', '), p_run from changes
    where not types <@ old and old <> '{}'
$$;
comment on function control.record_drift is 'Compares the fields of a staged batch with those known of its source.';
