-- The table browser: the catalog, rows of any table as text, and edits of one row by its key. Administrators only.
create function console_private.catalog() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
  perform console_private.require_admin();
  return (select coalesce(jsonb_agg(jsonb_build_object('schema', n.nspname, 'name', c.relname,
      'kind', case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table' else 'table' end,
      'comment', pg_catalog.obj_description(c.oid, 'pg_class'), 'rls', c.relrowsecurity,
      'rows', case when c.relkind = 'p' then (select sum(greatest(k.reltuples, 0)) from pg_catalog.pg_inherits i
                 join pg_catalog.pg_class k on k.oid = i.inhrelid where i.inhparent = c.oid) else greatest(c.reltuples, 0) end,
      'bytes', case when c.relkind in ('r', 'm') then pg_catalog.pg_total_relation_size(c.oid) end)
      order by n.nspname <> 'public', n.nspname, c.relname), '[]')
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
     and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'console', 'console_private'));
end
$$;
comment on function console_private.catalog is 'Every table and view with its size.';

create function console_private.relation(p_schema text, p_table text) returns oid
language plpgsql stable security definer set search_path = '' as $$
declare
  v_oid oid;
begin
  perform console_private.require_admin();
  select c.oid into v_oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where n.nspname = p_schema and c.relname = p_table and c.relkind in ('r', 'p', 'v', 'm', 'f')
     and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'console_private');
  if v_oid is null then
    raise undefined_table using message = format('There is no table %I.%I', p_schema, p_table);
  end if;
  return v_oid;
end
$$;
comment on function console_private.relation is 'The table of that name; 42P01 if there is none.';

create function console_private.table_info(p_schema text, p_table text) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_oid constant oid := console_private.relation(p_schema, p_table);
begin
  return jsonb_build_object(
    'kind', (select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table'
               else 'table' end from pg_catalog.pg_class c where c.oid = v_oid),
    'comment', pg_catalog.obj_description(v_oid, 'pg_class'),
    'columns', (select coalesce(jsonb_agg(jsonb_build_object('name', a.attname,
        'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'required', a.attnotnull and not a.atthasdef and a.attidentity = '',
        'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'generated', a.attgenerated <> '' or a.attidentity = 'a',
        'key', coalesce(a.attnum = any (k.conkey), false), 'comment', pg_catalog.col_description(v_oid, a.attnum),
        'references', (select f.confrelid::regclass::text from pg_catalog.pg_constraint f
                        where f.conrelid = v_oid and f.contype = 'f' and f.conkey = array[a.attnum] limit 1))
        order by a.attnum), '[]')
      from pg_catalog.pg_attribute a
      left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      left join pg_catalog.pg_constraint k on k.conrelid = v_oid and k.contype = 'p'
     where a.attrelid = v_oid and a.attnum > 0 and not a.attisdropped),
    'policies', (select coalesce(jsonb_agg(jsonb_build_object('name', p.policyname, 'command', p.cmd, 'roles', p.roles,
        'using', p.qual, 'check', p.with_check) order by p.policyname), '[]')
      from pg_catalog.pg_policies p where p.schemaname = p_schema and p.tablename = p_table),
    'indexes', (select coalesce(jsonb_agg(pg_catalog.pg_get_indexdef(i.indexrelid) order by i.indexrelid), '[]')
      from pg_catalog.pg_index i where i.indrelid = v_oid));
end
$$;
comment on function console_private.table_info is 'Columns, policies and indexes of one table.';

-- `p_filters`: [{column, op, value}] with op of eq, neq, gt, gte, lt, lte, like, null, not_null. Names come from the
-- catalog and are quoted; values are literals of the column's type.
create function console_private.condition(p_relation oid, p_filters jsonb) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_filter record;
  v_type text;
  v_parts text[] := '{}';
