-- Runs tell realtime's subscribers how far they are: one change for each promoted page, and row-level security decides
-- who hears of which (administrators of all, users of their own).
do $$
begin
  if exists (select from pg_publication where pubname = 'supabase_realtime' and not puballtables)
    and not exists (select from pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'control' and tablename = 'runs') then
    alter publication supabase_realtime add table control.runs;
  end if;
end $$;
