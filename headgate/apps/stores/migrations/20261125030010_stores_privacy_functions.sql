-- Collecting and erasing what is kept about a person or a shop. Tables are found in the catalog by their column
-- connection_id, so that a table added later is not forgotten.
create function stores.kept_tables() returns table (place regclass, columns name[])
language sql stable set search_path = '' as $$
  select c.oid::regclass, array_agg(a.attname)
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
   where c.relkind in ('r', 'p') and not c.relispartition
     and (n.nspname = 'stores' or (n.nspname = 'public' and c.relname like 'shop\_%'))
     and c.relname not in ('gdpr_requests', 'redactions')
   group by c.oid having 'connection_id' = any (array_agg(a.attname))
$$;
comment on function stores.kept_tables is 'Every table with rows of a connection, but the audit of privacy requests.';

-- The orders of a customer: those named, and those that point at the customer.
create function stores.orders_of_customer(p_connection bigint, p_customer bigint, p_orders bigint[]) returns bigint[]
language sql stable set search_path = '' as $$
  select coalesce(array_agg(distinct o.id), '{}')
    from (select unnest(p_orders) as id
          union all
          select shopify_id from public.shop_orders where connection_id = p_connection and customer_id = p_customer) o
$$;
comment on function stores.orders_of_customer is 'Numbers of a customer''s orders';

create function stores.collect_customer(p_connection bigint, p_customer bigint, p_orders bigint[]) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_orders bigint[] := stores.orders_of_customer(p_connection, p_customer, p_orders);
  v_found jsonb := '{}';
  v_rows jsonb;
  t record;
begin
  select jsonb_agg(to_jsonb(c)) into v_rows from public.shop_customers c
   where c.connection_id = p_connection and c.shopify_id = p_customer;
  v_found := jsonb_build_object('customers', coalesce(v_rows, '[]'));
  select jsonb_agg(to_jsonb(o) order by o.shopify_id) into v_rows from public.shop_orders o
   where o.connection_id = p_connection and o.shopify_id = any (v_orders);
  v_found := v_found || jsonb_build_object('orders', coalesce(v_rows, '[]'));
  for t in select k.place, c.relname from stores.kept_tables() k join pg_catalog.pg_class c on c.oid = k.place
            where k.columns @> array['order_id', 'shopify_id']::name[] order by 2 loop
    execute format('select jsonb_agg(to_jsonb(r) order by r.shopify_id) from %s r
                     where r.connection_id = $1 and r.order_id = any ($2)', t.place)
       into v_rows using p_connection, v_orders;
    if v_rows is not null then
      v_found := v_found || jsonb_build_object(regexp_replace(t.relname, '^shop_', ''), v_rows);
    end if;
  end loop;
  return v_found;
end
$$;
comment on function stores.collect_customer is 'Everything kept about a customer, by table';

-- Numbers in texts are matched as whole JSON values or ids: 12 is not in 4123.
create function stores.redact_customer(p_connection bigint, p_customer bigint, p_orders bigint[]) returns jsonb
language plpgsql set search_path = '' as $$
declare
  -- Orders that Shopify does not name stay the merchant's records; they lose the link to the person all the same.
  v_linked bigint[] := stores.orders_of_customer(p_connection, p_customer, p_orders);
  v_named text := '[/": ](' || array_to_string(p_customer || p_orders, '|') || ')([",} ]|$)';
  v_counts jsonb;
  v_n bigint;
begin
  v_counts := stores.redact_people(p_connection, p_customer, p_orders);
  update public.shop_customers set tags = '{}', locale = null
   where connection_id = p_connection and shopify_id = p_customer;
  update public.shop_orders
     set customer_id = null, tags = case when shopify_id = any (p_orders) then '{}' else tags end
   where connection_id = p_connection and shopify_id = any (v_linked);
  get diagnostics v_n = row_count;
  v_counts := v_counts || jsonb_build_object('shop_orders', v_n);
  update public.shop_refunds set note = null
   where connection_id = p_connection and order_id = any (v_linked) and note is not null;
  get diagnostics v_n = row_count;
  v_counts := v_counts || jsonb_build_object('refund_notes', v_n);
  delete from stores.orphans where connection_id = p_connection and doc::text ~ v_named;
  get diagnostics v_n = row_count;
  v_counts := v_counts || jsonb_build_object('orphans', v_n);
  delete from stores.dead_letters where connection_id = p_connection and raw ~ v_named;
  get diagnostics v_n = row_count;
  v_counts := v_counts || jsonb_build_object('dead_letters', v_n);
  update stores.webhook_inbox set payload = null
   where connection_ids @> array[p_connection] and state <> 'received' and payload::text ~ v_named;
  get diagnostics v_n = row_count;
  v_counts := v_counts || jsonb_build_object('webhook_bodies', v_n);
  update stores.gdpr_requests set collected = null
   where connection_id = p_connection and customer_id = p_customer and collected is not null;
  get diagnostics v_n = row_count;
  return v_counts || jsonb_build_object('collected', v_n);
end
$$;
comment on function stores.redact_customer is
    'Erases a person: names, addresses, notes, waiting documents, kept bodies; what may not come back is noted. Counts by place.';

create function stores.redact_shop(p_connection bigint) returns jsonb language plpgsql set search_path = '' as $$
declare
  v_counts jsonb := '{}';
  v_n bigint;
  t record;
begin
  v_counts := stores.erase_rows(p_connection);
  for t in select k.place from stores.kept_tables() k where k.place <> 'stores.connections'::regclass
            order by k.place::text loop
    execute format('delete from %s where connection_id = $1', t.place) using p_connection;
    get diagnostics v_n = row_count;
    if v_n > 0 then
      v_counts := v_counts || jsonb_build_object(t.place::text, v_n);
    end if;
  end loop;
  update stores.webhook_inbox set payload = null
   where connection_ids @> array[p_connection] and state <> 'received' and payload is not null;
  get diagnostics v_n = row_count;
  v_counts := v_counts || jsonb_build_object('webhook_bodies', v_n);
  update stores.gdpr_requests set collected = null where connection_id = p_connection and collected is not null;
  update stores.connections
     set state = 'redacted', redacted_at = now(), name = null, error = null, webhooks = '{}', updated_at = now()
   where id = p_connection;
  return v_counts;
end
$$;
comment on function stores.redact_shop is 'Erases everything of a connection but its line and the audit. Counts by table.';

revoke all on function stores.kept_tables, stores.orders_of_customer, stores.collect_customer, stores.redact_customer,
  stores.redact_shop from public;
