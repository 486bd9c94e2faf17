-- name: insert_session
insert into auth.sessions (id, user_id, created_at, updated_at, aal, factor_id, user_agent, ip, not_after)
values (%(id)s, %(user_id)s, now(), now(), %(aal)s::auth.aal_level, %(factor_id)s, %(user_agent)s, %(ip)s::inet,
    case when %(max_s)s > 0 then now() + make_interval(secs => %(max_s)s) end)

-- name: touch_sign_in
update auth.users set last_sign_in_at = now(), updated_at = now() where id = %(id)s

-- name: touch_identity
update auth.identities set last_sign_in_at = now(), updated_at = now()
 where user_id = %(id)s and provider = %(provider)s

-- name: upsert_amr
insert into auth.mfa_amr_claims (id, session_id, created_at, updated_at, authentication_method)
values (%(id)s, %(session_id)s, now(), now(), %(method)s)
on conflict (session_id, authentication_method) do update set updated_at = now()

-- name: set_aal
update auth.sessions
   set aal = %(aal)s::auth.aal_level, factor_id = coalesce(%(factor_id)s, factor_id), updated_at = now()
 where id = %(id)s

-- name: session
select s.*, coalesce((select jsonb_agg(jsonb_build_object('method', a.authentication_method,
    'timestamp', extract(epoch from a.updated_at)::bigint) order by a.updated_at desc, a.authentication_method)
    from auth.mfa_amr_claims a where a.session_id = s.id), '[]') as amr
  from auth.sessions s
 where s.id = %(id)s and (s.not_after is null or s.not_after > now())

-- name: insert_refresh
insert into auth.refresh_tokens (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)
values ('00000000-0000-0000-0000-000000000000', %(token)s, %(user_id)s, false, clock_timestamp(),
    clock_timestamp(), %(parent)s, %(session_id)s)

-- name: lock_refresh
select t.id, t.token, t.user_id, t.revoked, t.session_id, t.updated_at,
       extract(epoch from clock_timestamp() - t.updated_at)::float8 as age_s
  from auth.refresh_tokens t
 where t.token in (%(stored)s, %(clear)s) for update

-- name: lock_session
select s.id, s.user_id,
       (s.not_after is not null and s.not_after <= now())
         or (%(max_s)s > 0 and s.created_at + make_interval(secs => %(max_s)s) <= now()) as over,
       %(idle_s)s > 0 and greatest(s.created_at, s.refreshed_at at time zone 'utc')
         + make_interval(secs => %(idle_s)s) <= now() as idle
  from auth.sessions s where s.id = %(id)s for update

-- name: revoke_refresh
update auth.refresh_tokens set revoked = true, updated_at = clock_timestamp() where id = %(id)s

-- name: revoke_family
update auth.refresh_tokens set revoked = true, updated_at = clock_timestamp()
 where session_id = %(session_id)s and not revoked

-- name: active_refresh
select token from auth.refresh_tokens where session_id = %(session_id)s and not revoked order by id desc limit 1

-- name: touch_session
update auth.sessions
   set refreshed_at = now() at time zone 'utc', updated_at = now(), user_agent = %(user_agent)s,
       ip = coalesce(%(ip)s::inet, ip)
 where id = %(id)s

-- name: end_session
delete from auth.sessions where id = %(id)s

-- name: end_others
delete from auth.sessions where user_id = %(user_id)s and id is distinct from %(id)s::uuid

-- name: end_all
delete from auth.sessions where user_id = %(user_id)s

