-- Orders and what belongs to them, as Shopify last told. Keyed by connection and Shopify's own number.
--
-- Rows come from three paths (bulk, paging, webhooks) in any order. An order of a lower `version` never overwrites one
-- of a higher; children follow the order that they were read with. Amounts are exact; each is in the shop's currency,
-- and as presentment_… in the currency that the customer saw. There are no foreign keys: children may come first, and
-- only functions of schema stores write here.
create table public.shop_orders (
    connection_id bigint not null,
    shopify_id bigint not null,
    version timestamptz not null,
    name text,
    created_at timestamptz,
    processed_at timestamptz,
    updated_at timestamptz not null,
    cancelled_at timestamptz,
    closed_at timestamptz,
    cancel_reason text,
    test boolean not null default false,
    edited boolean not null default false,
    taxes_included boolean not null default false,
    financial_status text,
    fulfillment_status text,
    source_name text,
    tags text[] not null default '{}',
    customer_id bigint,
    currency text,
    presentment_currency text,
    total_price numeric,
    presentment_total_price numeric,
    current_total_price numeric,
    presentment_current_total_price numeric,
    current_subtotal numeric,
    presentment_current_subtotal numeric,
    current_discounts numeric,
    presentment_current_discounts numeric,
    current_taxes numeric,
    presentment_current_taxes numeric,
    total_shipping numeric,
    presentment_total_shipping numeric,
    total_refunded numeric,
    presentment_total_refunded numeric,
    total_tips numeric,
    presentment_total_tips numeric,
    primary key (connection_id, shopify_id)
);
create index shop_orders_created on public.shop_orders (connection_id, created_at desc);
create index shop_orders_customer on public.shop_orders (connection_id, customer_id) where customer_id is not null;
comment on table public.shop_orders is
    'Orders of connected shops, the newest version known. Test orders are kept and count nowhere; deleted ones are gone.';
comment on column public.shop_orders.version is
    'updatedAt, and below its second how soon after it the order was read: changes within one second stay in order.';
comment on column public.shop_orders.current_total_price is
    'After edits, refunds and returns; the ledger must tie to it.';
alter table public.shop_orders enable row level security;
create policy shop_orders_read on public.shop_orders for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_orders_write on public.shop_orders for all to service_role using (true) with check (true);
grant select on public.shop_orders to authenticated;
grant select, insert, update, delete on public.shop_orders to service_role;

create table public.shop_line_items (
    connection_id bigint not null,
    shopify_id bigint not null,
    order_id bigint not null,
    title text,
    variant_title text,
    sku text,
    vendor text,
    product_id bigint,
    variant_id bigint,
    quantity bigint not null,
    current_quantity bigint,
    gift_card boolean not null default false,
    unit_price numeric,
    presentment_unit_price numeric,
    discounted_total numeric,
    presentment_discounted_total numeric,
    discount numeric,
    presentment_discount numeric,
    primary key (connection_id, shopify_id)
);
create index shop_line_items_order on public.shop_line_items (connection_id, order_id);
comment on table public.shop_line_items is
    'Lines of orders. quantity is as ordered, current_quantity after edits and returns.';
alter table public.shop_line_items enable row level security;
create policy shop_line_items_read on public.shop_line_items for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_line_items_write on public.shop_line_items for all to service_role using (true) with check (true);
grant select on public.shop_line_items to authenticated;
grant select, insert, update, delete on public.shop_line_items to service_role;

create table public.shop_shipping_lines (
    connection_id bigint not null,
    shopify_id bigint not null,
    order_id bigint not null,
    title text,
    code text,
    source text,
    removed boolean not null default false,
    original_price numeric,
    presentment_original_price numeric,
    discounted_price numeric,
    presentment_discounted_price numeric,
    primary key (connection_id, shopify_id)
);
create index shop_shipping_lines_order on public.shop_shipping_lines (connection_id, order_id);
comment on table public.shop_shipping_lines is
    'Shipping of orders. A line that Shopify gives no number has a negative one, made of its order and content.';
alter table public.shop_shipping_lines enable row level security;
create policy shop_shipping_lines_read on public.shop_shipping_lines for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_shipping_lines_write on public.shop_shipping_lines for all to service_role using (true) with check (true);
grant select on public.shop_shipping_lines to authenticated;
grant select, insert, update, delete on public.shop_shipping_lines to service_role;

create table public.shop_sales_agreements (
    connection_id bigint not null,
    shopify_id bigint not null,
    order_id bigint not null,
    happened_at timestamptz not null,
    day date not null,
    reason text not null,
    primary key (connection_id, shopify_id)
);
create index shop_sales_agreements_order on public.shop_sales_agreements (connection_id, order_id);
comment on table public.shop_sales_agreements is
    'The ledger''s documents: the order, each edit, refund and return, when it happened.';
comment on column public.shop_sales_agreements.day is
    'Of happened_at in the shop''s time zone.';
alter table public.shop_sales_agreements enable row level security;
create policy shop_sales_agreements_read on public.shop_sales_agreements for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_sales_agreements_write on public.shop_sales_agreements for all to service_role using (true) with check (true);
grant select on public.shop_sales_agreements to authenticated;
grant select, insert, update, delete on public.shop_sales_agreements to service_role;

create table public.shop_sales (
    connection_id bigint not null,
    shopify_id bigint not null,
    order_id bigint not null,
    agreement_id bigint not null,
    day date not null,
    currency text not null,
    counted boolean not null,
    reason text not null,
    action text not null,
    line_type text not null,
    quantity bigint,
    line_item_id bigint,
    amount numeric,
    presentment_amount numeric,
    tax numeric,
    presentment_tax numeric,
    discount numeric,
    presentment_discount numeric,
    discount_after_tax numeric,
    presentment_discount_after_tax numeric,
    primary key (connection_id, shopify_id)
);
create index shop_sales_order on public.shop_sales (connection_id, order_id);
create index shop_sales_day on public.shop_sales (connection_id, day);
comment on table public.shop_sales is
    'The ledger''s lines. amount is after discounts, with taxes; returns are negative. They add up to current_total_price.';
comment on column public.shop_sales.counted is
    'False for test orders: their lines count in no total.';
comment on column public.shop_sales.discount is
    'Before taxes.';
comment on column public.shop_sales.day is
    'Of the agreement, in the shop''s time zone.';
alter table public.shop_sales enable row level security;
create policy shop_sales_read on public.shop_sales for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_sales_write on public.shop_sales for all to service_role using (true) with check (true);
grant select on public.shop_sales to authenticated;
grant select, insert, update, delete on public.shop_sales to service_role;
