-- Customers, and the catalogue with its stock.
create table public.shop_customers (
    connection_id bigint not null,
    shopify_id bigint not null,
    version timestamptz not null,
    created_at timestamptz,
    updated_at timestamptz not null,
    first_name text,
    last_name text,
    email text,
    phone text,
    state text,
    locale text,
    tags text[] not null default '{}',
    verified_email boolean,
    redacted boolean not null default false,
    primary key (connection_id, shopify_id)
);
create index shop_customers_created on public.shop_customers (connection_id, created_at desc);
comment on table public.shop_customers is
    'Customers of connected shops. The only table with names and addresses; those of erased people stay empty.';
alter table public.shop_customers enable row level security;
create policy shop_customers_read on public.shop_customers for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_customers_write on public.shop_customers for all to service_role using (true) with check (true);
grant select on public.shop_customers to authenticated;
grant select, insert, update, delete on public.shop_customers to service_role;

create table public.shop_products (
    connection_id bigint not null,
    shopify_id bigint not null,
    version timestamptz not null,
    created_at timestamptz,
    updated_at timestamptz not null,
    published_at timestamptz,
    title text not null,
    handle text,
    vendor text,
    product_type text,
    status text,
    tags text[] not null default '{}',
    gift_card boolean not null default false,
    total_inventory bigint,
    primary key (connection_id, shopify_id)
);
comment on table public.shop_products is
    'Products.';
alter table public.shop_products enable row level security;
create policy shop_products_read on public.shop_products for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_products_write on public.shop_products for all to service_role using (true) with check (true);
grant select on public.shop_products to authenticated;
grant select, insert, update, delete on public.shop_products to service_role;

create table public.shop_variants (
    connection_id bigint not null,
    shopify_id bigint not null,
    version timestamptz not null,
    product_id bigint not null,
    updated_at timestamptz not null,
    title text,
    sku text,
    barcode text,
    position integer,
    price numeric,
    compare_at_price numeric,
    inventory_item_id bigint,
    inventory_quantity bigint,
    primary key (connection_id, shopify_id)
);
create index shop_variants_product on public.shop_variants (connection_id, product_id);
create index shop_variants_item on public.shop_variants (connection_id, inventory_item_id);
comment on table public.shop_variants is
    'Variants of products, with prices in the shop''s currency.';
alter table public.shop_variants enable row level security;
create policy shop_variants_read on public.shop_variants for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_variants_write on public.shop_variants for all to service_role using (true) with check (true);
grant select on public.shop_variants to authenticated;
grant select, insert, update, delete on public.shop_variants to service_role;

create table public.shop_inventory_levels (
    connection_id bigint not null,
    inventory_item_id bigint not null,
    location_id bigint not null,
    location text,
    version timestamptz not null,
    updated_at timestamptz not null,
    available bigint,
    on_hand bigint,
    committed bigint,
    incoming bigint,
    primary key (connection_id, inventory_item_id, location_id)
);
comment on table public.shop_inventory_levels is
    'Stock of each inventory item at each location.';
alter table public.shop_inventory_levels enable row level security;
create policy shop_inventory_levels_read on public.shop_inventory_levels for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_inventory_levels_write on public.shop_inventory_levels for all to service_role using (true) with check (true);
grant select on public.shop_inventory_levels to authenticated;
grant select, insert, update, delete on public.shop_inventory_levels to service_role;