begin
  for v_filter in select f.c, f.op, f.v from jsonb_to_recordset(coalesce(p_filters, '[]'))
                    as r("column" text, op text, value text), lateral (select r."column" as c, r.op, r.value as v) f loop
    select pg_catalog.format_type(a.atttypid, a.atttypmod) into v_type from pg_catalog.pg_attribute a
     where a.attrelid = p_relation and a.attname = v_filter.c and a.attnum > 0 and not a.attisdropped;
    if v_type is null then
      raise undefined_column using message = format('There is no column %I', v_filter.c);
    end if;
    v_parts := v_parts || case v_filter.op
      when 'null' then format('t.%I is null', v_filter.c)
      when 'not_null' then format('t.%I is not null', v_filter.c)
      when 'like' then format('t.%I::text ilike %L', v_filter.c, '%' || v_filter.v || '%')
      when 'eq' then format('t.%I = cast(%L as %s)', v_filter.c, v_filter.v, v_type)
      when 'neq' then format('t.%I <> cast(%L as %s)', v_filter.c, v_filter.v, v_type)
      when 'gt' then format('t.%I > cast(%L as %s)', v_filter.c, v_filter.v, v_type)
      when 'gte' then format('t.%I >= cast(%L as %s)', v_filter.c, v_filter.v, v_type)
      when 'lt' then format('t.%I < cast(%L as %s)', v_filter.c, v_filter.v, v_type)
      when 'lte' then format('t.%I <= cast(%L as %s)', v_filter.c, v_filter.v, v_type)
    end;
    if v_parts[array_upper(v_parts, 1)] is null then
      raise invalid_parameter_value using message = 'Unknown operator', hint = 'eq, neq, gt, gte, lt, lte, like, null, not_null';
    end if;
  end loop;
  return coalesce(nullif(array_to_string(v_parts, ' and '), ''), 'true');
end
$$;
comment on function console_private.condition is 'The filters as an SQL condition over t.';

create function console_private.table_rows(
  p_schema text, p_table text, p_filters jsonb, p_order text, p_descending boolean, p_limit integer, p_offset integer
) returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare
  v_oid constant oid := console_private.relation(p_schema, p_table);
  v_where constant text := console_private.condition(v_oid, p_filters);
  v_columns text;
  v_order text;
  v_rows jsonb;
  v_total bigint;
begin
  select string_agg(format('left(t.%I::text, 4000)', a.attname), ', ' order by a.attnum) into v_columns
    from pg_catalog.pg_attribute a where a.attrelid = v_oid and a.attnum > 0 and not a.attisdropped;
  if p_order is not null then
    perform console_private.condition(v_oid, jsonb_build_array(jsonb_build_object('column', p_order, 'op', 'null')));
    v_order := format('t.%I %s nulls last', p_order, case when p_descending then 'desc' else 'asc' end);
  else
    select string_agg(format('t.%I', a.attname), ', ' order by k.n) into v_order
      from pg_catalog.pg_constraint c, unnest(c.conkey) with ordinality k(attnum, n)
      join pg_catalog.pg_attribute a on a.attnum = k.attnum
     where c.conrelid = v_oid and c.contype = 'p' and a.attrelid = v_oid;
  end if;
  execute format('select coalesce(jsonb_agg(x.r), ''[]'') from (select array[%s] as r from %I.%I t where %s%s limit %s offset %s) x',
    v_columns, p_schema, p_table, v_where, coalesce(' order by ' || v_order, ''),
    greatest(1, least(p_limit, 500)), greatest(0, p_offset)) into v_rows;
  execute format('select count(*) from (select from %I.%I t where %s limit 10001) x', p_schema, p_table, v_where)
    into v_total;
  return jsonb_build_object('rows', v_rows, 'total', least(v_total, 10000), 'more', v_total > 10000);
end
$$;
comment on function console_private.table_rows is 'Rows as arrays of text (4,000 characters at most each), and how many there are, counted to 10,000.';

create function console_private.assignments(p_relation oid, p_values jsonb, p_glue text) returns text
language sql stable set search_path = '' as $$
  select string_agg(case when v.value is null and p_glue = ' and ' then format('%I is null', a.attname)
           else format('%I = cast(%L as %s)', a.attname, v.value, pg_catalog.format_type(a.atttypid, a.atttypmod)) end, p_glue)
    from jsonb_each_text(p_values) v join pg_catalog.pg_attribute a
      on a.attrelid = p_relation and a.attname = v.key and a.attnum > 0 and not a.attisdropped
$$;
comment on function console_private.assignments is 'Columns set or compared to literals of their types.';

