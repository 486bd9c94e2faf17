-- Keys of rollups whose rows are out of date. Promote marks them in its own transaction; one row per key, whose lock
-- makes refreshers of one key take turns.
create table control.rollup_dirty (
    rollup text        not null,
    key    jsonb       not null,
    since  timestamptz not null default clock_timestamp(),
    primary key (rollup, key)
);
create index rollup_dirty_oldest on control.rollup_dirty (rollup, since);
comment on table control.rollup_dirty is 'Keys to recompute: the rollup (app.name), the key as an object, since when.';
grant select, insert, update, delete on control.rollup_dirty to service_role;
alter table control.rollup_dirty enable row level security;
create policy rollup_dirty_service on control.rollup_dirty for all to service_role using (true) with check (true);
