-- Request quotas, shared by every server process. Counts are worth an hour, so the table is unlogged.
create schema if not exists control;

create unlogged table control.quotas (
  bucket text not null,
  window_at timestamptz not null,
  used bigint not null default 0,
  primary key (bucket, window_at)
);
comment on table control.quotas is 'requests taken by bucket (a key or an address) and hour; processes take leases';
alter table control.quotas enable row level security;
revoke all on control.quotas from public;

create function control.take_quota(p_bucket text, p_want integer, p_limit bigint)
returns table (granted integer, used bigint, reset_at timestamptz)
language plpgsql security invoker set search_path = '' as $$
declare
  hour_at constant timestamptz := pg_catalog.date_trunc('hour', pg_catalog.clock_timestamp(), 'UTC');
  before bigint;
begin
  insert into control.quotas (bucket, window_at) values (p_bucket, hour_at) on conflict do nothing;
  if found then
    delete from control.quotas q where q.window_at < hour_at - interval '1 hour';
  end if;
  select q.used into before from control.quotas q
   where q.bucket = p_bucket and q.window_at = hour_at for update;
  granted := greatest(0, least(p_want, p_limit - before));
  used := before + granted;
  reset_at := hour_at + interval '1 hour';
  if granted > 0 then
    update control.quotas q set used = before + granted where q.bucket = p_bucket and q.window_at = hour_at;
  end if;
  return next;
end
$$;
comment on function control.take_quota is 'Take up to p_want requests of this hour''s p_limit; never more in sum';

create function control.return_quota(p_bucket text, p_count integer, p_reset_at timestamptz) returns void
language sql security invoker set search_path = '' as $$
  update control.quotas q set used = greatest(0, q.used - p_count)
   where q.bucket = p_bucket and q.window_at = p_reset_at - interval '1 hour'
$$;
comment on function control.return_quota is 'Give back what a process took and did not use';

revoke all on function control.take_quota(text, integer, bigint) from public;
revoke all on function control.return_quota(text, integer, timestamptz) from public;
