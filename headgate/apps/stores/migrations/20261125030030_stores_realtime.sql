-- Milestones reach clients live, under the same row-level security as everything else.
do $$
begin
  if exists (select from pg_publication where pubname = 'supabase_realtime' and not puballtables) then
    alter publication supabase_realtime add table public.shop_milestones;
  end if;
end $$;
