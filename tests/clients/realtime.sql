-- What the realtime programs watch.
create table public.rooms (id int primary key, name text, seats int, tags text[], about jsonb, opened_at timestamptz);
comment on table public.rooms is 'Watched by the clients'' tests.';
alter table public.rooms enable row level security;
create policy everybody_reads on public.rooms for select to anon, authenticated using (true);
grant select on public.rooms to anon, authenticated;
grant all on public.rooms to service_role;
alter publication supabase_realtime add table public.rooms;
create policy hear on realtime.messages for select to anon, authenticated using (realtime.topic() like 'private-%');
create policy say on realtime.messages for insert to anon, authenticated with check (realtime.topic() like 'private-%');
create function public.tell_room(topic text, body jsonb) returns void language sql security definer
  set search_path = '' as $$ select realtime.send(body, 'told', topic, true) $$;
