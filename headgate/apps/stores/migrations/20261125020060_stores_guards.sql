-- What protects the rows: deletions remembered, children that wait for their parent, what could not be read, and
-- whether the sums tie.
create table stores.tombstones (
    connection_id bigint not null references stores.connections on delete cascade,
    kind text not null check (kind in ('order', 'customer', 'product', 'variant', 'line_item')),
    shopify_id bigint not null,
    deleted_at timestamptz not null default now(),
    reason text not null default 'deleted',
    primary key (connection_id, kind, shopify_id)
);
comment on table stores.tombstones is
    'Deleted objects. Shopify never gives a number twice, so nothing with these numbers is ever taken again.';
alter table stores.tombstones enable row level security;
create policy tombstones_read on stores.tombstones for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy tombstones_write on stores.tombstones for all to service_role using (true) with check (true);
grant select on stores.tombstones to authenticated;
grant select, insert, update, delete on stores.tombstones to service_role;

create table stores.orphans (
    operation_id bigint not null references stores.bulk_operations on delete cascade,
    line bigint not null,
    connection_id bigint not null,
    parent_kind text not null,
    parent_id bigint not null,
    doc jsonb not null,
    kept_at timestamptz not null default now(),
    primary key (operation_id, line)
);
create index orphans_parent on stores.orphans (operation_id, parent_id);
create index orphans_connection on stores.orphans (connection_id);
comment on table stores.orphans is
    'Children whose parent has not come yet: they wait here and are joined when it does.';
alter table stores.orphans enable row level security;
create policy orphans_read on stores.orphans for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy orphans_write on stores.orphans for all to service_role using (true) with check (true);
grant select on stores.orphans to authenticated;
grant select, insert, update, delete on stores.orphans to service_role;

create table stores.dead_letters (
    id bigint generated always as identity primary key,
    connection_id bigint not null references stores.connections on delete cascade,
    operation_id bigint,
    line bigint,
    reason text not null,
    raw text,
    at timestamptz not null default now()
);
create index dead_letters_connection on stores.dead_letters (connection_id, id desc);
create index dead_letters_operation on stores.dead_letters (operation_id, line);
comment on table stores.dead_letters is
    'What could not be read, with the reason, for a person to look at.';
alter table stores.dead_letters enable row level security;
create policy dead_letters_read on stores.dead_letters for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy dead_letters_write on stores.dead_letters for all to service_role using (true) with check (true);
grant select on stores.dead_letters to authenticated;
grant select, insert, update, delete on stores.dead_letters to service_role;

create table stores.reconciliations (
    id bigint generated always as identity primary key,
    connection_id bigint not null references stores.connections on delete cascade,
    run_id bigint,
    state text not null check (state in ('tied', 'open')),
    orders bigint not null,
    tied bigint not null,
    findings jsonb not null default '[]',
    at timestamptz not null default now()
);
create index reconciliations_connection on stores.reconciliations (connection_id, id desc);
comment on table stores.reconciliations is
    'Each comparison of the ledger with Shopify''s own totals and counts.';
alter table stores.reconciliations enable row level security;
create policy reconciliations_read on stores.reconciliations for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy reconciliations_write on stores.reconciliations for all to service_role using (true) with check (true);
grant select on stores.reconciliations to authenticated;
grant select, insert, update, delete on stores.reconciliations to service_role;

create table stores.untied_orders (
    reconciliation_id bigint not null references stores.reconciliations on delete cascade,
    connection_id bigint not null,
    order_id bigint not null,
    name text,
    currency text,
    current_total_price numeric,
    ledger numeric,
    difference numeric,
    primary key (reconciliation_id, order_id)
);
create index untied_orders_connection on stores.untied_orders (connection_id);
comment on table stores.untied_orders is
    'The orders whose ledger does not add up to currentTotalPrice, by name and amount.';
alter table stores.untied_orders enable row level security;
create policy untied_orders_read on stores.untied_orders for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy untied_orders_write on stores.untied_orders for all to service_role using (true) with check (true);
grant select on stores.untied_orders to authenticated;
grant select, insert, update, delete on stores.untied_orders to service_role;

-- The versions of the parents that a file has told, for its children. Unlogged: a crash of PostgreSQL empties it, and
-- the ingest of that file then starts again from its first line.
create unlogged table stores.file_parents (
    operation_id bigint not null,
    kind "char" not null,
    shopify_id bigint not null,
    order_id bigint not null,
    version timestamptz not null,
    day date,
    currency text,
    counted boolean not null default true,
    reason text,
    line bigint,
    stale boolean not null default false,
    dead boolean not null default false,
    primary key (operation_id, kind, shopify_id)
);
comment on table stores.file_parents is
    'Parents of one file while it is ingested: o an order, a an agreement, p a product. stale: a newer version is there
    by now, so children may only add what is missing. dead: it was deleted.';
alter table stores.file_parents enable row level security;
create policy file_parents_write on stores.file_parents for all to service_role using (true) with check (true);
