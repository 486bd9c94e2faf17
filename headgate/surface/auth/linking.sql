-- name: serialise
select pg_advisory_xact_lock(hashtextextended(%(name)s, 0))

-- name: identity
select * from auth.identities where provider = %(provider)s and provider_id = %(subject)s

-- name: owners
select u.id, coalesce(u.email = %(primary)s, false) as primary_of
  from auth.users u
 where u.email = any (%(emails)s) and not u.is_sso_user and u.deleted_at is null
union
select u.id, coalesce(u.email = %(primary)s, false)
  from auth.identities i join auth.users u on u.id = i.user_id
 where i.email = any (%(emails)s) and i.identity_data ->> 'email_verified' = 'true' and i.provider not like 'sso:%%'
   and not u.is_sso_user and u.deleted_at is null
 order by primary_of desc, id

-- name: add
insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
values (%(subject)s, %(user_id)s, %(data)s, %(provider)s, now(), now(), now())
returning id

-- name: refresh
update auth.identities set identity_data = %(data)s, last_sign_in_at = now(), updated_at = now()
 where provider = %(provider)s and provider_id = %(subject)s

-- name: forget_password
update auth.users
   set encrypted_password = '', phone = case when phone_confirmed_at is null then null else phone end,
       email_confirmed_at = now(), is_anonymous = false, confirmation_token = '', recovery_token = '', email_change = '',
       email_change_token_new = '', email_change_token_current = '', phone_change = '', phone_change_token = '',
       reauthentication_token = '', raw_user_meta_data = '{}', updated_at = now()
 where id = %(user_id)s

-- name: drop_identities
delete from auth.identities
 where user_id = %(user_id)s and not (provider = %(provider)s and provider_id = %(subject)s)

-- name: drop_sessions
delete from auth.sessions where user_id = %(user_id)s

-- name: drop_factors
delete from auth.mfa_factors where user_id = %(user_id)s

-- name: drop_passkeys
delete from auth.webauthn_credentials where user_id = %(user_id)s

-- name: drop_one_time_tokens
delete from auth.one_time_tokens where user_id = %(user_id)s

-- name: becomes_known
update auth.users
   set email = %(email)s, email_confirmed_at = now(), is_anonymous = false, updated_at = now()
 where id = %(user_id)s
