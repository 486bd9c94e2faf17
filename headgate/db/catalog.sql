-- What PostgreSQL says about itself, one JSON value per query. $1: exposed schemas; $2: schemas searched after them.
-- Run with an empty search_path, so that every name comes out qualified.

-- name: tables
with recursive base as (
  select t.oid, t.oid as root, t.typbasetype as next from pg_catalog.pg_type t
  union all
  select b.oid, t.oid, t.typbasetype from base b join pg_catalog.pg_type t on t.oid = b.next
), root_type as (
  select b.oid, b.root, r.typnamespace as root_schema
  from base b join pg_catalog.pg_type r on r.oid = b.root where b.next = 0
), column_info as (
  select a.attrelid, a.attnum, pg_catalog.jsonb_build_object(
    'name', a.attname,
    'description', pg_catalog.col_description(a.attrelid, a.attnum),
    'nullable', not (a.attnotnull or t.typtype = 'd' and t.typnotnull),
    'type', case
      when t.typtype = 'd' and rt.root_schema = 'pg_catalog'::regnamespace then pg_catalog.format_type(rt.root, null)
      when t.typtype <> 'd' and t.typnamespace = 'pg_catalog'::regnamespace then pg_catalog.format_type(t.oid, null)
      else pg_catalog.format_type(t.oid, a.atttypmod) end,
    'nominal', pg_catalog.format_type(t.oid, a.atttypmod),
    'max_length', information_schema._pg_char_max_length(
      information_schema._pg_truetypid(a, t), information_schema._pg_truetypmod(a, t)),
    'default', case
      when t.typtype = 'd' and d.adbin is null then pg_catalog.pg_get_expr(t.typdefaultbin, 0)
      when a.attidentity = 'd' then (
        select pg_catalog.format('nextval(%L)', s.objid::regclass) from pg_catalog.pg_depend s
        where s.refobjid = a.attrelid and s.refobjsubid = a.attnum and s.deptype = 'i' and s.classid = 'pg_class'::regclass
        limit 1)
      when a.attgenerated <> '' then null
      else pg_catalog.pg_get_expr(d.adbin, d.adrelid) end,
    'generated', a.attgenerated <> '' or a.attidentity = 'a',
    'enum', (select pg_catalog.jsonb_agg(e.enumlabel order by e.enumsortorder)
             from pg_catalog.pg_enum e where e.enumtypid = rt.root)
  ) as info
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid
  join pg_catalog.pg_type t on t.oid = a.atttypid
  join root_type rt on rt.oid = t.oid
  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'v', 'f', 'm', 'p')
    and c.relnamespace::regnamespace = any ($1::regnamespace[])
)
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
  'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
  'description', pg_catalog.obj_description(c.oid, 'pg_class'),
  'writes', case when c.relkind in ('r', 'p') then 28
                 when c.relkind in ('v', 'f') then pg_catalog.pg_relation_is_updatable(c.oid, true)
                 else 0 end,
  'key', (select pg_catalog.jsonb_agg(a.attname order by a.attname)
          from pg_catalog.pg_constraint k
          join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = any (k.conkey)
          where k.conrelid = c.oid and k.contype = 'p'),
  'columns', case when c.relnamespace::regnamespace = any ($1::regnamespace[]) then
             (select pg_catalog.jsonb_agg(i.info order by i.attnum) from column_info i where i.attrelid = c.oid) end
) order by n.nspname, c.relname), '[]')
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'v', 'm', 'f', 'p') and not c.relispartition
  and n.nspname not in ('pg_catalog', 'information_schema')
  and not pg_catalog.pg_is_other_temp_schema(c.relnamespace)

