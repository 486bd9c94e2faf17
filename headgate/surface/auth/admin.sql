-- name: count
select count(*) as n from auth.users
 where deleted_at is null
   and (%(filter)s::text is null or lower(email) like %(filter)s or lower(raw_user_meta_data ->> 'full_name') like %(filter)s)

-- name: page
select id from auth.users
 where deleted_at is null
   and (%(filter)s::text is null or lower(email) like %(filter)s or lower(raw_user_meta_data ->> 'full_name') like %(filter)s)
 order by created_at desc, id desc limit %(limit)s offset %(offset)s

-- name: any_id
select id from auth.users where id = %(id)s

-- name: update
update auth.users
   set role = coalesce(%(role)s, role), encrypted_password = coalesce(%(hash)s, encrypted_password),
       email = coalesce(%(email)s, email), phone = coalesce(%(phone)s, phone),
       email_confirmed_at = case when %(confirm_email)s and coalesce(%(email)s, email) is not null
                                 then coalesce(email_confirmed_at, now()) else email_confirmed_at end,
       phone_confirmed_at = case when %(confirm_phone)s and coalesce(%(phone)s, phone) is not null
                                 then coalesce(phone_confirmed_at, now()) else phone_confirmed_at end,
       is_anonymous = is_anonymous and not (%(confirm_email)s and %(email)s::text is not null
                                            or %(confirm_phone)s and %(phone)s::text is not null),
       updated_at = now()
 where id = %(id)s

-- name: ban
update auth.users
   set banned_until = case when %(seconds)s::float8 > 0 then now() + make_interval(secs => %(seconds)s) end,
       updated_at = now()
 where id = %(id)s

-- name: delete
delete from auth.users where id = %(id)s

-- name: forget_user
update auth.users
   set email = nullif(encode(sha256(convert_to(id::text || email, 'UTF8')), 'hex'), ''),
       phone = case when phone is not null then left(encode(sha256(convert_to(id::text || phone, 'UTF8')), 'hex'), 15) end,
       email_change = '', phone_change = '', encrypted_password = null, confirmation_token = '', recovery_token = '',
       email_change_token_current = '', email_change_token_new = '', phone_change_token = '',
       reauthentication_token = '', raw_user_meta_data = %(none)s, raw_app_meta_data = %(none)s,
       deleted_at = now(), updated_at = now()
 where id = %(id)s

-- name: forget_identities
update auth.identities
   set identity_data = %(none)s, updated_at = now(),
       provider_id = encode(sha256(convert_to(user_id::text || provider_id, 'UTF8')), 'hex')
 where user_id = %(id)s

-- name: forget_tokens
delete from auth.one_time_tokens where user_id = %(id)s

-- name: forget_factors
delete from auth.mfa_factors where user_id = %(id)s

-- name: forget_passkeys
delete from auth.webauthn_credentials where user_id = %(id)s

-- name: end
delete from auth.sessions where user_id = %(id)s

-- name: invited
update auth.users set invited_at = now(), updated_at = now() where id = %(id)s
