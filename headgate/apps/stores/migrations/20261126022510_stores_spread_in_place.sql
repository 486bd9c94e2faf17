-- A batch without copies of its documents: spread says where each lies, parents are looked up once, and a child is
-- looked for among the orphans only where a row is missing.
set local check_function_bodies = off;

-- stable, as date_trunc on timestamptz is: the planner may then put it in place instead of calling it for each row
alter function stores.version_of(timestamptz, timestamptz) stable;

create function stores.count_kinds() returns void
language plpgsql set search_path = '' as $$
begin
    delete from pg_temp.store_kinds;
    insert into pg_temp.store_kinds
    select l.kind, count(*), min(l.id), max(l.id) from pg_temp.store_rows l group by l.kind;
end $$;
comment on function stores.count_kinds is 'Counts the lines of the batch that is being put by kind, with their lowest and highest number.';

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
comment on function stores.spread is
    'Objects of a batch, or of a JSON array, one row each with kind, number, parent, version and where its document lies.';

create function stores.note_orders(p_connection bigint, p_scope bigint) returns void
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
comment on function stores.note_orders is
    'Which orders may have children, at which version: the newest line of each; what the file said earlier stays if it is newer.';

create function stores.join_orphans(p_connection bigint, p_scope bigint, p_kind "char") returns bigint
language plpgsql set search_path = '' as $$
declare
    v_back bigint;
begin
    if not exists (select from stores.orphans n where n.connection_id = p_connection and n.parent_kind = p_kind) then
        return 0;
    end if;
    with back as (
        delete from stores.orphans n using stores.file_parents p
        where n.connection_id = p_connection and n.parent_kind = p_kind
          and p.operation_id = p_scope and p.kind = p_kind and p.shopify_id = n.parent_id
        returning n.*
    )
    insert into pg_temp.store_rows
    select b.line, stores.kind_of(b.doc), stores.id_of(stores.kind_of(b.doc), b.doc), b.parent_id,
           b.operation_id <> p_scope, null::timestamptz, null::tid, b.doc from back b;
    get diagnostics v_back = row_count;
    if v_back > 0 then
        perform stores.count_kinds();
    end if;
    return v_back;
end $$;
comment on function stores.join_orphans is 'Children whose parent is here by now come back to the lines; how many.';

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
comment on function stores.part_orphans is 'Parts children from parents that have not come; how many were parted.';

-- Whether no row of the table can be among the lines of a kind: then they are added without a look at each.
create function stores.all_new(p_table text, p_connection bigint, p_kind "char") returns boolean
language plpgsql set search_path = '' as $$
declare
    v_first bigint;
    v_last bigint;
    v_there boolean;
begin
    select k.first, k.last into v_first, v_last from pg_temp.store_kinds k where k.kind = p_kind;
    execute format('select exists (select from public.%I t where t.connection_id = $1 and t.shopify_id between $2 and $3)', p_table)
    into v_there using p_connection, v_first, v_last;
    return not v_there;
end $$;
comment on function stores.all_new is 'Whether the table has no row between the lowest and the highest number of the lines of a kind.';

create or replace function stores.put_lines(p_connection bigint, p_scope bigint) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_n jsonb;
    v_written bigint := 0;
    v_lines bigint;
    v_left bigint;
