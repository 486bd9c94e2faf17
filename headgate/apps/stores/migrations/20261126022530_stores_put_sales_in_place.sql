-- Lines of one kind into their table. Where the table has nothing between their numbers, as in a first import, they are
-- simply added; else they are added where there are none, and changed where they are newer and differ. Equal rows are
-- never written. Returns how many rows were written. p_lines: how many lines of the kind there are; where fewer rows came
-- of them, a parent may be missing. What agreements and refunds say is kept for their own children, in any batch.

create or replace function stores.put_sales(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    if stores.all_new('shop_sales', p_connection, 'x') then
        begin
            with added as (
                insert into public.shop_sales
                    (connection_id, shopify_id, order_id, agreement_id, day, currency, counted, reason, action, line_type,
                     quantity, line_item_id, amount, presentment_amount, tax, presentment_tax, discount,
                     presentment_discount, discount_after_tax, presentment_discount_after_tax)
                select p_connection, n.shopify_id, n.order_id, n.agreement_id, n.day, n.currency, n.counted, n.reason,
                       n.action, n.line_type, n.quantity, n.line_item_id, n.amount, n.presentment_amount, n.tax,
                       n.presentment_tax, n.discount, n.presentment_discount, n.discount_after_tax,
                       n.presentment_discount_after_tax
                from stores.read_sales(p_scope) n
                returning day, currency, counted
            ), marks as (
                insert into control.rollup_dirty (rollup, key)
                select 'stores.daily_sales',
                       jsonb_build_object('connection_id', p_connection, 'day', d.day, 'currency', d.currency)
                from (select distinct a.day, a.currency from added a where a.counted) d order by 2
                on conflict (rollup, key) do update set since = clock_timestamp()
            )
            select count(*) into v_added from added;
            if v_added < p_lines then
                perform stores.part_orphans(p_connection, p_scope, 'a', '{x}');
            end if;
            return v_added;
        exception when unique_violation then
            null;  -- the same object twice in the batch
        end;
    end if;
    perform stores.part_orphans(p_connection, p_scope, 'a', '{x}');
    with added as (
        insert into public.shop_sales
            (connection_id, shopify_id, order_id, agreement_id, day, currency, counted, reason, action, line_type,
             quantity, line_item_id, amount, presentment_amount, tax, presentment_tax, discount, presentment_discount,
             discount_after_tax, presentment_discount_after_tax)
        select p_connection, n.shopify_id, n.order_id, n.agreement_id, n.day, n.currency, n.counted, n.reason, n.action,
               n.line_type, n.quantity, n.line_item_id, n.amount, n.presentment_amount, n.tax, n.presentment_tax,
               n.discount, n.presentment_discount, n.discount_after_tax, n.presentment_discount_after_tax
        from stores.read_sales(p_scope) n
        on conflict do nothing
        returning day, currency, counted
    ), marks as (
        insert into control.rollup_dirty (rollup, key)
        select 'stores.daily_sales',
               jsonb_build_object('connection_id', p_connection, 'day', d.day, 'currency', d.currency)
        from (select distinct a.day, a.currency from added a where a.counted) d order by 2
        on conflict (rollup, key) do update set since = clock_timestamp()
    )
    select count(*) into v_added from added;
    if v_added < p_lines then
        with before as materialized (
            select s.shopify_id, s.day, s.currency from public.shop_sales s
            where s.connection_id = p_connection
              and s.shopify_id in (select l.id from pg_temp.store_rows l where l.kind = 'x')
        ), changed as (
            update public.shop_sales t set
                order_id = f.order_id, agreement_id = f.agreement_id, day = f.day, currency = f.currency,
                counted = f.counted, reason = f.reason, action = f.action, line_type = f.line_type, quantity = f.quantity,
                line_item_id = f.line_item_id, amount = f.amount, presentment_amount = f.presentment_amount, tax = f.tax,
                presentment_tax = f.presentment_tax, discount = f.discount, presentment_discount = f.presentment_discount,
                discount_after_tax = f.discount_after_tax,
                presentment_discount_after_tax = f.presentment_discount_after_tax
            from (select distinct on (n.shopify_id) n.* from stores.read_sales(p_scope) n where not n.stale
                  order by n.shopify_id, n.at_line desc) f
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
            select 'stores.daily_sales',
                   jsonb_build_object('connection_id', p_connection, 'day', m.day, 'currency', m.currency)
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
    if stores.all_new('shop_refunds', p_connection, 'r') then
        begin
            with read as materialized (
                select * from stores.read_refunds(p_connection, p_scope)
            ), noted as (
                insert into stores.file_parents
                    (operation_id, kind, shopify_id, order_id, version, stale, dead)
                select p_scope, 'r', n.shopify_id, n.order_id, n.version, n.stale, n.dead
                from read n on conflict do nothing
            )
            insert into public.shop_refunds
                (connection_id, shopify_id, order_id, created_at, note, total_refunded, presentment_total_refunded)
            select p_connection, n.shopify_id, n.order_id, n.created_at, n.note, n.total_refunded,
                   n.presentment_total_refunded
            from read n where not n.dead;
            get diagnostics v_added = row_count;
            if v_added < p_lines then
                perform stores.part_orphans(p_connection, p_scope, 'o', '{r}');
            end if;
            return v_added;
        exception when unique_violation then
            null;  -- the same object twice in the batch
        end;
    end if;
    perform stores.part_orphans(p_connection, p_scope, 'o', '{r}');
    with read as materialized (
        select * from stores.read_refunds(p_connection, p_scope)
    ), noted as (
        insert into stores.file_parents
            (operation_id, kind, shopify_id, order_id, version, stale, dead)
        select p_scope, 'r', n.shopify_id, n.order_id, n.version, n.stale, n.dead
        from read n on conflict do nothing
    )
    insert into public.shop_refunds
        (connection_id, shopify_id, order_id, created_at, note, total_refunded, presentment_total_refunded)
    select p_connection, n.shopify_id, n.order_id, n.created_at, n.note, n.total_refunded,
           n.presentment_total_refunded
    from read n where not n.dead
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_refunds t set
            order_id = f.order_id, created_at = f.created_at, note = f.note, total_refunded = f.total_refunded,
            presentment_total_refunded = f.presentment_total_refunded
        from (select distinct on (n.shopify_id) n.* from stores.read_refunds(p_connection, p_scope) n where not n.stale and not n.dead
              order by n.shopify_id, n.at_line desc) f
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
    if stores.all_new('shop_refund_lines', p_connection, 'f') then
        begin
            insert into public.shop_refund_lines
                (connection_id, shopify_id, order_id, refund_id, line_item_id, quantity, restock_type, price,
                 presentment_price, subtotal, presentment_subtotal, tax, presentment_tax)
            select p_connection, n.shopify_id, n.order_id, n.refund_id, n.line_item_id, n.quantity, n.restock_type,
                   n.price, n.presentment_price, n.subtotal, n.presentment_subtotal, n.tax, n.presentment_tax
            from stores.read_refund_lines(p_scope) n;
            get diagnostics v_added = row_count;
            if v_added < p_lines then
                perform stores.part_orphans(p_connection, p_scope, 'r', '{f}');
            end if;
            return v_added;
        exception when unique_violation then
            null;  -- the same object twice in the batch
        end;
    end if;
    perform stores.part_orphans(p_connection, p_scope, 'r', '{f}');
    insert into public.shop_refund_lines
        (connection_id, shopify_id, order_id, refund_id, line_item_id, quantity, restock_type, price,
         presentment_price, subtotal, presentment_subtotal, tax, presentment_tax)
    select p_connection, n.shopify_id, n.order_id, n.refund_id, n.line_item_id, n.quantity, n.restock_type, n.price,
           n.presentment_price, n.subtotal, n.presentment_subtotal, n.tax, n.presentment_tax
    from stores.read_refund_lines(p_scope) n
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_refund_lines t set
            order_id = f.order_id, refund_id = f.refund_id, line_item_id = f.line_item_id, quantity = f.quantity,
            restock_type = f.restock_type, price = f.price, presentment_price = f.presentment_price,
            subtotal = f.subtotal, presentment_subtotal = f.presentment_subtotal, tax = f.tax,
            presentment_tax = f.presentment_tax
        from (select distinct on (n.shopify_id) n.* from stores.read_refund_lines(p_scope) n where not n.stale
              order by n.shopify_id, n.at_line desc) f
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
    if stores.all_new('shop_transactions', p_connection, 't') then
        begin
            insert into public.shop_transactions
                (connection_id, shopify_id, order_id, parent_id, kind, status, gateway, test, processed_at, amount,
                 presentment_amount)
            select p_connection, n.shopify_id, n.order_id, n.parent_id, n.kind, n.status, n.gateway, n.test,
                   n.processed_at, n.amount, n.presentment_amount
            from stores.read_transactions(p_scope) n;
            get diagnostics v_added = row_count;
            if v_added < p_lines then
                perform stores.part_orphans(p_connection, p_scope, 'o', '{t}');
            end if;
            return v_added;
        exception when unique_violation then
            null;  -- the same object twice in the batch
        end;
    end if;
    perform stores.part_orphans(p_connection, p_scope, 'o', '{t}');
    insert into public.shop_transactions
        (connection_id, shopify_id, order_id, parent_id, kind, status, gateway, test, processed_at, amount,
         presentment_amount)
    select p_connection, n.shopify_id, n.order_id, n.parent_id, n.kind, n.status, n.gateway, n.test, n.processed_at,
           n.amount, n.presentment_amount
    from stores.read_transactions(p_scope) n
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_transactions t set
            order_id = f.order_id, parent_id = f.parent_id, kind = f.kind, status = f.status, gateway = f.gateway,
            test = f.test, processed_at = f.processed_at, amount = f.amount, presentment_amount = f.presentment_amount
        from (select distinct on (n.shopify_id) n.* from stores.read_transactions(p_scope) n where not n.stale
              order by n.shopify_id, n.at_line desc) f
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
