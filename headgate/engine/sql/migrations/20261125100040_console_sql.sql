-- The SQL runner: one text as a chosen role, under a time limit, with its rows capped and a line in the audit log.
-- The function has the caller's rights because PostgreSQL lets no function with the owner's rights change the role.
create function console.run_sql(
  statement text, as_role text default 'authenticated', as_user uuid default null, read_only boolean default true,
  max_rows integer default 500
) returns jsonb language plpgsql set search_path = '' set statement_timeout = '15s' as $$
declare
  v_before constant text := current_setting('role');
  v_claims constant text := current_setting('request.jwt.claims', true);
  v_path constant text := current_setting('search_path');
  v_cap constant integer := greatest(1, least(max_rows, 2000));
  v_started constant timestamptz := clock_timestamp();
  v_row record;
  v_columns jsonb;
  v_rows jsonb[] := '{}';
  v_more boolean := false;
  v_count bigint;
  v_error jsonb;
  v_state text; v_message text; v_detail text; v_hint text;
begin
  perform console_private.require_admin();
  if as_role not in ('anon', 'authenticated', 'service_role', 'owner') then
    raise invalid_parameter_value using message = 'Unknown role', hint = 'anon, authenticated, service_role or owner';
  end if;
  begin
    perform set_config('search_path', 'public, extensions', true);
    if read_only then
      perform set_config('transaction_read_only', 'on', true);
    end if;
    perform set_config('request.jwt.claims', jsonb_strip_nulls(jsonb_build_object('role', as_role, 'sub', as_user))::text, true);
    perform set_config('role', case as_role when 'owner' then 'none' else as_role end, true);
    begin
      for v_row in execute statement loop
        if cardinality(v_rows) >= v_cap then
          v_more := true;
          exit;
        end if;
        if v_columns is null then
          select jsonb_agg(k order by n) into v_columns from json_object_keys(row_to_json(v_row)) with ordinality x(k, n);
        end if;
        v_rows := v_rows || (select jsonb_agg(left(e.value, 4000) order by e.n)
                               from json_each_text(row_to_json(v_row)) with ordinality e(key, value, n));
      end loop;
      v_count := cardinality(v_rows);
    exception when invalid_cursor_definition then
      execute statement;
      get diagnostics v_count = row_count;
    end;
    -- A reading text leaves nothing behind: its subtransaction is taken back, settings and all.
    if read_only then
      raise exception 'read' using errcode = 'HGRO0';
    end if;
  exception
    when sqlstate 'HGRO0' then
      null;
    when query_canceled then
      v_error := jsonb_build_object('code', '57014', 'message', 'The statement took longer than 15 s and was stopped');
    when others then
      get stacked diagnostics v_state = returned_sqlstate, v_message = message_text,
        v_detail = pg_exception_detail, v_hint = pg_exception_hint;
      v_error := jsonb_build_object('code', v_state, 'message', v_message, 'details', nullif(v_detail, ''), 'hint', nullif(v_hint, ''));
  end;
  perform set_config('role', v_before, true);
  perform set_config('request.jwt.claims', v_claims, true);
  perform set_config('search_path', v_path, true);
  perform console_private.record('run SQL', left(statement, 500), jsonb_build_object('role', as_role, 'user', as_user,
    'read_only', read_only, 'rows', v_count, 'error', v_error ->> 'message',
    'ms', round(extract(epoch from clock_timestamp() - v_started) * 1000)));
  if v_error is not null then
    return jsonb_build_object('error', v_error);
  end if;
  return jsonb_build_object('columns', coalesce(v_columns, '[]'), 'rows', to_jsonb(v_rows), 'count', v_count, 'more', v_more,
    'ms', round(extract(epoch from clock_timestamp() - v_started) * 1000));
end
$$;
comment on function console.run_sql is 'Runs SQL as anon, authenticated (as_user: on whose behalf), service_role or the session''s owner; an error is an answer. Administrators only; audited.';
revoke all on function console.run_sql from public;
grant execute on function console.run_sql to authenticated, service_role;
