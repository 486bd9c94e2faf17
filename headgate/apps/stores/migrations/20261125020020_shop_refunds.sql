-- What came after the order: refunds, their lines, and the payments. Read by ordinary paging; bulk cannot nest them.
create table public.shop_refunds (
    connection_id bigint not null,
    shopify_id bigint not null,
    order_id bigint not null,
    created_at timestamptz,
    note text,
    total_refunded numeric,
    presentment_total_refunded numeric,
    primary key (connection_id, shopify_id)
);
create index shop_refunds_order on public.shop_refunds (connection_id, order_id);
comment on table public.shop_refunds is
    'Refunds of orders.';
alter table public.shop_refunds enable row level security;
create policy shop_refunds_read on public.shop_refunds for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_refunds_write on public.shop_refunds for all to service_role using (true) with check (true);
grant select on public.shop_refunds to authenticated;
grant select, insert, update, delete on public.shop_refunds to service_role;

create table public.shop_refund_lines (
    connection_id bigint not null,
    shopify_id bigint not null,
    order_id bigint not null,
    refund_id bigint not null,
    line_item_id bigint,
    quantity bigint not null,
    restock_type text,
    price numeric,
    presentment_price numeric,
    subtotal numeric,
    presentment_subtotal numeric,
    tax numeric,
    presentment_tax numeric,
    primary key (connection_id, shopify_id)
);
create index shop_refund_lines_order on public.shop_refund_lines (connection_id, order_id);
comment on table public.shop_refund_lines is
    'Lines of refunds. A line without a number has a negative one, made of its refund and line item.';
alter table public.shop_refund_lines enable row level security;
create policy shop_refund_lines_read on public.shop_refund_lines for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_refund_lines_write on public.shop_refund_lines for all to service_role using (true) with check (true);
grant select on public.shop_refund_lines to authenticated;
grant select, insert, update, delete on public.shop_refund_lines to service_role;

create table public.shop_transactions (
    connection_id bigint not null,
    shopify_id bigint not null,
    order_id bigint not null,
    parent_id bigint,
    kind text not null,
    status text not null,
    gateway text,
    test boolean not null default false,
    processed_at timestamptz,
    amount numeric,
    presentment_amount numeric,
    primary key (connection_id, shopify_id)
);
create index shop_transactions_order on public.shop_transactions (connection_id, order_id);
comment on table public.shop_transactions is
    'Payments, authorisations and their reversals.';
alter table public.shop_transactions enable row level security;
create policy shop_transactions_read on public.shop_transactions for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_transactions_write on public.shop_transactions for all to service_role using (true) with check (true);
grant select on public.shop_transactions to authenticated;
grant select, insert, update, delete on public.shop_transactions to service_role;
