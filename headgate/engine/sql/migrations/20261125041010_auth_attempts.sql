-- Attempts at signing in, per address and per account, counted for all server processes together. A bucket is one
-- row: the moment at which it will be empty again (the generic cell rate algorithm). Unlogged: a crash forgets hours.
create unlogged table control.auth_attempts (
  bucket bytea primary key,
  empty_at timestamptz not null
);
comment on table control.auth_attempts is 'attempts by SHA-256 of their bucket; full when empty_at is a window ahead';
create index auth_attempts_empty_at on control.auth_attempts (empty_at);
alter table control.auth_attempts enable row level security;
revoke all on control.auth_attempts from public;

create function control.take_attempt(p_bucket bytea, p_limit integer, p_window_s double precision)
returns double precision
language plpgsql security invoker set search_path = '' as $$
declare
  each_s constant double precision := p_window_s / p_limit;
  now_at constant timestamptz := pg_catalog.clock_timestamp();
  until_at timestamptz;
begin
  insert into control.auth_attempts as a (bucket, empty_at)
  values (p_bucket, now_at + pg_catalog.make_interval(secs => each_s))
  on conflict (bucket) do update
     set empty_at = greatest(a.empty_at, now_at) + pg_catalog.make_interval(secs => each_s)
   where greatest(a.empty_at, now_at) + pg_catalog.make_interval(secs => each_s)
         <= now_at + pg_catalog.make_interval(secs => p_window_s)
  returning a.empty_at into until_at;
  if found then
    if pg_catalog.random() < 0.01 then
      delete from control.auth_attempts a where a.bucket in (
        select o.bucket from control.auth_attempts o where o.empty_at < now_at limit 500 for update skip locked);
    end if;
    return 0;
  end if;
  return (select greatest(1, pg_catalog.date_part('epoch', a.empty_at - now_at) + each_s - p_window_s)
            from control.auth_attempts a where a.bucket = p_bucket);
end
$$;
comment on function control.take_attempt is 'Count an attempt: 0 when it may go on, else seconds until one may';

create function control.return_attempt(p_bucket bytea, p_limit integer, p_window_s double precision) returns void
language sql security invoker set search_path = '' as $$
  update control.auth_attempts a
     set empty_at = a.empty_at - pg_catalog.make_interval(secs => p_window_s / p_limit)
   where a.bucket = p_bucket
$$;
comment on function control.return_attempt is 'Take an attempt back: it succeeded';

revoke all on function control.take_attempt(bytea, integer, double precision) from public;
revoke all on function control.return_attempt(bytea, integer, double precision) from public;
