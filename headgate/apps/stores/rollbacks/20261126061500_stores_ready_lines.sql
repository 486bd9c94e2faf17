set local check_function_bodies = off;

create or replace function stores.count_kinds() returns void
language plpgsql set search_path = '' as $$
begin
    delete from pg_temp.store_kinds;
    insert into pg_temp.store_kinds
    select l.kind, count(*), min(l.id), max(l.id) from pg_temp.store_rows l group by l.kind;
end $$;

create or replace function stores.spread(p_batch bigint, p_docs jsonb, p_read timestamptz, p_from bigint, p_to bigint) returns void
language plpgsql set search_path = '' as $$
begin
    if to_regclass('pg_temp.store_rows') is null then
        create temporary table store_rows (
            line bigint, kind "char", id bigint, parent bigint, late boolean, version timestamptz, place tid, doc jsonb
        ) on commit delete rows;
        alter table pg_temp.store_rows alter column kind set statistics 1;
        alter table pg_temp.store_rows alter column parent set statistics 1;
        create temporary table store_kinds (kind "char", n bigint, first bigint, last bigint) on commit delete rows;
    -- a commit empties it; truncating gives it another file, and with that every statement about it is planned anew
    elsif exists (select from pg_temp.store_rows) then
        truncate pg_temp.store_rows;
    end if;
    -- stores.id_of is called for objects without a global id only: a call for each line is a third of the time here
    insert into pg_temp.store_rows
    select s.line, s.kind,
           case when s.doc ->> 'id' is not null then stores.gid(s.doc ->> 'id') else stores.id_of(s.kind, s.doc) end,
           stores.gid(s.doc ->> '__parentId'), false,
           case when s.kind in ('o', 'c', 'p', 'v', 'i')
                then stores.version_of((s.doc ->> 'updatedAt')::timestamptz, p_read) end,
           s.place, case when s.place is null then s.doc end
    from (select r.line, stores.kind_of(r.doc) as kind, r.ctid as place, r.doc from stage.rows r
          where r.batch_id = p_batch and r.line > 0 and r.line between p_from and p_to
          union all
          select e.line, stores.kind_of(e.doc), null, e.doc
          from jsonb_array_elements(p_docs) with ordinality e (doc, line)) s;
    insert into pg_temp.store_rows
    select o.line, i.kind, stores.gid(e ->> 'id'), o.id, false, null::timestamptz, null::tid, e
    from stores.lines_of('o') o
    cross join lateral (values ('r'::"char", o.doc -> 'refunds'), ('t'::"char", o.doc -> 'transactions')) i (kind, list)
    cross join lateral jsonb_array_elements(case when jsonb_typeof(i.list) = 'array' then i.list end) e;
    perform stores.count_kinds();
    -- Once in a session, for each time makes every plan anew: a sample of 300 lines tells how the kinds are mixed and that
    -- many lines have the same parent, so that it is looked up once.
    if (select c.reltuples from pg_class c where c.oid = 'pg_temp.store_rows'::regclass) < 0
        and (select sum(k.n) from pg_temp.store_kinds k) > 1000 then
        analyze pg_temp.store_rows (kind, parent);
    end if;
end $$;

create or replace function stores.note_orders(p_connection bigint, p_scope bigint) returns void
language plpgsql set search_path = '' as $$
declare
    v_currency text;
    v_new boolean := stores.all_new('shop_orders', p_connection, 'o');
begin
    select c.currency into v_currency from stores.connections c where c.id = p_connection;
    insert into stores.file_parents as f (operation_id, kind, shopify_id, order_id, version, currency, counted, line, dead, stale)
    select distinct on (l.id) p_scope, 'o', l.id, l.id, l.version, coalesce(l.doc ->> 'currencyCode', v_currency),
           not coalesce((l.doc ->> 'test')::boolean, false), l.line,
           exists (select from stores.tombstones d
                   where d.connection_id = p_connection and d.kind = 'order' and d.shopify_id = l.id),
           not v_new and exists (select from public.shop_orders t
                                 where t.connection_id = p_connection and t.shopify_id = l.id and t.version > l.version)
    from stores.lines_of('o') l order by l.id, l.version desc, l.line
    on conflict (operation_id, kind, shopify_id) do update
    set version = excluded.version, currency = excluded.currency, counted = excluded.counted, line = excluded.line,
        dead = excluded.dead, stale = excluded.stale
    where excluded.version > f.version;
