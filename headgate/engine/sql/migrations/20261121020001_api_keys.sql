-- API keys. Only the SHA-256 of a key is kept; the key itself is shown once, where it is made.
create schema if not exists control;

create table control.api_keys (
  id bigint generated always as identity primary key,
  name text not null,
  role text not null check (role in ('anon', 'service_role')),
  prefix text not null,
  hash bytea not null unique check (octet_length(hash) = 32),
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);
comment on table control.api_keys is 'API keys by SHA-256; role is what a bearer of the key may be';
comment on column control.api_keys.prefix is 'the first characters, so that people can tell keys apart';
alter table control.api_keys enable row level security;
revoke all on control.api_keys from public;

create function control.create_api_key(p_name text, p_role text, p_prefix text, p_hash bytea) returns bigint
language sql security invoker set search_path = '' as $$
  insert into control.api_keys (name, role, prefix, hash) values (p_name, p_role, p_prefix, p_hash)
  on conflict (hash) do update set revoked_at = null
  returning id
$$;
comment on function control.create_api_key is 'Keep a key by its SHA-256; keeping it again revives it';

create function control.verify_api_key(p_hash bytea) returns table (id bigint, role text)
language sql stable security invoker set search_path = '' as $$
  select k.id, k.role from control.api_keys k where k.hash = p_hash and k.revoked_at is null
$$;
comment on function control.verify_api_key is 'The key with this SHA-256, unless revoked';

create function control.revoke_api_key(p_id bigint) returns boolean
language sql security invoker set search_path = '' as $$
  with gone as (update control.api_keys set revoked_at = now() where id = p_id and revoked_at is null returning 1)
  select exists (select from gone)
$$;
comment on function control.revoke_api_key is 'Stop a key; true when it was still good';

revoke all on function control.create_api_key(text, text, text, bytea) from public;
revoke all on function control.verify_api_key(bytea) from public;
revoke all on function control.revoke_api_key(bigint) from public;
