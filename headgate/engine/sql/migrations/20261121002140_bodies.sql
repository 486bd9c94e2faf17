-- Recorded replies: which request got which answer, and each distinct body once, compressed, kept for days.
create table control.bodies (
  body_hash bytea primary key check (octet_length(body_hash) = 32),
  body bytea not null,
  size bigint not null check (size >= 0),
  expires_at timestamptz not null
);
alter table control.bodies alter column body set storage external;
create index bodies_expires_at on control.bodies (expires_at);

comment on table control.bodies is 'Bodies of recorded replies by SHA-256 of the plain bytes; zlib-compressed.';
comment on column control.bodies.size is 'Bytes of the plain body.';

create table control.replies (
  id bigint generated always as identity primary key,
  host text not null,
  url text not null,
  status integer not null,
  headers jsonb not null,
  body_hash bytea not null,
  elapsed_s double precision not null,
  fetched_at timestamptz not null,
  expires_at timestamptz not null
);
create index replies_host_fetched_at on control.replies (host, fetched_at);
create index replies_expires_at on control.replies (expires_at);

comment on table control.replies is 'Recorded replies. URLs and headers are kept without secrets.';

alter table control.bodies enable row level security;
alter table control.replies enable row level security;

-- Delete up to p_limit expired replies and as many expired bodies; returns how many rows went.
create function control.sweep_replies(p_limit integer default 1000) returns bigint
language sql set search_path = '' as $$
  with old_replies as (
    delete from control.replies where id in (
      select id from control.replies where expires_at < now() order by expires_at limit p_limit
      for update skip locked)
    returning 1
  ), old_bodies as (
    delete from control.bodies where body_hash in (
      select body_hash from control.bodies where expires_at < now() order by expires_at limit p_limit
      for update skip locked)
    returning 1
  )
  select (select count(*) from old_replies) + (select count(*) from old_bodies)
$$;

revoke execute on function control.sweep_replies(integer) from public;
