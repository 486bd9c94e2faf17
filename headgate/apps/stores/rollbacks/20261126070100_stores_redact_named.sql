-- Numbers in texts are matched as whole JSON values or ids: 12 is not in 4123.
create or replace function stores.redact_customer(p_connection bigint, p_customer bigint, p_orders bigint[]) returns jsonb
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
