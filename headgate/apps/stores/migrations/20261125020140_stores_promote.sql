-- Applying lines: what each is, what its parent said, then kind by kind. Bulk files, pages and webhooks all come here.

-- What a line is, told by its global id, or by its fields where Shopify gives it none.
create function stores.kind_of(p_doc jsonb) returns "char"
language sql immutable parallel safe
return case split_part(p_doc ->> 'id', '/', 4)
    when 'Sale' then 'x' when 'LineItem' then 'l' when 'Order' then 'o' when 'SalesAgreement' then 'a'
    when 'ShippingLine' then 's' when 'Customer' then 'c' when 'Product' then 'p' when 'ProductVariant' then 'v'
    when 'InventoryLevel' then 'i' when 'Refund' then 'r' when 'RefundLineItem' then 'f' when 'OrderTransaction' then 't'
    else case when p_doc ->> 'id' like '%Sale/%' then 'x' when p_doc ->> 'id' like '%Agreement/%' then 'a'
              when p_doc ? 'originalPriceSet' then 's' when p_doc ? 'restockType' then 'f' else '?' end
    end::"char";
comment on function stores.kind_of is
    'o order, l line item, s shipping line, a agreement, x sale, r refund, f refund line, t transaction, c customer, '
    'p product, v variant, i inventory level; ? anything else.';

