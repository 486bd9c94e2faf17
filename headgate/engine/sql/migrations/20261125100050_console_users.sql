-- Accounts for administrators: a list with what matters for support, a new account, and changes of one. The schema auth
-- belongs to the auth service; these functions write the same columns as it does.
create function console_private.users(p_search text, p_limit integer, p_offset integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_like constant text := '%' || replace(replace(replace(coalesce(p_search, ''), '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
  perform console_private.require_admin();
  return jsonb_build_object(
    'total', (select count(*) from auth.users u where u.deleted_at is null
               and (u.email ilike v_like or u.phone ilike v_like or u.id::text ilike v_like or coalesce(p_search, '') = '')),
    'rows', (select coalesce(jsonb_agg(to_jsonb(x) order by x.created_at desc nulls last, x.id), '[]') from (
      select u.id, u.email, u.phone, u.created_at, u.last_sign_in_at, u.confirmed_at, u.invited_at, u.is_anonymous, u.role,
             case when u.banned_until > now() then u.banned_until end as banned_until,
             u.raw_app_meta_data as app_metadata, u.raw_user_meta_data as user_metadata,
             u.raw_app_meta_data ->> 'headgate_role' = 'admin' as admin, coalesce(u.encrypted_password, '') <> '' as has_password,
             (select coalesce(array_agg(distinct i.provider order by i.provider), '{}') from auth.identities i where i.user_id = u.id) as providers,
             (select coalesce(jsonb_agg(jsonb_build_object('type', f.factor_type, 'name', f.friendly_name, 'status', f.status)), '[]')
                from auth.mfa_factors f where f.user_id = u.id) as factors,
             (select count(*) from auth.sessions s where s.user_id = u.id) as sessions
        from auth.users u
       where u.deleted_at is null
         and (u.email ilike v_like or u.phone ilike v_like or u.id::text ilike v_like or coalesce(p_search, '') = '')
       order by u.created_at desc nulls last, u.id limit greatest(1, least(p_limit, 200)) offset greatest(0, p_offset)) x));
end
$$;
comment on function console_private.users is 'Accounts, the newest first, found by address, number or id; never hashes or tokens.';

create function console_private.create_user(p_email text, p_admin boolean) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  v_id constant uuid := gen_random_uuid();
  v_email constant text := lower(btrim(p_email));
begin
  perform console_private.require_admin();
  if v_email !~ '^[^@[:space:]<>"'']{1,64}@[a-z0-9.-]{1,190}$' then
    raise invalid_parameter_value using message = 'This is not an e-mail address';
  end if;
  if exists (select from auth.users u where u.email = v_email and not u.is_sso_user) then
    raise unique_violation using message = 'There is an account with this address already';
  end if;
  insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data,
    raw_user_meta_data, created_at, updated_at, confirmation_token, recovery_token, email_change_token_new, email_change)
  values ('00000000-0000-0000-0000-000000000000', v_id, 'authenticated', 'authenticated', v_email, '', now(),
    jsonb_build_object('provider', 'email', 'providers', array['email'])
      || case when p_admin then '{"headgate_role": "admin"}'::jsonb else '{}' end,
    jsonb_build_object('sub', v_id, 'email', v_email, 'email_verified', true, 'phone_verified', false), now(), now(),
    '', '', '', '');
  insert into auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
  values (v_id::text, v_id, jsonb_build_object('sub', v_id, 'email', v_email, 'email_verified', true, 'phone_verified', false),
    'email', now(), now());
  perform console_private.record('create user', v_email, jsonb_build_object('id', v_id, 'admin', p_admin));
  return v_id;
end
$$;
comment on function console_private.create_user is 'A confirmed account without a password; who owns the address chooses one through a recovery mail.';

create function console_private.change_user(p_user uuid, p_action text, p_hours integer) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_email text;
begin
  perform console_private.require_admin();
  select coalesce(u.email, u.phone, u.id::text) into v_email from auth.users u where u.id = p_user for update;
  if v_email is null then
    raise no_data_found using message = 'There is no such user';
  end if;
  if p_user = auth.uid() and p_action in ('ban', 'delete', 'drop_admin') then
    raise invalid_parameter_value using message = 'You cannot take your own rights away', hint = 'Another administrator can.';
  end if;
  case p_action
    when 'ban' then
      update auth.users set banned_until = now() + make_interval(hours => greatest(1, coalesce(p_hours, 876000))), updated_at = now()
       where id = p_user;
      delete from auth.sessions where user_id = p_user;
    when 'unban' then
      update auth.users set banned_until = null, updated_at = now() where id = p_user;
    when 'sign_out' then
      delete from auth.sessions where user_id = p_user;
    when 'confirm' then
      update auth.users set email_confirmed_at = coalesce(email_confirmed_at, now()), confirmation_token = '', updated_at = now()
       where id = p_user and email is not null;
    when 'make_admin' then
      update auth.users set raw_app_meta_data = coalesce(raw_app_meta_data, '{}') || '{"headgate_role": "admin"}', updated_at = now()
       where id = p_user;
    when 'drop_admin' then
      update auth.users set raw_app_meta_data = coalesce(raw_app_meta_data, '{}') - 'headgate_role', updated_at = now()
       where id = p_user;
    when 'drop_factors' then
      delete from auth.mfa_factors where user_id = p_user;
    when 'delete' then
      delete from auth.users where id = p_user;
    else
      raise invalid_parameter_value using message = 'Unknown action';
  end case;
  perform console_private.record(replace(p_action, '_', ' ') || ' user', v_email, jsonb_build_object('id', p_user));
end
$$;
comment on function console_private.change_user is 'Bans, frees, confirms, signs out, promotes, demotes or deletes one account, or removes its second factors.';

create function console_private.sign_ins() returns table (id uuid, at timestamptz, action text, subject text, address text, detail json)
language plpgsql stable security definer set search_path = '' as $$
begin
  perform console_private.require_admin();
  return query select a.id, a.created_at, a.payload ->> 'action', coalesce(a.payload ->> 'actor_username', a.payload ->> 'actor_id', ''),
      a.ip_address::text, a.payload from auth.audit_log_entries a;
end
$$;
comment on function console_private.sign_ins is 'The auth service''s audit log.';

create function console.users(search text default '', row_limit integer default 50, row_offset integer default 0) returns jsonb
language sql stable set search_path = '' as $$ select console_private.users(search, row_limit, row_offset) $$;
comment on function console.users is 'Accounts. Administrators only.';
create function console.create_user(email text, admin boolean default false) returns uuid
language sql set search_path = '' as $$ select console_private.create_user(email, admin) $$;
comment on function console.create_user is 'Makes an account without a password. Administrators only.';
create function console.change_user(user_id uuid, action text, hours integer default null) returns void
language sql set search_path = '' as $$ select console_private.change_user(user_id, action, hours) $$;
comment on function console.change_user is 'Changes one account. Administrators only.';
create function console.sign_ins() returns table (id uuid, at timestamptz, action text, subject text, address text, detail json)
language sql stable set search_path = '' as $$ select * from console_private.sign_ins() $$;
comment on function console.sign_ins is 'The auth service''s audit log. Administrators only.';

revoke all on function console_private.users, console_private.create_user, console_private.change_user, console_private.sign_ins,
  console.users, console.create_user, console.change_user, console.sign_ins from public;
grant execute on function console_private.users, console_private.create_user, console_private.change_user, console_private.sign_ins,
  console.users, console.create_user, console.change_user, console.sign_ins to authenticated, service_role;
