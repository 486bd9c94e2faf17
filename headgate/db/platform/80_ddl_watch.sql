-- Tells the REST surface when the schema changed, as hosted Supabase does. Only a superuser may make event triggers.

-- piece: function extensions.pgrst_ddl_watch
-- missing: (select rolsuper from pg_roles where rolname = current_user) and to_regprocedure('extensions.pgrst_ddl_watch()') is null
create function extensions.pgrst_ddl_watch() returns event_trigger language plpgsql set search_path = '' as $$
begin
  if exists (select from pg_event_trigger_ddl_commands() c where c.schema_name is distinct from 'pg_temp') then
    notify pgrst, 'reload schema';
  end if;
end $$;
comment on function extensions.pgrst_ddl_watch() is 'Has the REST surface read the catalog again after DDL.';

-- piece: function extensions.pgrst_drop_watch
-- missing: (select rolsuper from pg_roles where rolname = current_user) and to_regprocedure('extensions.pgrst_drop_watch()') is null
create function extensions.pgrst_drop_watch() returns event_trigger language plpgsql set search_path = '' as $$
begin
  if exists (select from pg_event_trigger_dropped_objects() d where not d.is_temporary and d.original) then
    notify pgrst, 'reload schema';
  end if;
end $$;
comment on function extensions.pgrst_drop_watch() is 'Has the REST surface read the catalog again after a drop.';

-- piece: event triggers for the REST surface
-- missing: (select rolsuper from pg_roles where rolname = current_user) and not exists (select from pg_event_trigger where evtname in ('pgrst_ddl_watch', 'headgate_ddl_watch'))
create event trigger headgate_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
create event trigger headgate_drop_watch on sql_drop execute function extensions.pgrst_drop_watch();
