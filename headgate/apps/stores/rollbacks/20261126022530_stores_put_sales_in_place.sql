-- The functions as 20261125020120_stores_put_sales.sql made them.
create or replace function stores.put_sales(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    with added as (
        insert into public.shop_sales
            (connection_id, shopify_id, order_id, agreement_id, day, currency, counted, reason, action, line_type,
             quantity, line_item_id, amount, presentment_amount, tax, presentment_tax, discount, presentment_discount,
             discount_after_tax, presentment_discount_after_tax)
        select
            p_connection, l.id, p.order_id, p.shopify_id, p.day, p.currency, p.counted, p.reason,
            coalesce(l.doc ->> 'actionType', 'UNKNOWN'), coalesce(l.doc ->> 'lineType', 'UNKNOWN'),
            (l.doc ->> 'quantity')::bigint, stores.gid(l.doc #>> '{lineItem,id}'),
            (l.doc #>> '{totalAmount,shopMoney,amount}')::numeric,
            (l.doc #>> '{totalAmount,presentmentMoney,amount}')::numeric,
            (l.doc #>> '{totalTaxAmount,shopMoney,amount}')::numeric,
            (l.doc #>> '{totalTaxAmount,presentmentMoney,amount}')::numeric,
            (l.doc #>> '{totalDiscountAmountBeforeTaxes,shopMoney,amount}')::numeric,
            (l.doc #>> '{totalDiscountAmountBeforeTaxes,presentmentMoney,amount}')::numeric,
            (l.doc #>> '{totalDiscountAmountAfterTaxes,shopMoney,amount}')::numeric,
            (l.doc #>> '{totalDiscountAmountAfterTaxes,presentmentMoney,amount}')::numeric
        from pg_temp.store_lines l
            cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'a'
                                    and f.shopify_id = l.parent offset 0) p
        where l.kind = 'x' and not p.dead
        on conflict do nothing
        returning day, currency, counted
    ), marks as (
        insert into control.rollup_dirty (rollup, key)
        select distinct 'stores.daily_sales', jsonb_build_object('connection_id', p_connection, 'day', a.day, 'currency', a.currency)
        from added a where a.counted order by 2
        on conflict (rollup, key) do update set since = clock_timestamp()
    )
    select count(*) into v_added from added;
    if v_added < p_lines then
        with before as materialized (
            select s.shopify_id, s.day, s.currency from public.shop_sales s
            where s.connection_id = p_connection
              and s.shopify_id in (select l.id from pg_temp.store_lines l where l.kind = 'x')
        ), changed as (
            update public.shop_sales t set
                order_id = f.order_id, agreement_id = f.agreement_id, day = f.day, currency = f.currency,
                counted = f.counted, reason = f.reason, action = f.action, line_type = f.line_type, quantity = f.quantity,
                line_item_id = f.line_item_id, amount = f.amount, presentment_amount = f.presentment_amount, tax = f.tax,
                presentment_tax = f.presentment_tax, discount = f.discount, presentment_discount = f.presentment_discount,
                discount_after_tax = f.discount_after_tax, presentment_discount_after_tax = f.presentment_discount_after_tax
            from (
                select distinct on (shopify_id) * from (
                    select
                        p_connection as connection_id, l.id as shopify_id, p.order_id, p.shopify_id as agreement_id, p.day,
                        p.currency, p.counted, p.reason, coalesce(l.doc ->> 'actionType', 'UNKNOWN') as action,
                        coalesce(l.doc ->> 'lineType', 'UNKNOWN') as line_type, (l.doc ->> 'quantity')::bigint as quantity,
                        stores.gid(l.doc #>> '{lineItem,id}') as line_item_id,
                        (l.doc #>> '{totalAmount,shopMoney,amount}')::numeric as amount,
                        (l.doc #>> '{totalAmount,presentmentMoney,amount}')::numeric as presentment_amount,
                        (l.doc #>> '{totalTaxAmount,shopMoney,amount}')::numeric as tax,
                        (l.doc #>> '{totalTaxAmount,presentmentMoney,amount}')::numeric as presentment_tax,
                        (l.doc #>> '{totalDiscountAmountBeforeTaxes,shopMoney,amount}')::numeric as discount,
                        (l.doc #>> '{totalDiscountAmountBeforeTaxes,presentmentMoney,amount}')::numeric as presentment_discount,
                        (l.doc #>> '{totalDiscountAmountAfterTaxes,shopMoney,amount}')::numeric as discount_after_tax,
                        (l.doc #>> '{totalDiscountAmountAfterTaxes,presentmentMoney,amount}')::numeric as presentment_discount_after_tax,
                        l.line as at_line
                    from pg_temp.store_lines l
                    cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'a'
                                    and f.shopify_id = l.parent offset 0) p
                    where l.kind = 'x' and not p.dead and not p.stale and not l.late
                ) r order by shopify_id, at_line desc
            ) f
            where t.connection_id = p_connection and t.shopify_id = f.shopify_id
              and (t.order_id, t.agreement_id, t.day, t.currency, t.counted, t.reason, t.action, t.line_type, t.quantity,
                   t.line_item_id, t.amount, t.presentment_amount, t.tax, t.presentment_tax, t.discount,
                   t.presentment_discount, t.discount_after_tax, t.presentment_discount_after_tax)
                  is distinct from
                  (f.order_id, f.agreement_id, f.day, f.currency, f.counted, f.reason, f.action, f.line_type, f.quantity,
                   f.line_item_id, f.amount, f.presentment_amount, f.tax, f.presentment_tax, f.discount,
                   f.presentment_discount, f.discount_after_tax, f.presentment_discount_after_tax)
            returning t.shopify_id, t.day, t.currency
        ), marks as (
            insert into control.rollup_dirty (rollup, key)
            select distinct 'stores.daily_sales', jsonb_build_object('connection_id', p_connection, 'day', m.day, 'currency', m.currency)
            from (select c.day, c.currency from changed c
                  union select b.day, b.currency from before b join changed c using (shopify_id)) m
            order by 2
            on conflict (rollup, key) do update set since = clock_timestamp()
        )
        select count(*) into v_changed from changed;
    end if;
    return v_added + v_changed;
end $$;

create or replace function stores.put_refunds(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_refunds
        (connection_id, shopify_id, order_id, created_at, note, total_refunded, presentment_total_refunded)
    select
        p_connection, l.id, p.order_id, (l.doc ->> 'createdAt')::timestamptz,
        case when k.shopify_id is null then l.doc ->> 'note' end,
        (l.doc #>> '{totalRefundedSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{totalRefundedSet,presentmentMoney,amount}')::numeric
    from pg_temp.store_lines l
        cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
        left join stores.redactions k on k.connection_id = p_connection and k.kind = 'order' and k.shopify_id = l.parent
    where l.kind = 'r' and not p.dead
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_refunds t set
            order_id = f.order_id, created_at = f.created_at, note = f.note, total_refunded = f.total_refunded,
            presentment_total_refunded = f.presentment_total_refunded
        from (
            select distinct on (shopify_id) * from (
                select
                    p_connection as connection_id, l.id as shopify_id, p.order_id,
                    (l.doc ->> 'createdAt')::timestamptz as created_at,
                    case when k.shopify_id is null then l.doc ->> 'note' end as note,
                    (l.doc #>> '{totalRefundedSet,shopMoney,amount}')::numeric as total_refunded,
                    (l.doc #>> '{totalRefundedSet,presentmentMoney,amount}')::numeric as presentment_total_refunded,
                    l.line as at_line
                from pg_temp.store_lines l
                cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
                left join stores.redactions k on k.connection_id = p_connection and k.kind = 'order' and k.shopify_id = l.parent
                where l.kind = 'r' and not p.dead and not p.stale and not l.late
            ) r order by shopify_id, at_line desc
        ) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id
          and (t.order_id, t.created_at, t.note, t.total_refunded, t.presentment_total_refunded)
              is distinct from
              (f.order_id, f.created_at, f.note, f.total_refunded, f.presentment_total_refunded);
        get diagnostics v_changed = row_count;
    end if;
    return v_added + v_changed;
end $$;

create or replace function stores.put_refund_lines(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_refund_lines
        (connection_id, shopify_id, order_id, refund_id, line_item_id, quantity, restock_type, price,
         presentment_price, subtotal, presentment_subtotal, tax, presentment_tax)
    select
        p_connection, l.id, p.order_id, p.shopify_id, stores.gid(l.doc #>> '{lineItem,id}'),
        coalesce((l.doc ->> 'quantity')::bigint, 0), l.doc ->> 'restockType',
        (l.doc #>> '{priceSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{priceSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{subtotalSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{subtotalSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{totalTaxSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{totalTaxSet,presentmentMoney,amount}')::numeric
    from pg_temp.store_lines l
        cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'r'
                                    and f.shopify_id = l.parent offset 0) p
    where l.kind = 'f' and not p.dead
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_refund_lines t set
            order_id = f.order_id, refund_id = f.refund_id, line_item_id = f.line_item_id, quantity = f.quantity,
            restock_type = f.restock_type, price = f.price, presentment_price = f.presentment_price,
            subtotal = f.subtotal, presentment_subtotal = f.presentment_subtotal, tax = f.tax,
            presentment_tax = f.presentment_tax
        from (
            select distinct on (shopify_id) * from (
                select
                    p_connection as connection_id, l.id as shopify_id, p.order_id, p.shopify_id as refund_id,
                    stores.gid(l.doc #>> '{lineItem,id}') as line_item_id,
                    coalesce((l.doc ->> 'quantity')::bigint, 0) as quantity, l.doc ->> 'restockType' as restock_type,
                    (l.doc #>> '{priceSet,shopMoney,amount}')::numeric as price,
                    (l.doc #>> '{priceSet,presentmentMoney,amount}')::numeric as presentment_price,
                    (l.doc #>> '{subtotalSet,shopMoney,amount}')::numeric as subtotal,
                    (l.doc #>> '{subtotalSet,presentmentMoney,amount}')::numeric as presentment_subtotal,
                    (l.doc #>> '{totalTaxSet,shopMoney,amount}')::numeric as tax,
                    (l.doc #>> '{totalTaxSet,presentmentMoney,amount}')::numeric as presentment_tax, l.line as at_line
                from pg_temp.store_lines l
                cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'r'
                                    and f.shopify_id = l.parent offset 0) p
                where l.kind = 'f' and not p.dead and not p.stale and not l.late
            ) r order by shopify_id, at_line desc
        ) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id
          and (t.order_id, t.refund_id, t.line_item_id, t.quantity, t.restock_type, t.price, t.presentment_price,
               t.subtotal, t.presentment_subtotal, t.tax, t.presentment_tax)
              is distinct from
              (f.order_id, f.refund_id, f.line_item_id, f.quantity, f.restock_type, f.price, f.presentment_price,
               f.subtotal, f.presentment_subtotal, f.tax, f.presentment_tax);
        get diagnostics v_changed = row_count;
    end if;
    return v_added + v_changed;
end $$;

create or replace function stores.put_transactions(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_transactions
        (connection_id, shopify_id, order_id, parent_id, kind, status, gateway, test, processed_at, amount,
         presentment_amount)
    select
        p_connection, l.id, p.order_id, stores.gid(l.doc #>> '{parentTransaction,id}'),
        coalesce(l.doc ->> 'kind', 'UNKNOWN'), coalesce(l.doc ->> 'status', 'UNKNOWN'), l.doc ->> 'gateway',
        coalesce((l.doc ->> 'test')::boolean, false), (l.doc ->> 'processedAt')::timestamptz,
        (l.doc #>> '{amountSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{amountSet,presentmentMoney,amount}')::numeric
    from pg_temp.store_lines l
        cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
    where l.kind = 't' and not p.dead
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_transactions t set
            order_id = f.order_id, parent_id = f.parent_id, kind = f.kind, status = f.status, gateway = f.gateway,
            test = f.test, processed_at = f.processed_at, amount = f.amount, presentment_amount = f.presentment_amount
        from (
            select distinct on (shopify_id) * from (
                select
                    p_connection as connection_id, l.id as shopify_id, p.order_id,
                    stores.gid(l.doc #>> '{parentTransaction,id}') as parent_id,
                    coalesce(l.doc ->> 'kind', 'UNKNOWN') as kind, coalesce(l.doc ->> 'status', 'UNKNOWN') as status,
                    l.doc ->> 'gateway' as gateway, coalesce((l.doc ->> 'test')::boolean, false) as test,
                    (l.doc ->> 'processedAt')::timestamptz as processed_at,
                    (l.doc #>> '{amountSet,shopMoney,amount}')::numeric as amount,
                    (l.doc #>> '{amountSet,presentmentMoney,amount}')::numeric as presentment_amount, l.line as at_line
                from pg_temp.store_lines l
                cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
                where l.kind = 't' and not p.dead and not p.stale and not l.late
            ) r order by shopify_id, at_line desc
        ) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id
          and (t.order_id, t.parent_id, t.kind, t.status, t.gateway, t.test, t.processed_at, t.amount,
               t.presentment_amount)
              is distinct from
              (f.order_id, f.parent_id, f.kind, f.status, f.gateway, f.test, f.processed_at, f.amount,
               f.presentment_amount);
        get diagnostics v_changed = row_count;
    end if;
    return v_added + v_changed;
end $$;
