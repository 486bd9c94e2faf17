-- The functions as 20261125020140_stores_promote.sql made them.
create or replace function stores.spread(p_batch bigint, p_docs jsonb, p_read timestamptz, p_from bigint, p_to bigint) returns void
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

create or replace function stores.note_parents(p_connection bigint, p_scope bigint, p_kind "char") returns void
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

create or replace function stores.part_orphans(p_connection bigint, p_scope bigint, p_kind "char", p_children "char"[]) returns bigint
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

create or replace function stores.put_lines(p_connection bigint, p_scope bigint) returns jsonb
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

create or replace function stores.bad_lines(p_connection bigint, p_scope bigint, p_batch bigint, p_read timestamptz) returns jsonb
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

create or replace function stores.promote_batch(p_batch bigint, p_run bigint, p_meta jsonb) returns jsonb
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

alter function stores.version_of(timestamptz, timestamptz) immutable;
revoke execute on function stores.note_parents(bigint, bigint, "char") from public;
drop function stores.all_new(text, bigint, "char"), stores.join_orphans(bigint, bigint, "char"), stores.note_orders(bigint, bigint),
    stores.count_kinds(), stores.prepare_batch(bigint, bigint, jsonb);
