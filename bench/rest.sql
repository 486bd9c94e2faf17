-- What the REST measurement reads and writes: rows of a thousand owners under a policy, and orders of three tables.
create table public.items (
  id int primary key, owner uuid not null, category int not null, name text not null, price numeric not null);
insert into public.items
  select n, md5((n % 1000)::text)::uuid, n % 20, 'item ' || n, (n % 500) / 10.0 from generate_series(1, 100000) n;
create index on public.items (owner, id);
alter table public.items enable row level security;
-- The claim is not `sub`, for which the peer would look in its own table of users.
create function public.me() returns uuid language sql stable as
  $$select (current_setting('request.jwt.claims', true)::json ->> 'owner')::uuid$$;
create policy own on public.items to authenticated using (owner = (select public.me()));
create table public.customers (id int primary key, name text not null);
create table public.orders (id int primary key, customer_id int not null references public.customers, total numeric);
create table public.lines (id int primary key, order_id int not null references public.orders, qty int, label text);
insert into public.customers select n, 'customer ' || n from generate_series(1, 1000) n;
insert into public.orders select n, n % 1000 + 1, n from generate_series(1, 20000) n;
insert into public.lines select n, (n - 1) / 4 + 1, n % 9, 'line ' || n from generate_series(1, 80000) n;
create index on public.lines (order_id);
create table public.events (id bigint generated always as identity primary key, kind text, amount int, note text);
create function public.spent(customer int) returns numeric language sql stable as
  'select coalesce(sum(total), 0) from public.orders where customer_id = customer';
create index on public.orders (customer_id);
grant select on public.items, public.customers, public.orders, public.lines to authenticated;
grant insert on public.events to authenticated;
