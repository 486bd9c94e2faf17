-- What webhooks and pages call for single objects, and how objects go.

create function stores.apply_objects(p_connection bigint, p_lines jsonb, p_read timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_scope bigint := -nextval('control.runs_id_seq');
    v_put jsonb;
begin
    perform stores.hold(p_connection);
    perform stores.spread(null, p_lines, p_read, 0, 0);
    v_put := stores.put_lines(p_connection, v_scope);
    delete from stores.file_parents f where f.operation_id = v_scope;
    return v_put;
end $$;
comment on function stores.apply_objects is
    'Applies objects read from the Admin API: a JSON array of what lines of a bulk file would be, an order with its '
    'children after it. p_read: a moment not after the request was sent. What is older than what is there changes nothing. '
    'Returns {written, orphans, kinds}.';

create function stores.mark_days(p_connection bigint, p_days jsonb) returns void
language sql set search_path = '' as $$
    insert into control.rollup_dirty (rollup, key)
    select distinct 'stores.daily_sales', jsonb_build_object('connection_id', p_connection, 'day', d.day, 'currency', d.currency)
    from jsonb_to_recordset(p_days) d (day date, currency text)
    order by 2
    on conflict (rollup, key) do update set since = clock_timestamp()
$$;
comment on function stores.mark_days is 'The figures of these days are out of date.';

create function stores.apply_delete(p_connection bigint, p_kind text, p_id bigint) returns boolean
language plpgsql set search_path = '' as $$
declare
    v_days jsonb;
    v_gone bigint;
begin
    perform stores.hold(p_connection);
    insert into stores.tombstones (connection_id, kind, shopify_id) values (p_connection, p_kind, p_id)
    on conflict do nothing;
    v_gone := 0;
    if p_kind = 'order' then
        with gone as (
            delete from public.shop_sales s where s.connection_id = p_connection and s.order_id = p_id
            returning s.day, s.currency
        )
        select jsonb_agg(distinct jsonb_build_object('day', g.day, 'currency', g.currency)) into v_days from gone g;
        perform stores.mark_days(p_connection, coalesce(v_days, '[]'));
        delete from public.shop_sales_agreements s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_line_items s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_shipping_lines s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_refunds s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_refund_lines s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_transactions s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_orders s where s.connection_id = p_connection and s.shopify_id = p_id;
        get diagnostics v_gone = row_count;
        update stores.file_parents f set dead = true
        from stores.bulk_operations b
        where b.connection_id = p_connection and b.finished_at is null and f.operation_id = b.id and f.order_id = p_id
          and f.kind in ('o', 'a', 'r') and not f.dead;
    elsif p_kind = 'customer' then
        delete from public.shop_customers s where s.connection_id = p_connection and s.shopify_id = p_id;
        get diagnostics v_gone = row_count;
    elsif p_kind = 'product' then
        insert into stores.tombstones (connection_id, kind, shopify_id)
        select p_connection, 'variant', v.shopify_id from public.shop_variants v
        where v.connection_id = p_connection and v.product_id = p_id
        on conflict do nothing;
        delete from public.shop_variants s where s.connection_id = p_connection and s.product_id = p_id;
        delete from public.shop_products s where s.connection_id = p_connection and s.shopify_id = p_id;
        get diagnostics v_gone = row_count;
    elsif p_kind = 'variant' then
        delete from public.shop_variants s where s.connection_id = p_connection and s.shopify_id = p_id;
        get diagnostics v_gone = row_count;
    else
        raise exception 'Objects of the kind % are not deleted one by one.', p_kind using errcode = '22023';
    end if;
    return v_gone > 0;
end $$;
comment on function stores.apply_delete is
    'Deletes an order, customer, product or variant with what belongs to it, for good: its number is remembered, and no '
    'row that is still under way brings it back. False when there was nothing to delete.';

create function stores.set_zone(p_connection bigint, p_zone text, p_currency text) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_moved bigint := 0;
begin
    perform stores.hold(p_connection);
    perform now() at time zone p_zone;
    update stores.connections c set time_zone = p_zone, currency = p_currency, updated_at = now()
    where c.id = p_connection and (c.time_zone, c.currency) is distinct from (p_zone, p_currency);
    if not found then
        return 0;
    end if;
    update public.shop_sales_agreements a set day = (a.happened_at at time zone p_zone)::date
    where a.connection_id = p_connection and a.day <> (a.happened_at at time zone p_zone)::date;
    perform stores.mark_days(p_connection, coalesce(jsonb_agg(distinct jsonb_build_object('day', d.day, 'currency', s.currency)), '[]'))
    from public.shop_sales s
    join public.shop_sales_agreements a on a.connection_id = s.connection_id and a.shopify_id = s.agreement_id
    cross join lateral (values (s.day), (a.day)) d (day)
    where s.connection_id = p_connection and s.day <> a.day;
    update public.shop_sales s set day = a.day
    from public.shop_sales_agreements a
    where s.connection_id = p_connection and a.connection_id = p_connection and a.shopify_id = s.agreement_id
      and s.day <> a.day;
    get diagnostics v_moved = row_count;
    return v_moved;
end $$;
comment on function stores.set_zone is
    'The shop''s time zone and currency as Shopify tells them. In another zone, sales move to other days; how many did.';

create function stores.erase_rows(p_connection bigint) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_table text;
    v_rows bigint;
    v_counts jsonb := '{}';
begin
    perform stores.hold(p_connection);
    foreach v_table in array array['shop_sales', 'shop_sales_agreements', 'shop_line_items', 'shop_shipping_lines',
        'shop_refund_lines', 'shop_refunds', 'shop_transactions', 'shop_orders', 'shop_customers', 'shop_inventory_levels',
        'shop_variants', 'shop_products', 'shop_daily_sales', 'shop_milestones'] loop
        execute format('delete from public.%I where connection_id = $1', v_table) using p_connection;
        get diagnostics v_rows = row_count;
        v_counts := v_counts || jsonb_build_object(v_table, v_rows);
    end loop;
    delete from control.rollup_dirty d
    where d.rollup = 'stores.daily_sales' and d.key ->> 'connection_id' = p_connection::text;
    delete from stores.file_parents f using stores.bulk_operations b
    where b.connection_id = p_connection and f.operation_id = b.id;
    delete from stores.sync_runs where connection_id = p_connection;
    delete from stores.positions where connection_id = p_connection;
    delete from stores.dead_letters where connection_id = p_connection;
    delete from stores.reconciliations where connection_id = p_connection;
    delete from stores.tombstones where connection_id = p_connection;
    return v_counts;
end $$;
comment on function stores.erase_rows is
    'Deletes every synced row of a connection, for shop/redact and for an import from nothing; rows by table.';

create function stores.redact_people(p_connection bigint, p_customer bigint, p_orders bigint[]) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_customers bigint;
    v_refunds bigint;
begin
    perform stores.hold(p_connection);
    insert into stores.redactions (connection_id, kind, shopify_id)
    select p_connection, 'customer', p_customer where p_customer is not null
    union all select p_connection, 'order', o from unnest(p_orders) o
    on conflict do nothing;
    update public.shop_customers c
    set first_name = null, last_name = null, email = null, phone = null, redacted = true
    where c.connection_id = p_connection and c.shopify_id = p_customer and not c.redacted;
    get diagnostics v_customers = row_count;
    update public.shop_refunds r set note = null
    where r.connection_id = p_connection and r.order_id = any (p_orders) and r.note is not null;
    get diagnostics v_refunds = row_count;
    return jsonb_build_object('shop_customers', v_customers, 'shop_refunds', v_refunds);
end $$;
comment on function stores.redact_people is
    'Erases what is personal of a customer and of orders, and remembers their numbers so that no later row brings it back.';

revoke execute on function stores.apply_objects(bigint, jsonb, timestamptz), stores.mark_days(bigint, jsonb),
    stores.apply_delete(bigint, text, bigint), stores.set_zone(bigint, text, text), stores.erase_rows(bigint),
    stores.redact_people(bigint, bigint, bigint[]) from public;
