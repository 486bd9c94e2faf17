-- Visitors: people without an account who keep something of their own, such as alert rules. Only hashes are kept.
create schema if not exists control;

create table control.visitors (
  id uuid primary key default gen_random_uuid(),
  hash bytea not null unique check (octet_length(hash) = 32),
  created_at timestamptz not null default now()
);
comment on table control.visitors is 'anonymous users by SHA-256 of their token; id is the sub of their claims';
alter table control.visitors enable row level security;
revoke all on control.visitors from public;

create function control.create_visitor(p_hash bytea) returns uuid
language sql security invoker set search_path = '' as $$
  insert into control.visitors (hash) values (p_hash) returning id
$$;
comment on function control.create_visitor is 'Keep a new visitor by the SHA-256 of the token';

create function control.verify_visitor(p_hash bytea) returns uuid
language sql stable security invoker set search_path = '' as $$
  select v.id from control.visitors v where v.hash = p_hash
$$;
comment on function control.verify_visitor is 'The visitor whose token has this SHA-256';

revoke all on function control.create_visitor(bytea) from public;
revoke all on function control.verify_visitor(bytea) from public;
