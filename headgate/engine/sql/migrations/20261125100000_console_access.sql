-- The console's doors. `console` is exposed over REST and holds views and functions with the caller's rights;
-- `console_private` is not, and holds what needs the owner's rights. Who is an administrator is decided here.
create schema if not exists console;
comment on schema console is 'What the console reads and does, over REST; row-level security and is_admin() decide for whom.';
create schema if not exists console_private;
comment on schema console_private is 'The console''s functions with the owner''s rights. Never exposed; each one asks require_admin().';
grant usage on schema console, console_private to authenticated, service_role;

-- The account's present state decides, not only the token: who is demoted, banned, deleted or signed out loses the
-- rights at once.
-- An administrator with a second factor must have used it. Without accounts in this database the token's claims decide.
create function console_private.is_admin() returns boolean
language plpgsql stable security definer set search_path = '' as $$
declare
  v_claims constant jsonb := auth.jwt();
  v_allowed boolean;
begin
  if v_claims ->> 'role' = 'service_role' then
    return true;
  end if;
  if v_claims ->> 'role' is distinct from 'authenticated' then
    return false;
  end if;
  if to_regclass('auth.users') is null then
    return coalesce(v_claims #>> '{app_metadata,headgate_role}' = 'admin', false);
  end if;
  select true into v_allowed from auth.users u
   where u.id = auth.uid() and u.raw_app_meta_data ->> 'headgate_role' = 'admin'
     and (u.banned_until is null or u.banned_until <= now()) and u.deleted_at is null
     and (v_claims ->> 'session_id' is null
          or exists (select from auth.sessions s where s.user_id = u.id and s.id::text = v_claims ->> 'session_id'))
     and (v_claims ->> 'aal' = 'aal2'
          or not exists (select from auth.mfa_factors f where f.user_id = u.id and f.status = 'verified'));
  return coalesce(v_allowed, false);
end
$$;
comment on function console_private.is_admin is 'Whether the caller is an administrator now: service_role, or a user whose app_metadata says headgate_role = admin.';

create function console_private.require_admin() returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if not console_private.is_admin() then
    raise insufficient_privilege using message = 'Only administrators may do this',
      hint = 'Sign in as one, with the second factor if there is one. `headgate admin create EMAIL` makes the first.';
  end if;
end
$$;
comment on function console_private.require_admin is 'Raises 42501 unless the caller is an administrator.';

create table console_private.audit (
  id      bigint generated always as identity primary key,
  at      timestamptz not null default clock_timestamp(),
  actor   uuid,
  address text,
  action  text not null,
  subject text not null default '',
  detail  jsonb not null default '{}'
);
create index audit_at on console_private.audit (at);
comment on table console_private.audit is 'What administrators did through the console. Written by its functions only.';
alter table console_private.audit enable row level security;
create policy audit_admin on console_private.audit for select to authenticated
  using ((select console_private.is_admin()));
create policy audit_service on console_private.audit for select to service_role using (true);
grant select on console_private.audit to authenticated, service_role;

create function console_private.record(p_action text, p_subject text, p_detail jsonb default '{}') returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform console_private.require_admin();
  insert into console_private.audit (actor, action, subject, detail)
  values (auth.uid(), p_action, left(p_subject, 500), p_detail);
end
$$;
comment on function console_private.record is 'Adds a line to the audit log, for administrators'' functions.';

create function console.whoami() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('user', auth.uid(), 'email', auth.email(), 'role', auth.role(),
    'aal', auth.jwt() ->> 'aal', 'admin', console_private.is_admin())
$$;
comment on function console.whoami is 'Who the caller is, and whether an administrator.';

revoke all on function console_private.is_admin, console_private.require_admin, console_private.record, console.whoami from public;
grant execute on function console_private.is_admin, console_private.require_admin, console_private.record, console.whoami
  to authenticated, service_role;
