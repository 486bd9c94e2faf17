-- What the generators of types read beyond the schema cache: everything that CREATE would need. One JSON value each.
-- Run with an empty search_path, so that every name comes out qualified. schemas: text[].

-- name: types
select coalesce(jsonb_agg(jsonb_build_object(
  'oid', t.oid::bigint, 'schema', n.nspname, 'name', t.typname, 'kind', t.typtype,
  'element', case when t.typcategory = 'A' and t.typelem <> 0 then t.typelem::bigint end,
  'base', nullif(t.typbasetype, 0)::bigint, 'declared', format_type(t.typbasetype, t.typtypmod),
  'not_null', t.typnotnull, 'default', t.typdefault,
  'comment', obj_description(t.oid, 'pg_type'),
  'checks', case when t.typtype = 'd' then (
    select jsonb_agg(pg_get_expr(k.conbin, 0) order by k.conname) from pg_constraint k
    where k.contypid = t.oid and k.contype = 'c') end,
  'labels', case when t.typtype = 'e' then (
    select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid) end,
  'relation', c.relkind,
  'fields', case when c.relkind = 'c' then (
    select jsonb_agg(jsonb_build_array(a.attname, a.atttypid::bigint) order by a.attnum) from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) end
) order by n.nspname, t.typname), '[]')
from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
where n.nspname <> 'pg_toast'

-- name: tables
select coalesce(jsonb_agg(jsonb_build_object(
  'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'comment', obj_description(c.oid, 'pg_class'),
  'writes', case when c.relkind in ('r', 'p') then 28 when c.relkind in ('v', 'f') then pg_relation_is_updatable(c.oid, true)
            else 0 end,
  'partition', case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end,
  'columns', coalesce((
    select jsonb_agg(jsonb_build_object(
      'name', a.attname, 'type', a.atttypid::bigint, 'declared', format_type(a.atttypid, a.atttypmod),
      'not_null', a.attnotnull, 'identity', a.attidentity, 'generated', a.attgenerated,
      'expression', pg_get_expr(d.adbin, d.adrelid), 'comment', col_description(c.oid, a.attnum),
      'writable', c.relkind in ('r', 'p') or pg_column_is_updatable(c.oid, a.attnum, true)) order by a.attnum)
    from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '[]'),
  'constraints', coalesce((
    select jsonb_agg(jsonb_build_object(
      'kind', k.contype, 'name', k.conname, 'expression', pg_get_expr(k.conbin, k.conrelid),
      'columns', (select jsonb_agg(a.attname order by u.place) from unnest(k.conkey) with ordinality u (number, place)
                  join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.number),
      'foreign', (select jsonb_build_array(fn.nspname, f.relname) from pg_class f
                  join pg_namespace fn on fn.oid = f.relnamespace where f.oid = k.confrelid),
      'foreign_columns', (select jsonb_agg(a.attname order by u.place)
                  from unnest(k.confkey) with ordinality u (number, place)
                  join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.number),
      'on_delete', k.confdeltype, 'on_update', k.confupdtype, 'deferrable', k.condeferrable, 'deferred', k.condeferred,
      'nulls_equal', (select i.indnullsnotdistinct from pg_index i where i.indexrelid = k.conindid)
    ) order by k.contype, k.conname)
    from pg_constraint k where k.conrelid = c.oid and k.contype in ('p', 'u', 'f', 'c')), '[]')
) order by n.nspname, c.relname), '[]')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition and n.nspname = any (%(schemas)s)

-- name: functions
select coalesce(jsonb_agg(jsonb_build_object(
  'schema', n.nspname, 'name', p.proname, 'comment', obj_description(p.oid, 'pg_proc'),
  'returns', p.prorettype::bigint, 'set', p.proretset, 'one', p.prorows = 1,
  'arguments', coalesce((
    select jsonb_agg(jsonb_build_object(
      'name', coalesce(p.proargnames[x.place], ''), 'type', x.type::bigint, 'mode', x.mode,
      'optional', x.mode = 'v' or x.mode in ('i', 'b') and x.input > p.pronargs - p.pronargdefaults) order by x.place)
    from (select u.type, u.place, coalesce(p.proargmodes[u.place], 'i') as mode,
            count(*) filter (where coalesce(p.proargmodes[u.place], 'i') in ('i', 'b', 'v')) over (order by u.place) as input
          from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality u (type, place)) x), '[]')
) order by n.nspname, p.proname, p.pronargs, pg_get_function_identity_arguments(p.oid)), '[]')
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.prokind = 'f' and n.nspname = any (%(schemas)s)
  and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)

-- name: sequences
select coalesce(jsonb_agg(jsonb_build_array(n.nspname, c.relname) order by n.nspname, c.relname), '[]')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'S' and n.nspname = any (%(schemas)s)
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'i')
