-- Money by the shop's day and currency, kept by dirty keys from the ledger.
-- How each figure is defined: docs/explanation/stores-totals.md.
create function stores.currency_digits(p_currency text) returns integer
language sql immutable parallel safe
return case when p_currency in ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF', 'XOF', 'XPF')
              then 0
            when p_currency in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 3 else 2 end;
comment on function stores.currency_digits is 'How many digits an amount of the currency has after the point (ISO 4217).';

create table public.shop_daily_sales (
    connection_id bigint not null,
    day date not null,
    currency text not null,
    gross numeric not null,
    discounts numeric not null,
    reversals numeric not null,
    net numeric not null,
    shipping numeric not null,
    taxes numeric not null,
    duties numeric not null,
    fees numeric not null,
    total numeric not null,
    tips numeric not null,
    gift_cards numeric not null,
    orders bigint not null,
    average_order_value numeric generated always as (case when orders > 0 then round((gross - discounts) / orders, stores.currency_digits(currency)) end) stored,
    primary key (connection_id, day, currency)
);
comment on table public.shop_daily_sales is
    'Sales of each day of the shop. net = gross - discounts - reversals; total = net + shipping + taxes + duties + fees.';
comment on column public.shop_daily_sales.reversals is
    'What returns, removals and refunds took back, after discounts and before taxes. They count on their own day.';
comment on column public.shop_daily_sales.tips is
    'In no total.';
comment on column public.shop_daily_sales.gift_cards is
    'Gift cards sold: a liability, in no total.';
comment on column public.shop_daily_sales.orders is
    'Orders placed that day, cancelled and unpaid ones included, test and deleted ones not.';
comment on column public.shop_daily_sales.average_order_value is
    '(gross - discounts) / orders, in the currency''s digits.';
alter table public.shop_daily_sales enable row level security;
create policy shop_daily_sales_read on public.shop_daily_sales for select to authenticated
    using (connection_id = any ((select stores.my_connections())::bigint[]));
create policy shop_daily_sales_write on public.shop_daily_sales for all to service_role using (true) with check (true);
grant select on public.shop_daily_sales to authenticated;
grant select, insert, update, delete on public.shop_daily_sales to service_role;
