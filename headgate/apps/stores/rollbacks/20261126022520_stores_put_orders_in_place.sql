-- The functions as 20261125020110_stores_put_orders.sql made them.
create or replace function stores.put_orders(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_orders
        (connection_id, shopify_id, version, name, created_at, processed_at, updated_at, cancelled_at, closed_at,
         cancel_reason, test, edited, taxes_included, financial_status, fulfillment_status, source_name, tags,
         customer_id, currency, presentment_currency, total_price, presentment_total_price, current_total_price,
         presentment_current_total_price, current_subtotal, presentment_current_subtotal, current_discounts,
         presentment_current_discounts, current_taxes, presentment_current_taxes, total_shipping,
         presentment_total_shipping, total_refunded, presentment_total_refunded, total_tips, presentment_total_tips)
    select
        p_connection, l.id, p.version, l.doc ->> 'name', (l.doc ->> 'createdAt')::timestamptz,
        (l.doc ->> 'processedAt')::timestamptz, coalesce((l.doc ->> 'updatedAt')::timestamptz, p.version),
        (l.doc ->> 'cancelledAt')::timestamptz, (l.doc ->> 'closedAt')::timestamptz, l.doc ->> 'cancelReason',
        coalesce((l.doc ->> 'test')::boolean, false), coalesce((l.doc ->> 'edited')::boolean, false),
        coalesce((l.doc ->> 'taxesIncluded')::boolean, false), l.doc ->> 'displayFinancialStatus',
        l.doc ->> 'displayFulfillmentStatus', l.doc ->> 'sourceName', stores.texts(l.doc -> 'tags'),
        stores.gid(l.doc #>> '{customer,id}'), p.currency,
        coalesce(l.doc ->> 'presentmentCurrencyCode', p.currency),
        (l.doc #>> '{totalPriceSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{totalPriceSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{currentTotalPriceSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{currentTotalPriceSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{currentSubtotalPriceSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{currentSubtotalPriceSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{currentTotalDiscountsSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{currentTotalDiscountsSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{currentTotalTaxSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{currentTotalTaxSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{totalShippingPriceSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{totalShippingPriceSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{totalRefundedSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{totalRefundedSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{totalTipReceivedSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{totalTipReceivedSet,presentmentMoney,amount}')::numeric
    from pg_temp.store_lines l
        cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.id offset 0) p
    where l.kind = 'o' and not p.dead and l.line = p.line
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_orders t set
            version = f.version, name = f.name, created_at = f.created_at, processed_at = f.processed_at,
            updated_at = f.updated_at, cancelled_at = f.cancelled_at, closed_at = f.closed_at,
            cancel_reason = f.cancel_reason, test = f.test, edited = f.edited, taxes_included = f.taxes_included,
            financial_status = f.financial_status, fulfillment_status = f.fulfillment_status,
            source_name = f.source_name, tags = f.tags, customer_id = f.customer_id, currency = f.currency,
            presentment_currency = f.presentment_currency, total_price = f.total_price,
            presentment_total_price = f.presentment_total_price, current_total_price = f.current_total_price,
            presentment_current_total_price = f.presentment_current_total_price, current_subtotal = f.current_subtotal,
            presentment_current_subtotal = f.presentment_current_subtotal, current_discounts = f.current_discounts,
            presentment_current_discounts = f.presentment_current_discounts, current_taxes = f.current_taxes,
            presentment_current_taxes = f.presentment_current_taxes, total_shipping = f.total_shipping,
            presentment_total_shipping = f.presentment_total_shipping, total_refunded = f.total_refunded,
            presentment_total_refunded = f.presentment_total_refunded, total_tips = f.total_tips,
            presentment_total_tips = f.presentment_total_tips
        from (
            select distinct on (shopify_id) * from (
                select
                    p_connection as connection_id, l.id as shopify_id, p.version, l.doc ->> 'name' as name,
                    (l.doc ->> 'createdAt')::timestamptz as created_at,
                    (l.doc ->> 'processedAt')::timestamptz as processed_at,
                    coalesce((l.doc ->> 'updatedAt')::timestamptz, p.version) as updated_at,
                    (l.doc ->> 'cancelledAt')::timestamptz as cancelled_at,
                    (l.doc ->> 'closedAt')::timestamptz as closed_at, l.doc ->> 'cancelReason' as cancel_reason,
                    coalesce((l.doc ->> 'test')::boolean, false) as test,
                    coalesce((l.doc ->> 'edited')::boolean, false) as edited,
                    coalesce((l.doc ->> 'taxesIncluded')::boolean, false) as taxes_included,
                    l.doc ->> 'displayFinancialStatus' as financial_status,
                    l.doc ->> 'displayFulfillmentStatus' as fulfillment_status, l.doc ->> 'sourceName' as source_name,
                    stores.texts(l.doc -> 'tags') as tags, stores.gid(l.doc #>> '{customer,id}') as customer_id,
                    p.currency, coalesce(l.doc ->> 'presentmentCurrencyCode', p.currency) as presentment_currency,
                    (l.doc #>> '{totalPriceSet,shopMoney,amount}')::numeric as total_price,
                    (l.doc #>> '{totalPriceSet,presentmentMoney,amount}')::numeric as presentment_total_price,
                    (l.doc #>> '{currentTotalPriceSet,shopMoney,amount}')::numeric as current_total_price,
                    (l.doc #>> '{currentTotalPriceSet,presentmentMoney,amount}')::numeric as presentment_current_total_price,
                    (l.doc #>> '{currentSubtotalPriceSet,shopMoney,amount}')::numeric as current_subtotal,
                    (l.doc #>> '{currentSubtotalPriceSet,presentmentMoney,amount}')::numeric as presentment_current_subtotal,
                    (l.doc #>> '{currentTotalDiscountsSet,shopMoney,amount}')::numeric as current_discounts,
                    (l.doc #>> '{currentTotalDiscountsSet,presentmentMoney,amount}')::numeric as presentment_current_discounts,
                    (l.doc #>> '{currentTotalTaxSet,shopMoney,amount}')::numeric as current_taxes,
                    (l.doc #>> '{currentTotalTaxSet,presentmentMoney,amount}')::numeric as presentment_current_taxes,
                    (l.doc #>> '{totalShippingPriceSet,shopMoney,amount}')::numeric as total_shipping,
                    (l.doc #>> '{totalShippingPriceSet,presentmentMoney,amount}')::numeric as presentment_total_shipping,
                    (l.doc #>> '{totalRefundedSet,shopMoney,amount}')::numeric as total_refunded,
                    (l.doc #>> '{totalRefundedSet,presentmentMoney,amount}')::numeric as presentment_total_refunded,
                    (l.doc #>> '{totalTipReceivedSet,shopMoney,amount}')::numeric as total_tips,
                    (l.doc #>> '{totalTipReceivedSet,presentmentMoney,amount}')::numeric as presentment_total_tips,
                    l.line as at_line
                from pg_temp.store_lines l
                cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.id offset 0) p
                where l.kind = 'o' and not p.dead and l.line = p.line
            ) r order by shopify_id, version desc, at_line desc
        ) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id and f.version >= t.version
          and (t.name, t.created_at, t.processed_at, t.updated_at, t.cancelled_at, t.closed_at, t.cancel_reason, t.test,
               t.edited, t.taxes_included, t.financial_status, t.fulfillment_status, t.source_name, t.tags,
               t.customer_id, t.currency, t.presentment_currency, t.total_price, t.presentment_total_price,
               t.current_total_price, t.presentment_current_total_price, t.current_subtotal,
               t.presentment_current_subtotal, t.current_discounts, t.presentment_current_discounts, t.current_taxes,
               t.presentment_current_taxes, t.total_shipping, t.presentment_total_shipping, t.total_refunded,
               t.presentment_total_refunded, t.total_tips, t.presentment_total_tips)
              is distinct from
              (f.name, f.created_at, f.processed_at, f.updated_at, f.cancelled_at, f.closed_at, f.cancel_reason, f.test,
               f.edited, f.taxes_included, f.financial_status, f.fulfillment_status, f.source_name, f.tags,
               f.customer_id, f.currency, f.presentment_currency, f.total_price, f.presentment_total_price,
               f.current_total_price, f.presentment_current_total_price, f.current_subtotal,
               f.presentment_current_subtotal, f.current_discounts, f.presentment_current_discounts, f.current_taxes,
               f.presentment_current_taxes, f.total_shipping, f.presentment_total_shipping, f.total_refunded,
               f.presentment_total_refunded, f.total_tips, f.presentment_total_tips);
        get diagnostics v_changed = row_count;
    end if;
    return v_added + v_changed;
end $$;

create or replace function stores.put_agreements(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
    v_zone text;
begin
    select c.time_zone into v_zone from stores.connections c where c.id = p_connection;
    insert into public.shop_sales_agreements
        (connection_id, shopify_id, order_id, happened_at, day, reason)
    select
        p_connection, l.id, p.order_id, (l.doc ->> 'happenedAt')::timestamptz,
        ((l.doc ->> 'happenedAt')::timestamptz at time zone v_zone)::date, coalesce(l.doc ->> 'reason', 'UNKNOWN')
    from pg_temp.store_lines l
        cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
    where l.kind = 'a' and not p.dead
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_sales_agreements t set
            order_id = f.order_id, happened_at = f.happened_at, day = f.day, reason = f.reason
        from (
            select distinct on (shopify_id) * from (
                select
                    p_connection as connection_id, l.id as shopify_id, p.order_id,
                    (l.doc ->> 'happenedAt')::timestamptz as happened_at,
                    ((l.doc ->> 'happenedAt')::timestamptz at time zone v_zone)::date as day,
                    coalesce(l.doc ->> 'reason', 'UNKNOWN') as reason, l.line as at_line
                from pg_temp.store_lines l
                cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
                where l.kind = 'a' and not p.dead and not p.stale and not l.late
            ) r order by shopify_id, at_line desc
        ) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id
          and (t.order_id, t.happened_at, t.day, t.reason)
              is distinct from
              (f.order_id, f.happened_at, f.day, f.reason);
        get diagnostics v_changed = row_count;
    end if;
    return v_added + v_changed;
end $$;

create or replace function stores.put_line_items(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_line_items
        (connection_id, shopify_id, order_id, title, variant_title, sku, vendor, product_id, variant_id, quantity,
         current_quantity, gift_card, unit_price, presentment_unit_price, discounted_total,
         presentment_discounted_total, discount, presentment_discount)
    select
        p_connection, l.id, p.order_id, l.doc ->> 'title', l.doc ->> 'variantTitle', l.doc ->> 'sku',
        l.doc ->> 'vendor', stores.gid(l.doc #>> '{product,id}'), stores.gid(l.doc #>> '{variant,id}'),
        coalesce((l.doc ->> 'quantity')::bigint, 0), (l.doc ->> 'currentQuantity')::bigint,
        coalesce((l.doc ->> 'isGiftCard')::boolean, false),
        (l.doc #>> '{originalUnitPriceSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{originalUnitPriceSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{discountedTotalSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{discountedTotalSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{totalDiscountSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{totalDiscountSet,presentmentMoney,amount}')::numeric
    from pg_temp.store_lines l
        cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
    where l.kind = 'l' and not p.dead
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_line_items t set
            order_id = f.order_id, title = f.title, variant_title = f.variant_title, sku = f.sku, vendor = f.vendor,
            product_id = f.product_id, variant_id = f.variant_id, quantity = f.quantity,
            current_quantity = f.current_quantity, gift_card = f.gift_card, unit_price = f.unit_price,
            presentment_unit_price = f.presentment_unit_price, discounted_total = f.discounted_total,
            presentment_discounted_total = f.presentment_discounted_total, discount = f.discount,
            presentment_discount = f.presentment_discount
        from (
            select distinct on (shopify_id) * from (
                select
                    p_connection as connection_id, l.id as shopify_id, p.order_id, l.doc ->> 'title' as title,
                    l.doc ->> 'variantTitle' as variant_title, l.doc ->> 'sku' as sku, l.doc ->> 'vendor' as vendor,
                    stores.gid(l.doc #>> '{product,id}') as product_id,
                    stores.gid(l.doc #>> '{variant,id}') as variant_id,
                    coalesce((l.doc ->> 'quantity')::bigint, 0) as quantity,
                    (l.doc ->> 'currentQuantity')::bigint as current_quantity,
                    coalesce((l.doc ->> 'isGiftCard')::boolean, false) as gift_card,
                    (l.doc #>> '{originalUnitPriceSet,shopMoney,amount}')::numeric as unit_price,
                    (l.doc #>> '{originalUnitPriceSet,presentmentMoney,amount}')::numeric as presentment_unit_price,
                    (l.doc #>> '{discountedTotalSet,shopMoney,amount}')::numeric as discounted_total,
                    (l.doc #>> '{discountedTotalSet,presentmentMoney,amount}')::numeric as presentment_discounted_total,
                    (l.doc #>> '{totalDiscountSet,shopMoney,amount}')::numeric as discount,
                    (l.doc #>> '{totalDiscountSet,presentmentMoney,amount}')::numeric as presentment_discount,
                    l.line as at_line
                from pg_temp.store_lines l
                cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
                where l.kind = 'l' and not p.dead and not p.stale and not l.late
            ) r order by shopify_id, at_line desc
        ) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id
          and (t.order_id, t.title, t.variant_title, t.sku, t.vendor, t.product_id, t.variant_id, t.quantity,
               t.current_quantity, t.gift_card, t.unit_price, t.presentment_unit_price, t.discounted_total,
               t.presentment_discounted_total, t.discount, t.presentment_discount)
              is distinct from
              (f.order_id, f.title, f.variant_title, f.sku, f.vendor, f.product_id, f.variant_id, f.quantity,
               f.current_quantity, f.gift_card, f.unit_price, f.presentment_unit_price, f.discounted_total,
               f.presentment_discounted_total, f.discount, f.presentment_discount);
        get diagnostics v_changed = row_count;
    end if;
    return v_added + v_changed;
end $$;

create or replace function stores.put_shipping_lines(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_shipping_lines
        (connection_id, shopify_id, order_id, title, code, source, removed, original_price,
         presentment_original_price, discounted_price, presentment_discounted_price)
    select
        p_connection, l.id, p.order_id, l.doc ->> 'title', l.doc ->> 'code', l.doc ->> 'source',
        coalesce((l.doc ->> 'isRemoved')::boolean, false),
        (l.doc #>> '{originalPriceSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{originalPriceSet,presentmentMoney,amount}')::numeric,
        (l.doc #>> '{discountedPriceSet,shopMoney,amount}')::numeric,
        (l.doc #>> '{discountedPriceSet,presentmentMoney,amount}')::numeric
    from pg_temp.store_lines l
        cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
    where l.kind = 's' and not p.dead
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_shipping_lines t set
            order_id = f.order_id, title = f.title, code = f.code, source = f.source, removed = f.removed,
            original_price = f.original_price, presentment_original_price = f.presentment_original_price,
            discounted_price = f.discounted_price, presentment_discounted_price = f.presentment_discounted_price
        from (
            select distinct on (shopify_id) * from (
                select
                    p_connection as connection_id, l.id as shopify_id, p.order_id, l.doc ->> 'title' as title,
                    l.doc ->> 'code' as code, l.doc ->> 'source' as source,
                    coalesce((l.doc ->> 'isRemoved')::boolean, false) as removed,
                    (l.doc #>> '{originalPriceSet,shopMoney,amount}')::numeric as original_price,
                    (l.doc #>> '{originalPriceSet,presentmentMoney,amount}')::numeric as presentment_original_price,
                    (l.doc #>> '{discountedPriceSet,shopMoney,amount}')::numeric as discounted_price,
                    (l.doc #>> '{discountedPriceSet,presentmentMoney,amount}')::numeric as presentment_discounted_price,
                    l.line as at_line
                from pg_temp.store_lines l
                cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
                where l.kind = 's' and not p.dead and not p.stale and not l.late
            ) r order by shopify_id, at_line desc
        ) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id
          and (t.order_id, t.title, t.code, t.source, t.removed, t.original_price, t.presentment_original_price,
               t.discounted_price, t.presentment_discounted_price)
              is distinct from
              (f.order_id, f.title, f.code, f.source, f.removed, f.original_price, f.presentment_original_price,
               f.discounted_price, f.presentment_discounted_price);
        get diagnostics v_changed = row_count;
    end if;
    return v_added + v_changed;
end $$;