begin
    select coalesce(jsonb_object_agg(k.kind, k.n), '{}'), coalesce(sum(k.n), 0) into v_n, v_lines from pg_temp.store_kinds k;
    if v_n ? 'o' then
        perform stores.note_orders(p_connection, p_scope);
        v_written := v_written + stores.put_orders(p_connection, p_scope, (v_n ->> 'o')::bigint);
        if p_scope < 0 then
            update stores.file_parents f set stale = true
            from pg_temp.store_rows l, stores.bulk_operations b
            where l.kind = 'o' and b.connection_id = p_connection and b.entity = 'orders' and b.finished_at is null
              and f.operation_id = b.id and f.order_id = l.id and f.version < l.version and not f.stale;
        end if;
    end if;
    if v_n ?| '{o,l,s,a,x,r,t,f}' then
        v_lines := v_lines + stores.join_orphans(p_connection, p_scope, 'o');
        v_n := (select coalesce(jsonb_object_agg(k.kind, k.n), '{}') from pg_temp.store_kinds k);
        if v_n ? 'a' then v_written := v_written + stores.put_agreements(p_connection, p_scope, (v_n ->> 'a')::bigint); end if;
        if v_n ? 'r' then v_written := v_written + stores.put_refunds(p_connection, p_scope, (v_n ->> 'r')::bigint); end if;
        v_lines := v_lines + stores.join_orphans(p_connection, p_scope, 'a') + stores.join_orphans(p_connection, p_scope, 'r');
    end if;
    select coalesce(jsonb_object_agg(k.kind, k.n), '{}') into v_n from pg_temp.store_kinds k;
    if v_n ? 'l' then v_written := v_written + stores.put_line_items(p_connection, p_scope, (v_n ->> 'l')::bigint); end if;
    if v_n ? 's' then v_written := v_written + stores.put_shipping_lines(p_connection, p_scope, (v_n ->> 's')::bigint); end if;
    if v_n ? 'x' then v_written := v_written + stores.put_sales(p_connection, p_scope, (v_n ->> 'x')::bigint); end if;
    if v_n ? 'f' then v_written := v_written + stores.put_refund_lines(p_connection, p_scope, (v_n ->> 'f')::bigint); end if;
    if v_n ? 't' then v_written := v_written + stores.put_transactions(p_connection, p_scope, (v_n ->> 't')::bigint); end if;
    if v_n ? 'c' then v_written := v_written + stores.put_customers(p_connection, p_scope, (v_n ->> 'c')::bigint); end if;
    if v_n ? 'p' then v_written := v_written + stores.put_products(p_connection, p_scope, (v_n ->> 'p')::bigint); end if;
    if v_n ? 'v' then v_written := v_written + stores.put_variants(p_connection, p_scope, (v_n ->> 'v')::bigint); end if;
    if v_n ? 'i' then v_written := v_written + stores.put_levels(p_connection, p_scope, (v_n ->> 'i')::bigint); end if;
    -- what is not there any more was parted; a page's children come with their parents or not at all
    select coalesce(jsonb_object_agg(k.kind, k.n), '{}'), coalesce(sum(k.n), 0) into v_n, v_left from pg_temp.store_kinds k;
    return jsonb_build_object('written', v_written, 'kinds', v_n,
                              'orphans', case when p_scope > 0 then v_lines - v_left else 0 end);
end $$;

-- A line is tried whether or not its parent is among the lines that are tried with it: parents that are not known are made
-- up, older than any and in no currency (ISO 4217 writes that XXX), and undone with the attempt.
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
            insert into stores.file_parents (operation_id, kind, shopify_id, order_id, version, day, currency, reason)
            select distinct p_scope, k.parent, l.parent, l.parent, '-infinity'::timestamptz, '2000-01-01'::date, 'XXX', '?'
            from pg_temp.store_rows l
            join (values ('l'::"char", 'o'::"char"), ('s', 'o'), ('a', 'o'), ('r', 'o'), ('t', 'o'), ('x', 'a'), ('f', 'r'))
                k (kind, parent) on k.kind = l.kind
            where l.parent is not null
            on conflict do nothing;
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

-- Beside another batch's promotion, so it holds no connection. What cannot be read is left for promote_batch to find.
create function stores.prepare_batch(p_batch bigint, p_run bigint, p_meta jsonb) returns void
language plpgsql set search_path = '' as $$
begin
    perform stores.spread(p_batch, null, coalesce((p_meta ->> 'read_at')::timestamptz, now()), 0, 9223372036854775807);
    perform set_config('stores.spread_batch', p_batch::text, true);
exception when data_exception or integrity_constraint_violation then
    null;
end $$;
comment on function stores.prepare_batch is
    'Spreads a staged batch for promote_batch, earlier in the same transaction; without it, promote_batch does.';

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

drop function stores.note_parents(bigint, bigint, "char");
revoke execute on function stores.count_kinds(), stores.note_orders(bigint, bigint), stores.join_orphans(bigint, bigint, "char"), stores.all_new(text, bigint, "char"),
    stores.prepare_batch(bigint, bigint, jsonb) from public;
