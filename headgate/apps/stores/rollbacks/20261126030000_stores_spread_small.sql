create or replace function stores.spread(p_batch bigint, p_docs jsonb, p_read timestamptz, p_from bigint, p_to bigint) returns void
language plpgsql set search_path = '' as $$
begin
    if to_regclass('pg_temp.store_rows') is null then
        create temporary table store_rows (
            line bigint, kind "char", id bigint, parent bigint, late boolean, version timestamptz, place tid, doc jsonb
        ) on commit delete rows;
    else
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
end $$;