-- name: foreign_keys
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
  'name', k.conname,
  'table', pg_catalog.jsonb_build_array(tn.nspname, t.relname),
  'foreign', pg_catalog.jsonb_build_array(fn.nspname, f.relname),
  'self', k.conrelid = k.confrelid,
  'columns', pairs.columns,
  'unique', exists (
    select from pg_catalog.pg_constraint u
    where u.conrelid = k.conrelid and u.contype in ('p', 'u')
      and u.conkey @> k.conkey and u.conkey <@ k.conkey)
) order by k.conrelid, k.conname), '[]')
from pg_catalog.pg_constraint k
join pg_catalog.pg_class t on t.oid = k.conrelid
join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
join pg_catalog.pg_class f on f.oid = k.confrelid
join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
cross join lateral (
  select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(a.attname, b.attname) order by u.place) as columns
  from unnest(k.conkey, k.confkey) with ordinality as u (here, there, place)
  join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.here
  join pg_catalog.pg_attribute b on b.attrelid = k.confrelid and b.attnum = u.there
) pairs
where k.contype = 'f' and k.conparentid = 0

-- name: keys
select coalesce(pg_catalog.jsonb_agg(distinct pg_catalog.jsonb_build_object(
  'name', k.conname, 'kind', side.kind, 'oid', side.oid::bigint,
  'table', pg_catalog.jsonb_build_array(n.nspname, c.relname), 'numbers', pg_catalog.to_jsonb(side.numbers),
  'columns', (select pg_catalog.jsonb_agg(a.attname order by u.place)
              from unnest(side.numbers) with ordinality u (number, place)
              join pg_catalog.pg_attribute a on a.attrelid = side.oid and a.attnum = u.number)
)), '[]')
from pg_catalog.pg_constraint k
cross join lateral (
  select k.contype::text as kind, k.conrelid as oid, k.conkey as numbers where k.contype in ('p', 'f')
  union all
  select 'f_ref', k.confrelid, k.confkey where k.contype = 'f'
) side
join pg_catalog.pg_class c on c.oid = side.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname not in ('pg_catalog', 'information_schema')

-- name: views
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
  'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'rule', r.ev_action::text,
  'columns', (select pg_catalog.jsonb_object_agg(a.attnum, a.attname) from pg_catalog.pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0)
)), '[]')
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_rewrite r on r.ev_class = c.oid and r.ev_type = '1'
where c.relkind in ('v', 'm')
  and c.relnamespace::regnamespace = any ($1::regnamespace[] || $2::regnamespace[])

-- name: functions
with recursive base as (
  select t.oid, t.oid as root, t.typbasetype as next from pg_catalog.pg_type t
  union all
  select b.oid, t.oid, t.typbasetype from base b join pg_catalog.pg_type t on t.oid = b.next
)
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
  'oid', p.oid::bigint, 'schema', n.nspname, 'name', p.proname,
  'description', pg_catalog.obj_description(p.oid, 'pg_proc'),
  'parameters', coalesce(args.list, '[]'),
  'outputs', outs.list,
  'returns_schema', rn.nspname, 'returns_name', coalesce(rc.relname, r.typname),
  'returns_type', pg_catalog.format_type(p.prorettype, null),
  'set', p.proretset, 'one_row', p.prorows = 1,
  'composite', r.typtype = 'c' or coalesce(p.proargmodes::text[] && '{t,b,o}', false),
  'alias', p.prorettype <> r.oid,
  'volatility', p.provolatile,
  'variadic', p.provariadic <> 0,
  'settings', (select pg_catalog.jsonb_object_agg(pg_catalog.split_part(s, '=', 1),
                                                  pg_catalog.substr(s, pg_catalog.strpos(s, '=') + 1))
               from unnest(p.proconfig) s)
)), '[]')
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join base b on b.oid = p.prorettype and b.next = 0
join pg_catalog.pg_type r on r.oid = b.root
join pg_catalog.pg_namespace rn on rn.oid = r.typnamespace
left join pg_catalog.pg_class rc on rc.oid = r.typrelid
left join lateral (
  select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'name', coalesce(p.proargnames[u.place], ''),
      'type', u.type::regtype::text,
      'wide', case u.type when 'bit'::regtype then 'bit varying' when 'bit[]'::regtype then 'bit varying[]'
                          when 'character'::regtype then 'character varying'
                          when 'character[]'::regtype then 'character varying[]'
                          else u.type::regtype::text end,
      'required', u.input <= p.pronargs - p.pronargdefaults,
      'variadic', coalesce(p.proargmodes[u.place] = 'v', false)
    ) order by u.place) as list,
    pg_catalog.count(*) filter (where coalesce(p.proargnames[u.place], '') = '') as unnamed,
    pg_catalog.count(*) as total,
    pg_catalog.min(u.type) as first_type
  from (
    select x.type, x.place, pg_catalog.row_number() over (order by x.place) as input
    from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality x (type, place)
    where coalesce(p.proargmodes[x.place], 'i') in ('i', 'b', 'v')
  ) u
) args on true
left join lateral (
  select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'name', p.proargnames[x.place], 'type', x.type::regtype::text) order by x.place) as list
  from unnest(p.proallargtypes) with ordinality x (type, place)
  where p.proargmodes[x.place] in ('o', 'b', 't')
) outs on true
where p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
  and p.pronamespace::regnamespace = any ($1::regnamespace[])
  and (coalesce(args.unnamed, 0) = 0 or args.unnamed = 1 and args.total = 1 and args.first_type = any (
    '{bytea,json,jsonb,text,xml}'::regtype[]))