-- The same content of the same parent gives the same number, in whatever order and by whatever path it comes.
create function stores.id_of(p_kind "char", p_doc jsonb) returns bigint
language sql immutable parallel safe
return case when p_doc ->> 'id' is not null then stores.gid(p_doc ->> 'id')
    else -('x' || left(md5(concat_ws(chr(31), p_kind, p_doc ->> '__parentId', p_doc ->> 'title', p_doc ->> 'code',
                p_doc ->> 'source', p_doc #>> '{originalPriceSet,shopMoney,amount}', p_doc #>> '{lineItem,id}',
                p_doc ->> 'restockType', p_doc #>> '{priceSet,shopMoney,amount}')), 15))::bit(60)::bigint end;
comment on function stores.id_of is 'The number of an object; negative and made of its content where Shopify gives none.';

create function stores.hold(p_connection bigint) returns void
language sql set search_path = '' as $$
    select pg_advisory_xact_lock(hashtextextended('headgate.stores', p_connection))
$$;
comment on function stores.hold is
    'Whoever writes the rows of a connection takes turns, until the end of the transaction. So no path can overtake another.';

-- The functions that follow look a line's parent up in stores.file_parents one by one, by `lateral (… offset 0)` or a
-- scalar subquery: a file's parents grow with the file and have no statistics yet, so a join that the planner may turn
-- around compares every line of the batch with every parent.

-- Objects into pg_temp.store_lines, told apart once for the functions put_…: a batch (or a part of it, by line number),
-- or a JSON array. Refunds and payments come inside of orders.
create function stores.spread(p_batch bigint, p_docs jsonb, p_read timestamptz, p_from bigint, p_to bigint) returns void
language plpgsql set search_path = '' as $$
begin
    if to_regclass('pg_temp.store_lines') is null then
        create temporary table store_lines (
            line bigint, kind "char", id bigint, parent bigint, late boolean, version timestamptz, doc jsonb
        ) with (toast_tuple_target = 8160) on commit delete rows;
    else
        truncate pg_temp.store_lines;
    end if;
    -- stores.id_of is called for objects without a global id only: a call for each line is a third of the time here
    insert into pg_temp.store_lines
    select s.line, s.kind,
           case when s.doc ->> 'id' is not null then stores.gid(s.doc ->> 'id') else stores.id_of(s.kind, s.doc) end,
           stores.gid(s.doc ->> '__parentId'), false,
           case when s.kind in ('o', 'c', 'p', 'v', 'i')
                then stores.version_of((s.doc ->> 'updatedAt')::timestamptz, p_read) end, s.doc
    from (select r.line, stores.kind_of(r.doc) as kind, r.doc from stage.rows r
          where r.batch_id = p_batch and r.line > 0 and r.line between p_from and p_to
          union all
          select e.line, stores.kind_of(e.doc), e.doc
          from jsonb_array_elements(p_docs) with ordinality e (doc, line)) s;
    insert into pg_temp.store_lines
    select o.line, 'r', stores.gid(e ->> 'id'), o.id, false, null::timestamptz, e
    from pg_temp.store_lines o, jsonb_array_elements(o.doc -> 'refunds') e
    where o.kind = 'o' and jsonb_typeof(o.doc -> 'refunds') = 'array'
    union all
    select o.line, 't', stores.gid(e ->> 'id'), o.id, false, null::timestamptz, e
    from pg_temp.store_lines o, jsonb_array_elements(o.doc -> 'transactions') e
    where o.kind = 'o' and jsonb_typeof(o.doc -> 'transactions') = 'array';
    -- without statistics the joins that follow would be nested loops over the whole batch
    analyze pg_temp.store_lines (kind, id, parent);
end $$;
comment on function stores.spread is 'Objects of a batch, or of a JSON array, one row each with kind, number, parent and version.';

-- Who may have children, at which version. Lines of the batch, newest first; the file's earlier word is kept if newer.
create function stores.note_parents(p_connection bigint, p_scope bigint, p_kind "char") returns void
language plpgsql set search_path = '' as $$
declare
    v_zone text;
    v_currency text;
begin
    select c.time_zone, c.currency into v_zone, v_currency from stores.connections c where c.id = p_connection;
    if p_kind = 'o' then
        insert into stores.file_parents as f (operation_id, kind, shopify_id, order_id, version, currency, counted, line, dead, stale)
        select distinct on (l.id) p_scope, 'o', l.id, l.id, l.version, coalesce(l.doc ->> 'currencyCode', v_currency),
               not coalesce((l.doc ->> 'test')::boolean, false), l.line,
               exists (select from stores.tombstones d
                       where d.connection_id = p_connection and d.kind = 'order' and d.shopify_id = l.id),
               exists (select from public.shop_orders t
                       where t.connection_id = p_connection and t.shopify_id = l.id and t.version > l.version)
        from pg_temp.store_lines l where l.kind = 'o' order by l.id, l.version desc, l.line
        on conflict (operation_id, kind, shopify_id) do update
        set version = excluded.version, currency = excluded.currency, counted = excluded.counted, line = excluded.line,
            dead = excluded.dead, stale = excluded.stale
        where excluded.version > f.version;
    elsif p_kind = 'a' then
        insert into stores.file_parents as f
            (operation_id, kind, shopify_id, order_id, version, day, currency, counted, reason, stale, dead)
        select p_scope, 'a', l.id, p.order_id, p.version, ((l.doc ->> 'happenedAt')::timestamptz at time zone v_zone)::date,
               p.currency, p.counted, coalesce(l.doc ->> 'reason', 'UNKNOWN'), p.stale or l.late, p.dead
        from pg_temp.store_lines l
        cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
        where l.kind = 'a'
        on conflict do nothing;
    elsif p_kind = 'r' then
        insert into stores.file_parents as f (operation_id, kind, shopify_id, order_id, version, stale, dead)
        select p_scope, 'r', l.id, p.order_id, p.version, p.stale or l.late, p.dead
        from pg_temp.store_lines l
        cross join lateral (select * from stores.file_parents f where f.operation_id = p_scope and f.kind = 'o'
                                    and f.shopify_id = l.parent offset 0) p
        where l.kind = 'r'
        on conflict do nothing;
    end if;
end $$;
comment on function stores.note_parents is 'Keeps what the lines of a batch say of parents, for their children in any batch.';

-- Children without a known parent go to stores.orphans; those whose parent is here now come back.
create function stores.part_orphans(p_connection bigint, p_scope bigint, p_kind "char", p_children "char"[]) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_parted bigint;
begin
    if exists (select from stores.orphans n where n.connection_id = p_connection) then
        with back as (
            delete from stores.orphans n using stores.file_parents p
            where n.connection_id = p_connection and n.parent_kind = p_kind
              and p.operation_id = p_scope and p.kind = p_kind and p.shopify_id = n.parent_id
            returning n.*
        )
        insert into pg_temp.store_lines
        select b.line, stores.kind_of(b.doc), stores.id_of(stores.kind_of(b.doc), b.doc), b.parent_id,
               b.operation_id <> p_scope, null::timestamptz, b.doc from back b;
    end if;
    with gone as (
        delete from pg_temp.store_lines l
        where l.kind = any (p_children)
          and (select p.shopify_id from stores.file_parents p
               where p.operation_id = p_scope and p.kind = p_kind and p.shopify_id = l.parent) is null
        returning l.*
    )
    insert into stores.orphans (operation_id, line, connection_id, parent_kind, parent_id, doc)
    select p_scope, g.line, p_connection, p_kind, coalesce(g.parent, 0), g.doc from gone g where p_scope > 0
    on conflict do nothing;
    get diagnostics v_parted = row_count;
    return v_parted;
end $$;
comment on function stores.part_orphans is 'Parts children from parents that have not come, and joins those that waited; how many were parted.';

-- All kinds of lines, parents before children. p_scope: the operation, or a negative number for a page.
create function stores.put_lines(p_connection bigint, p_scope bigint) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_n jsonb;
    v_written bigint := 0;
    v_orphans bigint := 0;
begin
    select coalesce(jsonb_object_agg(k.kind, k.n), '{}') into v_n
    from (select l.kind::text, count(*) as n from pg_temp.store_lines l group by l.kind) k;
    if v_n ? 'o' then
        perform stores.note_parents(p_connection, p_scope, 'o');
        v_written := v_written + stores.put_orders(p_connection, p_scope, (v_n ->> 'o')::bigint);
        if p_scope < 0 then
            update stores.file_parents f set stale = true
            from pg_temp.store_lines l, stores.bulk_operations b
            where l.kind = 'o' and b.connection_id = p_connection and b.entity = 'orders' and b.finished_at is null
              and f.operation_id = b.id and f.order_id = l.id and f.version < l.version and not f.stale;
        end if;
    end if;
    if v_n ?| '{o,l,s,a,x,r,t,f}' then
        v_orphans := stores.part_orphans(p_connection, p_scope, 'o', '{l,s,a,r,t}');
        perform stores.note_parents(p_connection, p_scope, 'a');
        perform stores.note_parents(p_connection, p_scope, 'r');
        v_orphans := v_orphans + stores.part_orphans(p_connection, p_scope, 'a', '{x}')
                   + stores.part_orphans(p_connection, p_scope, 'r', '{f}');
    end if;
    select coalesce(jsonb_object_agg(k.kind, k.n), '{}') into v_n
    from (select l.kind::text, count(*) as n from pg_temp.store_lines l group by l.kind) k;
    if v_n ? 'a' then v_written := v_written + stores.put_agreements(p_connection, p_scope, (v_n ->> 'a')::bigint); end if;
    if v_n ? 'l' then v_written := v_written + stores.put_line_items(p_connection, p_scope, (v_n ->> 'l')::bigint); end if;
    if v_n ? 's' then v_written := v_written + stores.put_shipping_lines(p_connection, p_scope, (v_n ->> 's')::bigint); end if;
    if v_n ? 'x' then v_written := v_written + stores.put_sales(p_connection, p_scope, (v_n ->> 'x')::bigint); end if;
    if v_n ? 'r' then v_written := v_written + stores.put_refunds(p_connection, p_scope, (v_n ->> 'r')::bigint); end if;
    if v_n ? 'f' then v_written := v_written + stores.put_refund_lines(p_connection, p_scope, (v_n ->> 'f')::bigint); end if;
    if v_n ? 't' then v_written := v_written + stores.put_transactions(p_connection, p_scope, (v_n ->> 't')::bigint); end if;
    if v_n ? 'c' then v_written := v_written + stores.put_customers(p_connection, p_scope, (v_n ->> 'c')::bigint); end if;
    if v_n ? 'p' then v_written := v_written + stores.put_products(p_connection, p_scope, (v_n ->> 'p')::bigint); end if;
    if v_n ? 'v' then v_written := v_written + stores.put_variants(p_connection, p_scope, (v_n ->> 'v')::bigint); end if;
    if v_n ? 'i' then v_written := v_written + stores.put_levels(p_connection, p_scope, (v_n ->> 'i')::bigint); end if;
    return jsonb_build_object('written', v_written, 'orphans', v_orphans, 'kinds', v_n);
end $$;
comment on function stores.put_lines is 'Puts the spread lines into their tables; counts by kind, rows written, orphans parted.';

-- The line numbers that cannot be put, found by halving; every attempt is undone.
create function stores.bad_lines(p_connection bigint, p_scope bigint, p_batch bigint, p_read timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_open int8range[];
    v_range int8range;
    v_low bigint;
    v_high bigint;
    v_bad jsonb := '[]';
begin
    select array[int8range(min(line), max(line), '[]')] into v_open from stage.rows where batch_id = p_batch and line > 0;
    while cardinality(v_open) > 0 loop
        v_range := v_open[cardinality(v_open)];
        v_open := v_open[1:cardinality(v_open) - 1];
        v_low := lower(v_range);
        v_high := upper(v_range) - 1;
        begin
            perform stores.spread(p_batch, null, p_read, v_low, v_high);
            perform stores.put_lines(p_connection, p_scope);
            raise exception using errcode = 'HG500';
        exception
            when sqlstate 'HG500' then
                null;
            when data_exception or integrity_constraint_violation then
                if v_low = v_high then
                    v_bad := v_bad || jsonb_build_object('line', v_low, 'reason', left(sqlerrm, 500));
                else
                    v_open := v_open || int8range(v_low, (v_low + v_high) / 2, '[]')
                                     || int8range((v_low + v_high) / 2 + 1, v_high, '[]');
                end if;
        end;
    end loop;
    return v_bad;
end $$;
comment on function stores.bad_lines is 'Which lines of a batch cannot be put, with the reason: [{line, reason}].';

create function stores.promote_batch(p_batch bigint, p_run bigint, p_meta jsonb) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_connection bigint := (p_meta ->> 'connection_id')::bigint;
    v_operation bigint := (p_meta ->> 'operation_id')::bigint;
    v_scope bigint := coalesce((p_meta ->> 'operation_id')::bigint, -p_run);
    v_read timestamptz := coalesce((p_meta ->> 'read_at')::timestamptz, now());
    v_lines bigint;
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
    select count(*) into v_lines from stage.rows r where r.batch_id = p_batch and r.line > 0;
    begin
        perform stores.spread(p_batch, null, v_read, 0, 9223372036854775807);
        v_put := stores.put_lines(v_connection, v_scope);
        select coalesce(jsonb_agg(jsonb_build_object('line', l.line, 'reason', 'this is no object of a known kind')), '[]')
        into v_bad from pg_temp.store_lines l where l.kind = '?';
    exception when data_exception or integrity_constraint_violation then
        v_bad := stores.bad_lines(v_connection, v_scope, p_batch, v_read);
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
        v_roots := (select count(*) from pg_temp.store_lines l where l.kind in ('o', 'c', 'p'));
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
comment on function stores.promote_batch is
    'Applies a staged batch of Shopify objects, one JSON object a line, children with __parentId. p_meta: connection_id, '
    'operation_id (of a bulk file; none for a page), read_at (a moment not after the reading). The same batch again '
    'writes nothing; an older one overwrites nothing newer.';

revoke execute on function stores.kind_of(jsonb), stores.id_of("char", jsonb), stores.hold(bigint),
    stores.spread(bigint, jsonb, timestamptz, bigint, bigint), stores.note_parents(bigint, bigint, "char"),
    stores.part_orphans(bigint, bigint, "char", "char"[]), stores.put_lines(bigint, bigint),
    stores.bad_lines(bigint, bigint, bigint, timestamptz), stores.promote_batch(bigint, bigint, jsonb) from public;
