do $$
begin
  if exists (select from pg_publication_tables
              where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'shop_milestones') then
    alter publication supabase_realtime drop table public.shop_milestones;
  end if;
end $$;