-- name: computed
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
  'function', pg_catalog.jsonb_build_array(n.nspname, p.proname),
  'table', pg_catalog.jsonb_build_array(an.nspname, a.typname),
  'foreign', pg_catalog.jsonb_build_array(rn.nspname, r.typname),
  'to_one', not p.proretset or p.prorows = 1,
  'self', a.oid = r.oid
)), '[]')
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_type a on a.oid = p.proargtypes[0] and a.typrelid <> 0
join pg_catalog.pg_class ac on ac.oid = a.typrelid and ac.relkind in ('r', 'v', 'm', 'f', 'p')
join pg_catalog.pg_namespace an on an.oid = a.typnamespace
join pg_catalog.pg_type r on r.oid = p.prorettype and r.typrelid <> 0
join pg_catalog.pg_class rc on rc.oid = r.typrelid and rc.relkind in ('r', 'v', 'm', 'f', 'p')
join pg_catalog.pg_namespace rn on rn.oid = r.typnamespace
where p.pronargs = 1

-- name: representations
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
  c.castsource::regtype::text, c.casttarget::regtype::text, c.castfunc::regproc::text)), '[]')
from pg_catalog.pg_cast c
join pg_catalog.pg_type s on s.oid = c.castsource
join pg_catalog.pg_type t on t.oid = c.casttarget
where c.castcontext = 'i' and c.castmethod = 'f' and pg_catalog.has_function_privilege(c.castfunc, 'execute')
  and (s.typtype = 'd' and c.casttarget in ('json'::regtype, 'text'::regtype)
    or t.typtype = 'd' and c.castsource in ('json'::regtype, 'text'::regtype))

-- name: handlers
with media as (
  select t.oid, pg_catalog.lower(t.typname) as name, n.nspname as schema, t.typname as domain
  from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
  where t.typbasetype <> 0 and (t.typname = '*/*' or t.typname ~* '^[a-z0-9.-]+/[a-z0-9.+-]+$')
)
select coalesce(pg_catalog.jsonb_agg(found.one), '[]') from (
  select pg_catalog.jsonb_build_object(
    'function', pg_catalog.jsonb_build_array(n.nspname, p.proname),
    'target', pg_catalog.jsonb_build_array(an.nspname, a.typname), 'media', m.name) as one
  from media m
  join pg_catalog.pg_proc p on p.prorettype = m.oid and p.prokind = 'a' and p.pronargs = 1
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  join pg_catalog.pg_type a on a.oid = p.proargtypes[0]
  join pg_catalog.pg_namespace an on an.oid = a.typnamespace
  where p.pronamespace::regnamespace = any ($1::regnamespace[])
    and (a.typname = 'anyelement' or exists (
      select from pg_catalog.pg_class c where c.oid = a.typrelid and c.relkind in ('r', 'v', 'm', 'f', 'p')))
  union all
  select pg_catalog.jsonb_build_object(
    'function', pg_catalog.jsonb_build_array(m.schema, m.domain),
    'target', pg_catalog.jsonb_build_array(n.nspname, p.proname), 'media', m.name)
  from media m
  join pg_catalog.pg_proc p on p.prorettype = m.oid and p.prokind = 'f' and not p.proretset
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where p.pronamespace::regnamespace = any ($1::regnamespace[])
) found

