-- What each line says, read in place. A batch's documents stay in the stage: pg_temp.store_rows has one short row a line
-- that says what it is and where its document lies, for copies of the documents were a third of the work. Each function
-- read_… is one SELECT that the planner puts into the statement that calls it, so that the fields of a kind stand in one
-- place however they are written.
--
-- A line's parent is looked up in stores.file_parents one by one, by `offset 0`: a file's parents grow with the file and
-- have no statistics yet, so a join that the planner may turn around compares every line with every parent.

-- pg_temp.store_rows is made by stores.spread, in each session anew
set local check_function_bodies = off;

create function stores.lines_of(p_kind "char")
returns table (line bigint, id bigint, parent bigint, late boolean, version timestamptz, doc jsonb)
language sql stable as $$
    select l.line, l.id, l.parent, l.late, l.version,
           coalesce(l.doc, (select r.doc from stage.rows r where r.ctid = l.place))
    from pg_temp.store_rows l where l.kind = p_kind offset 0
$$;
comment on function stores.lines_of is 'The lines of a kind in the batch that is being put, with their documents.';

create function stores.parent_of(p_scope bigint, p_kind "char", p_id bigint) returns setof stores.file_parents
language sql stable as $$
    select f.* from stores.file_parents f where f.operation_id = p_scope and f.kind = p_kind and f.shopify_id = p_id offset 0
$$;
comment on function stores.parent_of is 'What a file has told of a parent; no row where it has not come.';

create function stores.read_orders(p_scope bigint)
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

create function stores.read_agreements(p_scope bigint, p_zone text)
returns table (
    at_line bigint, stale boolean, dead boolean, shopify_id bigint, order_id bigint, happened_at timestamptz, day date,
    reason text, version timestamptz, currency text, counted boolean)
language sql stable as $$
    select l.line, p.stale or l.late, p.dead, l.id, p.order_id, l.happened_at, (l.happened_at at time zone p_zone)::date,
           coalesce(l.doc ->> 'reason', 'UNKNOWN'), p.version, p.currency, p.counted
    from (select d.*, (d.doc ->> 'happenedAt')::timestamptz as happened_at from stores.lines_of('a') d offset 0) l
    cross join lateral stores.parent_of(p_scope, 'o', l.parent) p
$$;

create function stores.read_line_items(p_scope bigint)
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

create function stores.read_shipping_lines(p_scope bigint)
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

create function stores.read_sales(p_scope bigint)
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

create function stores.read_refunds(p_connection bigint, p_scope bigint)
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

create function stores.read_refund_lines(p_scope bigint)
returns table (
    at_line bigint, stale boolean, shopify_id bigint, order_id bigint, refund_id bigint, line_item_id bigint,
    quantity bigint, restock_type text, price numeric, presentment_price numeric, subtotal numeric,
    presentment_subtotal numeric, tax numeric, presentment_tax numeric)
language sql stable as $$
    select l.line, p.stale or l.late, l.id, p.order_id, p.shopify_id, stores.gid(l.doc #>> '{lineItem,id}'),
           coalesce((l.doc ->> 'quantity')::bigint, 0), l.doc ->> 'restockType',
           (l.doc #>> '{priceSet,shopMoney,amount}')::numeric,
           (l.doc #>> '{priceSet,presentmentMoney,amount}')::numeric,
           (l.doc #>> '{subtotalSet,shopMoney,amount}')::numeric,
           (l.doc #>> '{subtotalSet,presentmentMoney,amount}')::numeric,
           (l.doc #>> '{totalTaxSet,shopMoney,amount}')::numeric,
           (l.doc #>> '{totalTaxSet,presentmentMoney,amount}')::numeric
    from stores.lines_of('f') l
    cross join lateral stores.parent_of(p_scope, 'r', l.parent) p
    where not p.dead
$$;

create function stores.read_transactions(p_scope bigint)
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

revoke execute on function stores.lines_of("char"), stores.parent_of(bigint, "char", bigint), stores.read_orders(bigint),
    stores.read_agreements(bigint, text), stores.read_line_items(bigint), stores.read_shipping_lines(bigint),
    stores.read_sales(bigint), stores.read_refunds(bigint, bigint), stores.read_refund_lines(bigint),
    stores.read_transactions(bigint) from public;