end $$;

create or replace function stores.part_orphans(p_connection bigint, p_scope bigint, p_kind "char", p_children "char"[]) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_parted bigint;
begin
    with gone as (
        delete from pg_temp.store_rows l
        where l.kind = any (p_children)
          and (select p.shopify_id from stores.file_parents p
               where p.operation_id = p_scope and p.kind = p_kind and p.shopify_id = l.parent) is null
        returning l.line, l.parent, l.place, l.doc
    )
    insert into stores.orphans (operation_id, line, connection_id, parent_kind, parent_id, doc)
    select p_scope, g.line, p_connection, p_kind, coalesce(g.parent, 0),
           coalesce(g.doc, (select r.doc from stage.rows r where r.ctid = g.place))
    from gone g where p_scope > 0
    on conflict do nothing;
    get diagnostics v_parted = row_count;
    if v_parted > 0 or p_scope < 0 then
        perform stores.count_kinds();
    end if;
    return v_parted;
end $$;

create or replace function stores.read_orders(p_scope bigint)
returns table (
    at_line bigint, shopify_id bigint, version timestamptz, name text, created_at timestamptz, processed_at timestamptz,
    updated_at timestamptz, cancelled_at timestamptz, closed_at timestamptz, cancel_reason text, test boolean,
    edited boolean, taxes_included boolean, financial_status text, fulfillment_status text, source_name text, tags text[],
    customer_id bigint, currency text, presentment_currency text, total_price numeric, presentment_total_price numeric,
    current_total_price numeric, presentment_current_total_price numeric, current_subtotal numeric,
    presentment_current_subtotal numeric, current_discounts numeric, presentment_current_discounts numeric,
    current_taxes numeric, presentment_current_taxes numeric, total_shipping numeric, presentment_total_shipping numeric,
    total_refunded numeric, presentment_total_refunded numeric, total_tips numeric, presentment_total_tips numeric)