-- name: roles
select pg_catalog.jsonb_build_object(
  'version', pg_catalog.current_setting('server_version_num')::int,
  'members', (
    select coalesce(pg_catalog.jsonb_agg(r.rolname), '[]') from pg_catalog.pg_roles r
    where pg_catalog.pg_has_role(current_user, r.oid, 'member')),
  'settings', (
    select coalesce(pg_catalog.jsonb_object_agg(s.rolname, s.settings), '{}') from (
      select r.rolname, pg_catalog.jsonb_object_agg(kv.key, kv.value) as settings
      from pg_catalog.pg_db_role_setting d
      join pg_catalog.pg_roles r on r.oid = d.setrole
      cross join lateral unnest(d.setconfig) line
      cross join lateral (select pg_catalog.split_part(line, '=', 1) as key,
                                 pg_catalog.substr(line, pg_catalog.strpos(line, '=') + 1) as value) kv
      where d.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()))
        and pg_catalog.pg_has_role(current_user, r.oid, 'member') and r.rolname <> current_user
        and (kv.key like '%.%' or exists (
          select from pg_catalog.pg_settings g where g.name = kv.key
            and (g.context = 'user' or r.rolsuper or pg_catalog.current_setting('is_superuser')::bool)))
      group by r.rolname) s),
  'reads_request', (
    exists (select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
            where n.nspname not in ('pg_catalog', 'information_schema')
              and (p.prosrc ~ 'request\.(?!jwt)' or p.prosqlbody is not null
                   and pg_catalog.pg_get_function_sqlbody(p.oid) ~ 'request\.(?!jwt)'))
    or exists (select from pg_catalog.pg_policy p where
               coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), '') ~ 'request\.(?!jwt)'
               or coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '') ~ 'request\.(?!jwt)')
    or exists (select from pg_catalog.pg_attrdef d where
               pg_catalog.pg_get_expr(d.adbin, d.adrelid) ~ 'request\.(?!jwt)')
    or exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
               where c.relkind in ('v', 'm') and n.nspname not in ('pg_catalog', 'information_schema')
                 and pg_catalog.pg_get_viewdef(c.oid) ~ 'request\.(?!jwt)'))
)

-- name: own_settings
select coalesce(pg_catalog.jsonb_object_agg(pg_catalog.split_part(line, '=', 1),
                                            pg_catalog.substr(line, pg_catalog.strpos(line, '=') + 1)), '{}')::text
from (
  select line from pg_catalog.pg_db_role_setting d
  cross join lateral unnest(d.setconfig) line
  where d.setrole = (select oid from pg_catalog.pg_roles where rolname = current_user) and d.setdatabase in (
    0, (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()))
  order by d.setdatabase
) stored

-- name: accessible
select pg_catalog.jsonb_build_object(
  'tables', (
    select coalesce(pg_catalog.jsonb_agg(c.relname), '[]') from pg_catalog.pg_class c
    where c.relkind in ('r', 'v', 'm', 'f', 'p') and not c.relispartition
      and c.relnamespace = $1::regnamespace
      and (pg_catalog.pg_has_role(c.relowner, 'USAGE')
        or pg_catalog.has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
        or pg_catalog.has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))),
  'functions', (
    select coalesce(pg_catalog.jsonb_agg(p.oid::bigint), '[]') from pg_catalog.pg_proc p
    where p.pronamespace = $1::regnamespace and pg_catalog.has_function_privilege(p.oid, 'execute')),
  'description', pg_catalog.obj_description($1::regnamespace, 'pg_namespace')
)::text
