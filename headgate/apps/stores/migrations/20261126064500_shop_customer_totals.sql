-- What customers bought, added up when it is asked for: the list shows 25 of them, and each has few orders. Nothing is kept
-- that could be out of date, and writing a sale costs no more than before. The ledger is read order by order, so that a
-- customer with thousands of orders does not have the planner read the whole shop's.
create view public.shop_customer_totals with (security_invoker = true) as
select o.connection_id, o.customer_id, o.currency, sum(t.orders)::bigint as orders, sum(t.total) as total,
       max(o.created_at) filter (where not o.test) as last_order_at
from public.shop_orders o
cross join lateral (
    select count(distinct s.agreement_id) filter (where s.reason = 'ORDER') as orders,
           coalesce(sum(s.amount) filter (where s.line_type not in ('TIP', 'GIFT_CARD')), 0) as total
    from public.shop_sales s
    where s.connection_id = o.connection_id and s.order_id = o.shopify_id and s.counted) t
where o.customer_id is not null
group by o.connection_id, o.customer_id, o.currency;
comment on view public.shop_customer_totals is
    'Orders and total of a customer by the rules of shop_daily_sales, in the shop''s currency, and the last order; none of '
    'test orders. Ask for some customers of one connection: it adds up what it is asked for.';
revoke all on public.shop_customer_totals from public, anon;
grant select on public.shop_customer_totals to authenticated, service_role;