language sql stable as $$
    select l.line, l.id, p.version, l.doc ->> 'name', (l.doc ->> 'createdAt')::timestamptz,
           (l.doc ->> 'processedAt')::timestamptz, coalesce((l.doc ->> 'updatedAt')::timestamptz, p.version),
           (l.doc ->> 'cancelledAt')::timestamptz, (l.doc ->> 'closedAt')::timestamptz, l.doc ->> 'cancelReason',
           coalesce((l.doc ->> 'test')::boolean, false), coalesce((l.doc ->> 'edited')::boolean, false),
           coalesce((l.doc ->> 'taxesIncluded')::boolean, false), l.doc ->> 'displayFinancialStatus',
           l.doc ->> 'displayFulfillmentStatus', l.doc ->> 'sourceName',
           case when l.doc -> 'tags' = '[]' then '{}'::text[] else stores.texts(l.doc -> 'tags') end,
           stores.gid(l.doc #>> '{customer,id}'), p.currency, coalesce(l.doc ->> 'presentmentCurrencyCode', p.currency),
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
    from stores.lines_of('o') l
    cross join lateral stores.parent_of(p_scope, 'o', l.id) p
    where not p.dead and l.line = p.line
$$;

create or replace function stores.read_agreements(p_scope bigint, p_zone text)
returns table (
    at_line bigint, stale boolean, dead boolean, shopify_id bigint, order_id bigint, happened_at timestamptz, day date,
    reason text, version timestamptz, currency text, counted boolean)
language sql stable as $$
    select l.line, p.stale or l.late, p.dead, l.id, p.order_id, l.happened_at, (l.happened_at at time zone p_zone)::date,
           coalesce(l.doc ->> 'reason', 'UNKNOWN'), p.version, p.currency, p.counted
    from (select d.*, (d.doc ->> 'happenedAt')::timestamptz as happened_at from stores.lines_of('a') d offset 0) l
    cross join lateral stores.parent_of(p_scope, 'o', l.parent) p
$$;

create or replace function stores.read_line_items(p_scope bigint)
returns table (
    at_line bigint, stale boolean, shopify_id bigint, order_id bigint, title text, variant_title text, sku text,
    vendor text, product_id bigint, variant_id bigint, quantity bigint, current_quantity bigint, gift_card boolean,
    unit_price numeric, presentment_unit_price numeric, discounted_total numeric, presentment_discounted_total numeric,
    discount numeric, presentment_discount numeric)
language sql stable as $$
    select l.line, p.stale or l.late, l.id, p.order_id, l.doc ->> 'title', l.doc ->> 'variantTitle', l.doc ->> 'sku',
           l.doc ->> 'vendor', stores.gid(l.doc #>> '{product,id}'), stores.gid(l.doc #>> '{variant,id}'),
           coalesce((l.doc ->> 'quantity')::bigint, 0), (l.doc ->> 'currentQuantity')::bigint,
           coalesce((l.doc ->> 'isGiftCard')::boolean, false),
           (l.doc #>> '{originalUnitPriceSet,shopMoney,amount}')::numeric,
           (l.doc #>> '{originalUnitPriceSet,presentmentMoney,amount}')::numeric,
           (l.doc #>> '{discountedTotalSet,shopMoney,amount}')::numeric,
           (l.doc #>> '{discountedTotalSet,presentmentMoney,amount}')::numeric,
           (l.doc #>> '{totalDiscountSet,shopMoney,amount}')::numeric,
           (l.doc #>> '{totalDiscountSet,presentmentMoney,amount}')::numeric
    from stores.lines_of('l') l
    cross join lateral stores.parent_of(p_scope, 'o', l.parent) p
    where not p.dead
$$;

create or replace function stores.read_shipping_lines(p_scope bigint)
returns table (
    at_line bigint, stale boolean, shopify_id bigint, order_id bigint, title text, code text, source text,
    removed boolean, original_price numeric, presentment_original_price numeric, discounted_price numeric,
    presentment_discounted_price numeric)
language sql stable as $$
    select l.line, p.stale or l.late, l.id, p.order_id, l.doc ->> 'title', l.doc ->> 'code', l.doc ->> 'source',
           coalesce((l.doc ->> 'isRemoved')::boolean, false),
           (l.doc #>> '{originalPriceSet,shopMoney,amount}')::numeric,
           (l.doc #>> '{originalPriceSet,presentmentMoney,amount}')::numeric,
           (l.doc #>> '{discountedPriceSet,shopMoney,amount}')::numeric,
           (l.doc #>> '{discountedPriceSet,presentmentMoney,amount}')::numeric
    from stores.lines_of('s') l
    cross join lateral stores.parent_of(p_scope, 'o', l.parent) p
    where not p.dead
$$;

create or replace function stores.read_sales(p_scope bigint)
returns table (
    at_line bigint, stale boolean, shopify_id bigint, order_id bigint, agreement_id bigint, day date, currency text,
    counted boolean, reason text, action text, line_type text, quantity bigint, line_item_id bigint, amount numeric,
    presentment_amount numeric, tax numeric, presentment_tax numeric, discount numeric, presentment_discount numeric,
    discount_after_tax numeric, presentment_discount_after_tax numeric)
language sql stable as $$
    select l.line, p.stale or l.late, l.id, p.order_id, p.shopify_id, p.day, p.currency, p.counted, p.reason,
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
    from stores.lines_of('x') l
    cross join lateral stores.parent_of(p_scope, 'a', l.parent) p
    where not p.dead
$$;

create or replace function stores.read_refunds(p_connection bigint, p_scope bigint)
returns table (
    at_line bigint, stale boolean, dead boolean, shopify_id bigint, order_id bigint, created_at timestamptz, note text,
    total_refunded numeric, presentment_total_refunded numeric, version timestamptz)
language sql stable as $$
    select l.line, p.stale or l.late, p.dead, l.id, p.order_id, (l.doc ->> 'createdAt')::timestamptz,
           case when k.shopify_id is null then l.doc ->> 'note' end,
           (l.doc #>> '{totalRefundedSet,shopMoney,amount}')::numeric,
           (l.doc #>> '{totalRefundedSet,presentmentMoney,amount}')::numeric, p.version
    from stores.lines_of('r') l
    cross join lateral stores.parent_of(p_scope, 'o', l.parent) p
    left join stores.redactions k on k.connection_id = p_connection and k.kind = 'order' and k.shopify_id = l.parent
$$;

create or replace function stores.read_transactions(p_scope bigint)
returns table (
    at_line bigint, stale boolean, shopify_id bigint, order_id bigint, parent_id bigint, kind text, status text,
    gateway text, test boolean, processed_at timestamptz, amount numeric, presentment_amount numeric)
language sql stable as $$
    select l.line, p.stale or l.late, l.id, p.order_id, stores.gid(l.doc #>> '{parentTransaction,id}'),
           coalesce(l.doc ->> 'kind', 'UNKNOWN'), coalesce(l.doc ->> 'status', 'UNKNOWN'), l.doc ->> 'gateway',
           coalesce((l.doc ->> 'test')::boolean, false), (l.doc ->> 'processedAt')::timestamptz,
           (l.doc #>> '{amountSet,shopMoney,amount}')::numeric,
           (l.doc #>> '{amountSet,presentmentMoney,amount}')::numeric
    from stores.lines_of('t') l
    cross join lateral stores.parent_of(p_scope, 'o', l.parent) p
    where not p.dead
$$;

create or replace function stores.promote_batch(p_batch bigint, p_run bigint, p_meta jsonb) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_connection bigint := (p_meta ->> 'connection_id')::bigint;
    v_operation bigint := (p_meta ->> 'operation_id')::bigint;
    v_scope bigint := coalesce((p_meta ->> 'operation_id')::bigint, -p_run);
    v_read timestamptz := coalesce((p_meta ->> 'read_at')::timestamptz, now());
    v_lines bigint := (select count(*) from stage.rows r where r.batch_id = p_batch and r.line > 0);
    v_rejected bigint := 0;
    v_bad jsonb := '[]';
    v_put jsonb;
    v_roots bigint;
begin
    perform stores.hold(v_connection);
    perform 1 from stores.connections c where c.id = v_connection and c.state in ('connected', 'error');
    if not found then
        raise exception 'Connection % is not connected any more.', v_connection using errcode = 'HG462';
    end if;
    begin
        if coalesce(current_setting('stores.spread_batch', true), '') <> p_batch::text then
            perform stores.spread(p_batch, null, v_read, 0, 9223372036854775807);
        end if;
        perform set_config('stores.spread_batch', '', true);
        v_put := stores.put_lines(v_connection, v_scope);
        if v_put -> 'kinds' ? '?' then
            select jsonb_agg(jsonb_build_object('line', l.line, 'reason', 'this is no object of a known kind'))
            into v_bad from pg_temp.store_rows l where l.kind = '?';
        end if;
    exception when data_exception or integrity_constraint_violation then
        v_bad := stores.bad_lines(v_connection, v_scope, p_batch, v_read);
        if v_bad = '[]' then
            raise;
        end if;
    end;
    if v_bad <> '[]' then
        insert into stores.dead_letters (connection_id, operation_id, line, reason, raw)
        select v_connection, v_operation, (b ->> 'line')::bigint, b ->> 'reason', left(r.doc::text, 4096)
        from jsonb_array_elements(v_bad) b join stage.rows r on r.batch_id = p_batch and r.line = (b ->> 'line')::bigint;
        v_rejected := control.reject_lines(p_run, p_batch, v_bad);
        perform stores.spread(p_batch, null, v_read, 0, 9223372036854775807);
        v_put := stores.put_lines(v_connection, v_scope);
    end if;
    if v_operation is null then
        delete from stores.file_parents f where f.operation_id = v_scope;
    else
        v_roots := (select coalesce(sum((v_put -> 'kinds' ->> k)::bigint), 0) from unnest('{o,c,p}'::text[]) k);
        update stores.bulk_operations b
        set lines = b.lines + v_lines, roots = b.roots + v_roots, rejected = b.rejected + v_rejected,
            orphans = b.orphans + (v_put ->> 'orphans')::bigint, updated_at = clock_timestamp()
        where b.id = v_operation;
        update public.shop_milestones m
        set rows_written = m.rows_written + v_lines, objects_seen = m.objects_seen + v_roots,
            updated_at = clock_timestamp()
        from stores.bulk_operations b
        where b.id = v_operation and m.connection_id = v_connection and m.label = b.entity;
    end if;
    return jsonb_build_object('upserted', least((v_put ->> 'written')::bigint, v_lines - v_rejected), 'rejected', v_rejected,
        'unchanged', greatest(v_lines - v_rejected - (v_put ->> 'written')::bigint, 0), 'orphans', v_put -> 'orphans',
        'kinds', v_put -> 'kinds');
end $$;

drop function stores.make_ready();
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

drop function stores.read_orders(bigint, bigint);
revoke execute on function stores.read_orders(bigint) from public;
