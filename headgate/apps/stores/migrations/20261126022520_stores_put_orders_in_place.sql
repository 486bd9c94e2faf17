-- Lines of one kind into their table. Where the table has nothing between their numbers, as in a first import, they are
-- simply added; else they are added where there are none, and changed where they are newer and differ. Equal rows are
-- never written. Returns how many rows were written. p_lines: how many lines of the kind there are; where fewer rows came
-- of them, a parent may be missing. What agreements and refunds say is kept for their own children, in any batch.

create or replace function stores.put_orders(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    if stores.all_new('shop_orders', p_connection, 'o') then
        begin
            insert into public.shop_orders
                (connection_id, shopify_id, version, name, created_at, processed_at, updated_at, cancelled_at,
                 closed_at, cancel_reason, test, edited, taxes_included, financial_status, fulfillment_status,
                 source_name, tags, customer_id, currency, presentment_currency, total_price, presentment_total_price,
                 current_total_price, presentment_current_total_price, current_subtotal, presentment_current_subtotal,
                 current_discounts, presentment_current_discounts, current_taxes, presentment_current_taxes,
                 total_shipping, presentment_total_shipping, total_refunded, presentment_total_refunded, total_tips,
                 presentment_total_tips)
            select p_connection, n.shopify_id, n.version, n.name, n.created_at, n.processed_at, n.updated_at,
                   n.cancelled_at, n.closed_at, n.cancel_reason, n.test, n.edited, n.taxes_included,
                   n.financial_status, n.fulfillment_status, n.source_name, n.tags, n.customer_id, n.currency,
                   n.presentment_currency, n.total_price, n.presentment_total_price, n.current_total_price,
                   n.presentment_current_total_price, n.current_subtotal, n.presentment_current_subtotal,
                   n.current_discounts, n.presentment_current_discounts, n.current_taxes, n.presentment_current_taxes,
                   n.total_shipping, n.presentment_total_shipping, n.total_refunded, n.presentment_total_refunded,
                   n.total_tips, n.presentment_total_tips
            from stores.read_orders(p_scope) n;
            get diagnostics v_added = row_count;
            return v_added;
        exception when unique_violation then
            null;  -- the same object twice in the batch
        end;
    end if;
    insert into public.shop_orders
        (connection_id, shopify_id, version, name, created_at, processed_at, updated_at, cancelled_at, closed_at,
         cancel_reason, test, edited, taxes_included, financial_status, fulfillment_status, source_name, tags,
         customer_id, currency, presentment_currency, total_price, presentment_total_price, current_total_price,
         presentment_current_total_price, current_subtotal, presentment_current_subtotal, current_discounts,
         presentment_current_discounts, current_taxes, presentment_current_taxes, total_shipping,
         presentment_total_shipping, total_refunded, presentment_total_refunded, total_tips, presentment_total_tips)
    select p_connection, n.shopify_id, n.version, n.name, n.created_at, n.processed_at, n.updated_at, n.cancelled_at,
           n.closed_at, n.cancel_reason, n.test, n.edited, n.taxes_included, n.financial_status, n.fulfillment_status,
           n.source_name, n.tags, n.customer_id, n.currency, n.presentment_currency, n.total_price,
           n.presentment_total_price, n.current_total_price, n.presentment_current_total_price, n.current_subtotal,
           n.presentment_current_subtotal, n.current_discounts, n.presentment_current_discounts, n.current_taxes,
           n.presentment_current_taxes, n.total_shipping, n.presentment_total_shipping, n.total_refunded,
           n.presentment_total_refunded, n.total_tips, n.presentment_total_tips
    from stores.read_orders(p_scope) n
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
            presentment_current_total_price = f.presentment_current_total_price,
            current_subtotal = f.current_subtotal, presentment_current_subtotal = f.presentment_current_subtotal,
            current_discounts = f.current_discounts, presentment_current_discounts = f.presentment_current_discounts,
            current_taxes = f.current_taxes, presentment_current_taxes = f.presentment_current_taxes,
            total_shipping = f.total_shipping, presentment_total_shipping = f.presentment_total_shipping,
            total_refunded = f.total_refunded, presentment_total_refunded = f.presentment_total_refunded,
            total_tips = f.total_tips, presentment_total_tips = f.presentment_total_tips
        from (select distinct on (n.shopify_id) n.* from stores.read_orders(p_scope) n
              order by n.shopify_id, n.version desc, n.at_line desc) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id and f.version >= t.version
          and (t.name, t.created_at, t.processed_at, t.updated_at, t.cancelled_at, t.closed_at, t.cancel_reason,
               t.test, t.edited, t.taxes_included, t.financial_status, t.fulfillment_status, t.source_name, t.tags,
               t.customer_id, t.currency, t.presentment_currency, t.total_price, t.presentment_total_price,
               t.current_total_price, t.presentment_current_total_price, t.current_subtotal,
               t.presentment_current_subtotal, t.current_discounts, t.presentment_current_discounts, t.current_taxes,
               t.presentment_current_taxes, t.total_shipping, t.presentment_total_shipping, t.total_refunded,
               t.presentment_total_refunded, t.total_tips, t.presentment_total_tips)
              is distinct from
              (f.name, f.created_at, f.processed_at, f.updated_at, f.cancelled_at, f.closed_at, f.cancel_reason,
               f.test, f.edited, f.taxes_included, f.financial_status, f.fulfillment_status, f.source_name, f.tags,
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
    if stores.all_new('shop_sales_agreements', p_connection, 'a') then
        begin
            with read as materialized (
                select * from stores.read_agreements(p_scope, v_zone)
            ), noted as (
                insert into stores.file_parents
                    (operation_id, kind, shopify_id, order_id, version, day, currency, counted, reason, stale, dead)
                select p_scope, 'a', n.shopify_id, n.order_id, n.version, n.day, n.currency, n.counted, n.reason,
                       n.stale, n.dead
                from read n on conflict do nothing
            )
            insert into public.shop_sales_agreements
                (connection_id, shopify_id, order_id, happened_at, day, reason)
            select p_connection, n.shopify_id, n.order_id, n.happened_at, n.day, n.reason
            from read n where not n.dead;
            get diagnostics v_added = row_count;
            if v_added < p_lines then
                perform stores.part_orphans(p_connection, p_scope, 'o', '{a}');
            end if;
            return v_added;
        exception when unique_violation then
            null;  -- the same object twice in the batch
        end;
    end if;
    perform stores.part_orphans(p_connection, p_scope, 'o', '{a}');
    with read as materialized (
        select * from stores.read_agreements(p_scope, v_zone)
    ), noted as (
        insert into stores.file_parents
            (operation_id, kind, shopify_id, order_id, version, day, currency, counted, reason, stale, dead)
        select p_scope, 'a', n.shopify_id, n.order_id, n.version, n.day, n.currency, n.counted, n.reason, n.stale,
               n.dead
        from read n on conflict do nothing
    )
    insert into public.shop_sales_agreements
        (connection_id, shopify_id, order_id, happened_at, day, reason)
    select p_connection, n.shopify_id, n.order_id, n.happened_at, n.day, n.reason
    from read n where not n.dead
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_sales_agreements t set
            order_id = f.order_id, happened_at = f.happened_at, day = f.day, reason = f.reason
        from (select distinct on (n.shopify_id) n.* from stores.read_agreements(p_scope, v_zone) n where not n.stale and not n.dead
              order by n.shopify_id, n.at_line desc) f
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
    if stores.all_new('shop_line_items', p_connection, 'l') then
        begin
            insert into public.shop_line_items
                (connection_id, shopify_id, order_id, title, variant_title, sku, vendor, product_id, variant_id,
                 quantity, current_quantity, gift_card, unit_price, presentment_unit_price, discounted_total,
                 presentment_discounted_total, discount, presentment_discount)
            select p_connection, n.shopify_id, n.order_id, n.title, n.variant_title, n.sku, n.vendor, n.product_id,
                   n.variant_id, n.quantity, n.current_quantity, n.gift_card, n.unit_price, n.presentment_unit_price,
                   n.discounted_total, n.presentment_discounted_total, n.discount, n.presentment_discount
            from stores.read_line_items(p_scope) n;
            get diagnostics v_added = row_count;
            if v_added < p_lines then
                perform stores.part_orphans(p_connection, p_scope, 'o', '{l}');
            end if;
            return v_added;
        exception when unique_violation then
            null;  -- the same object twice in the batch
        end;
    end if;
    perform stores.part_orphans(p_connection, p_scope, 'o', '{l}');
    insert into public.shop_line_items
        (connection_id, shopify_id, order_id, title, variant_title, sku, vendor, product_id, variant_id, quantity,
         current_quantity, gift_card, unit_price, presentment_unit_price, discounted_total,
         presentment_discounted_total, discount, presentment_discount)
    select p_connection, n.shopify_id, n.order_id, n.title, n.variant_title, n.sku, n.vendor, n.product_id,
           n.variant_id, n.quantity, n.current_quantity, n.gift_card, n.unit_price, n.presentment_unit_price,
           n.discounted_total, n.presentment_discounted_total, n.discount, n.presentment_discount
    from stores.read_line_items(p_scope) n
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
        from (select distinct on (n.shopify_id) n.* from stores.read_line_items(p_scope) n where not n.stale
              order by n.shopify_id, n.at_line desc) f
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
    if stores.all_new('shop_shipping_lines', p_connection, 's') then
        begin
            insert into public.shop_shipping_lines
                (connection_id, shopify_id, order_id, title, code, source, removed, original_price,
                 presentment_original_price, discounted_price, presentment_discounted_price)
            select p_connection, n.shopify_id, n.order_id, n.title, n.code, n.source, n.removed, n.original_price,
                   n.presentment_original_price, n.discounted_price, n.presentment_discounted_price
            from stores.read_shipping_lines(p_scope) n;
            get diagnostics v_added = row_count;
            if v_added < p_lines then
                perform stores.part_orphans(p_connection, p_scope, 'o', '{s}');
            end if;
            return v_added;
        exception when unique_violation then
            null;  -- the same object twice in the batch
        end;
    end if;
    perform stores.part_orphans(p_connection, p_scope, 'o', '{s}');
    insert into public.shop_shipping_lines
        (connection_id, shopify_id, order_id, title, code, source, removed, original_price,
         presentment_original_price, discounted_price, presentment_discounted_price)
    select p_connection, n.shopify_id, n.order_id, n.title, n.code, n.source, n.removed, n.original_price,
           n.presentment_original_price, n.discounted_price, n.presentment_discounted_price
    from stores.read_shipping_lines(p_scope) n
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_shipping_lines t set
            order_id = f.order_id, title = f.title, code = f.code, source = f.source, removed = f.removed,
            original_price = f.original_price, presentment_original_price = f.presentment_original_price,
            discounted_price = f.discounted_price, presentment_discounted_price = f.presentment_discounted_price
        from (select distinct on (n.shopify_id) n.* from stores.read_shipping_lines(p_scope) n where not n.stale
              order by n.shopify_id, n.at_line desc) f
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
