-- How a sync stands: milestones for people, runs, bulk operations, positions.
create table public.shop_milestones (
    connection_id bigint not null,
    label text not null check (label in ('connected', 'recent', 'orders', 'customers', 'products', 'reconciled')),
    status text not null default 'pending'
        check (status in ('pending', 'queued', 'in_progress', 'completed', 'partial', 'error')),
    entity text,
    rows_written bigint not null default 0,
    total_rows bigint,
    objects_seen bigint not null default 0,
    verified boolean not null default false,
    detail jsonb not null default '{}',
    error text,
    started_at timestamptz,
    completed_at timestamptz,
    updated_at timestamptz not null default now(),
    primary key (connection_id, label)
);
comment on table public.shop_milestones is
    'How far the sync of a connection is, one row per milestone.';
comment on column public.shop_milestones.detail is
    'What is missing where the status is partial; the present state of the work; since when it waits.';
comment on column public.shop_milestones.verified is
    'Counted against what Shopify says is there.';
alter table public.shop_milestones enable row level security;
create policy shop_milestones_read on public.shop_milestones for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_milestones_write on public.shop_milestones for all to service_role using (true) with check (true);
grant select on public.shop_milestones to authenticated;
grant select, insert, update, delete on public.shop_milestones to service_role;

create table stores.sync_runs (
    id bigint generated always as identity primary key,
    connection_id bigint not null references stores.connections on delete cascade,
    kind text not null check (kind in ('full', 'incremental')),
    state text not null default 'running' check (state in ('running', 'completed', 'partial', 'failed', 'cancelled')),
    missing jsonb not null default '[]',
    error text,
    started_at timestamptz not null default now(),
    finished_at timestamptz
);
create index sync_runs_connection on stores.sync_runs (connection_id, id desc);
comment on table stores.sync_runs is
    'One row per sync of a connection. partial: it ended and missing says what is not there.';
alter table stores.sync_runs enable row level security;
create policy sync_runs_read on stores.sync_runs for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy sync_runs_write on stores.sync_runs for all to service_role using (true) with check (true);
grant select on stores.sync_runs to authenticated;
grant select, insert, update, delete on stores.sync_runs to service_role;

create table stores.bulk_operations (
    id bigint generated always as identity primary key,
    run_id bigint not null references stores.sync_runs on delete cascade,
    connection_id bigint not null references stores.connections on delete cascade,
    entity text not null check (entity in ('orders', 'customers', 'products')),
    state text not null default 'queued' check (state in
        ('queued', 'waiting_slot', 'submitted', 'running_remote', 'downloading', 'staged', 'verified', 'promoted',
         'completed', 'partial', 'retrying', 'failed', 'cancelled')),
    query text,
    submitting_at timestamptz,
    gid text,
    remote_status text,
    error_code text,
    remote_created_at timestamptz,
    object_count bigint,
    root_object_count bigint,
    file_size bigint,
    url text,
    is_partial boolean not null default false,
    expected_roots bigint,
    expected_after bigint,
    bytes bigint not null default 0,
    lines bigint not null default 0,
    roots bigint not null default 0,
    rejected bigint not null default 0,
    duplicates bigint not null default 0,
    late_polls integer not null default 0,
    orphans bigint not null default 0,
    attempts integer not null default 0,
    missing jsonb not null default '[]',
    error text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    finished_at timestamptz
);
create index bulk_operations_connection on stores.bulk_operations (connection_id, id desc);
create index bulk_operations_run on stores.bulk_operations (run_id);
create index bulk_operations_gid on stores.bulk_operations (gid);
comment on table stores.bulk_operations is
    'One row per bulk operation asked of Shopify, from wish to promoted rows.';
comment on column stores.bulk_operations.submitting_at is
    'Set before the request to Shopify is sent: a process that dies between it and gid left an operation to look for.';
comment on column stores.bulk_operations.expected_roots is
    'What Shopify''s own count said before; expected_after: after.';
alter table stores.bulk_operations enable row level security;
create policy bulk_operations_read on stores.bulk_operations for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy bulk_operations_write on stores.bulk_operations for all to service_role using (true) with check (true);
grant select on stores.bulk_operations to authenticated;
grant select, insert, update, delete on stores.bulk_operations to service_role;

create table stores.positions (
    connection_id bigint not null references stores.connections on delete cascade,
    entity text not null check (entity in ('orders', 'customers', 'products', 'inventory')),
    updated_to timestamptz not null,
    verified_at timestamptz,
    primary key (connection_id, entity)
);
comment on table stores.positions is
    'Up to which updatedAt every change of an entity is known to be here.';
alter table stores.positions enable row level security;
create policy positions_read on stores.positions for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy positions_write on stores.positions for all to service_role using (true) with check (true);
grant select on stores.positions to authenticated;
grant select, insert, update, delete on stores.positions to service_role;