create function console_private.change_row(p_schema text, p_table text, p_action text, p_key jsonb, p_values jsonb)
returns bigint language plpgsql security definer set search_path = '' as $$
declare
  v_oid constant oid := console_private.relation(p_schema, p_table);
  v_unknown text;
  v_count bigint;
begin
  select k into v_unknown from jsonb_object_keys(coalesce(p_values, '{}') || coalesce(p_key, '{}')) k
   where not exists (select from pg_catalog.pg_attribute a where a.attrelid = v_oid and a.attname = k and a.attnum > 0);
  if v_unknown is not null then
    raise undefined_column using message = format('There is no column %I', v_unknown);
  end if;
  if p_action in ('update', 'delete') and not exists (
    select from pg_catalog.pg_constraint c where c.conrelid = v_oid and c.contype = 'p'
       and (select array_agg(a.attname::text order by a.attname) from pg_catalog.pg_attribute a
             where a.attrelid = v_oid and a.attnum = any (c.conkey))
         = (select array_agg(k order by k) from jsonb_object_keys(p_key) k)) then
    raise invalid_parameter_value using message = 'Rows are changed by their whole primary key';
  end if;
  if p_action = 'update' and p_values <> '{}' then
    execute format('update %I.%I set %s where %s', p_schema, p_table,
      console_private.assignments(v_oid, p_values, ', '), console_private.assignments(v_oid, p_key, ' and '));
  elsif p_action = 'delete' then
    execute format('delete from %I.%I where %s', p_schema, p_table, console_private.assignments(v_oid, p_key, ' and '));
  elsif p_action = 'insert' and p_values = '{}' then
    execute format('insert into %I.%I default values', p_schema, p_table);
  elsif p_action = 'insert' then
    execute (select format('insert into %I.%I (%s) values (%s)', p_schema, p_table, string_agg(format('%I', a.attname), ', '),
        string_agg(format('cast(%L as %s)', v.value, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', '))
      from jsonb_each_text(p_values) v join pg_catalog.pg_attribute a
        on a.attrelid = v_oid and a.attname = v.key and a.attnum > 0 and not a.attisdropped);
  else
    raise invalid_parameter_value using message = 'A row can be inserted, updated with values, or deleted';
  end if;
  get diagnostics v_count = row_count;
  if v_count = 0 and p_action <> 'insert' then
    raise no_data_found using message = 'The row is no longer there';
  end if;
  perform console_private.record(p_action || ' row', format('%I.%I', p_schema, p_table),
    jsonb_build_object('key', p_key, 'columns', (select jsonb_agg(k) from jsonb_object_keys(coalesce(p_values, '{}')) k)));
  return v_count;
end
$$;
comment on function console_private.change_row is 'Inserts, updates or deletes one row; values as text. The audit log keeps key and columns, no values.';

create function console.catalog() returns jsonb language sql stable set search_path = ''
as $$ select console_private.catalog() $$;
comment on function console.catalog is 'Every table and view. Administrators only.';
create function console.table_info(schema_name text, table_name text) returns jsonb language sql stable set search_path = ''
as $$ select console_private.table_info(schema_name, table_name) $$;
comment on function console.table_info is 'Columns, policies and indexes of a table. Administrators only.';
create function console.table_rows(
  schema_name text, table_name text, filters jsonb default '[]', order_by text default null, descending boolean default false,
  row_limit integer default 50, row_offset integer default 0
) returns jsonb language sql stable set search_path = ''
as $$ select console_private.table_rows(schema_name, table_name, filters, order_by, descending, row_limit, row_offset) $$;
comment on function console.table_rows is 'Rows of any table as text. Administrators only.';
create function console.change_row(
  schema_name text, table_name text, action text, key jsonb default '{}', "values" jsonb default '{}'
) returns bigint language sql set search_path = ''
as $$ select console_private.change_row(schema_name, table_name, action, key, "values") $$;
comment on function console.change_row is 'Inserts, updates or deletes one row of any table. Administrators only.';

revoke all on function console_private.catalog, console_private.relation, console_private.table_info, console_private.condition,
  console_private.table_rows, console_private.assignments, console_private.change_row,
  console.catalog, console.table_info, console.table_rows, console.change_row from public;
grant execute on function console_private.catalog, console_private.table_info, console_private.table_rows,
  console_private.change_row, console.catalog, console.table_info, console.table_rows, console.change_row
  to authenticated, service_role;
