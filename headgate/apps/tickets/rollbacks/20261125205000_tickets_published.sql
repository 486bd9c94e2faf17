do $$
begin
  if exists (select from pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'events') then
    alter publication supabase_realtime drop table public.events;
  end if;
end $$;
