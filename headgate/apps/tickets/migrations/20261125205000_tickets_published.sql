-- Which table of the application tells realtime's subscribers of its changes: events, a small one that is touched
-- once by each accepted poll.
do $$
begin
  if exists (select from pg_publication where pubname = 'supabase_realtime')
    and not exists (select from pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'events') then
    alter publication supabase_realtime add table public.events;
  end if;
end $$;
