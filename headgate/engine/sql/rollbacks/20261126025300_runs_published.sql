do $$
begin
  if exists (select from pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'control' and tablename = 'runs') then
    alter publication supabase_realtime drop table control.runs;
  end if;
end $$;
