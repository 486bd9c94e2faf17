-- Brands, who belongs to them, and the shops connected to them. Every other table of the application hangs on these.
create schema stores;
comment on schema stores is 'Shopify shops in sync: connections, orders, customers, products, and the money they made.';
revoke all on schema stores from public;
grant usage on schema stores to anon, authenticated, service_role;

create table stores.brands (
    id uuid primary key default gen_random_uuid(),
    name text not null check (length(name) between 1 and 200),
    created_by uuid,
    created_at timestamptz not null default now()
);
comment on table stores.brands is 'A brand: who may see what. It may have several shops.';

create table stores.brand_members (
    brand_id uuid not null references stores.brands on delete cascade,
    user_id uuid not null,
    role text not null default 'viewer' check (role in ('owner', 'admin', 'viewer')),
    added_at timestamptz not null default now(),
    primary key (brand_id, user_id)
);
create index brand_members_user on stores.brand_members (user_id);
comment on table stores.brand_members is
    'Who may see a brand. owner and admin may connect and disconnect shops; viewer may look.';

create table stores.connections (
    id bigint generated always as identity primary key,
    brand_id uuid not null references stores.brands on delete cascade,
    shop_domain text not null check (shop_domain ~ '^[a-z0-9][a-z0-9-]*\.myshopify\.com$'),
    shop_id bigint,
    name text,
    state text not null default 'connected'
        check (state in ('connected', 'error', 'disconnected', 'uninstalled', 'redacted')),
    shared boolean not null default false,
    api_version text not null check (api_version ~ '^(20\d\d-(01|04|07|10)|unstable)$'),
    scopes text[] not null default '{}',
    time_zone text not null default 'UTC',
    currency text check (currency ~ '^[A-Z]{3}$'),
    coverage jsonb not null default '{}',
    error text,
    connected_by uuid,
    connected_at timestamptz not null default now(),
    uninstalled_at timestamptz,
    redacted_at timestamptz,
    updated_at timestamptz not null default now(),
    unique (brand_id, shop_domain)
);
-- A shop is live on one brand, unless the operator allows sharing: then each further one is marked as shared.
create unique index connections_one_brand on stores.connections (shop_domain)
    where state in ('connected', 'error') and not shared;
create index connections_shop on stores.connections (shop_domain);
comment on table stores.connections is 'A shop connected to a brand. Its rows everywhere are keyed by this id.';
comment on column stores.connections.state is
    'connected: in sync. error: live, but something needs a person (see error). disconnected: we let go. uninstalled: '
    'the merchant removed the app. redacted: the shop''s data was erased.';
comment on column stores.connections.shared is 'Allowed beside the same shop on another brand.';
comment on column stores.connections.time_zone is 'The shop''s IANA time zone; its days are counted there.';
comment on column stores.connections.currency is 'The shop''s currency (ISO 4217).';
comment on column stores.connections.coverage is
    'What can be read at all: orders ("all", "60_days" without read_all_orders, or "none"), orders_from (timestamp or '
    'null), reason.';

-- Policies compare with these two through a sub-select, so they run once in a statement and indexes stay usable:
--   using (connection_id = any ((select stores.my_connections())::bigint[]))
-- Both run as the caller: row-level security of brand_members and connections is what they stand on.
create function stores.my_brands() returns uuid[] language sql stable security invoker set search_path = '' as $$
  select coalesce(array_agg(m.brand_id), '{}') from stores.brand_members m where m.user_id = (select auth.uid())
$$;
comment on function stores.my_brands is 'The brands that the caller belongs to';

alter table stores.brands enable row level security;
alter table stores.brand_members enable row level security;
alter table stores.connections enable row level security;
create policy brand_members_read on stores.brand_members for select to authenticated
    using (user_id = (select auth.uid()));
create policy brands_read on stores.brands for select to authenticated
    using (id = any ((select stores.my_brands())::uuid[]));
create policy connections_read on stores.connections for select to authenticated
    using (brand_id = any ((select stores.my_brands())::uuid[]));
create policy brands_write on stores.brands for all to service_role using (true) with check (true);
create policy brand_members_write on stores.brand_members for all to service_role using (true) with check (true);
create policy connections_write on stores.connections for all to service_role using (true) with check (true);
grant select on stores.brands, stores.brand_members, stores.connections to authenticated;
grant select, insert, update, delete on stores.brands, stores.brand_members to service_role;
grant select on stores.connections to service_role;

create function stores.my_connections() returns bigint[] language sql stable security invoker set search_path = '' as $$
  select coalesce(array_agg(c.id), '{}') from stores.connections c
   where c.brand_id = any ((select stores.my_brands())::uuid[])
$$;
comment on function stores.my_connections is 'The connections of the brands that the caller belongs to';
revoke all on function stores.my_brands(), stores.my_connections() from public;
grant execute on function stores.my_brands(), stores.my_connections() to authenticated, service_role;
