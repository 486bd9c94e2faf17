-- name: user_by_id
select u.*, i.identities, f.factors
  from auth.users u
  cross join lateral (select coalesce(jsonb_agg(to_jsonb(i) order by i.created_at, i.id), '[]') as identities
                        from auth.identities i where i.user_id = u.id) i
  cross join lateral (select coalesce(jsonb_agg(to_jsonb(f) - 'secret' order by f.created_at, f.id), '[]') as factors
                        from auth.mfa_factors f where f.user_id = u.id) f
 where u.id = %(id)s and u.deleted_at is null

-- name: id_by_email
select id from auth.users where email = %(email)s and not is_sso_user and deleted_at is null

-- name: id_by_phone
select id from auth.users where phone = %(phone)s and not is_sso_user and deleted_at is null

-- name: lock_user
select id from auth.users where id = %(id)s for update

-- name: insert_user
insert into auth.users (instance_id, id, aud, role, email, phone, encrypted_password, email_confirmed_at,
    phone_confirmed_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at, is_anonymous,
    confirmation_token, recovery_token, email_change_token_new, email_change)
values ('00000000-0000-0000-0000-000000000000', %(id)s, %(aud)s, %(role)s, %(email)s, %(phone)s,
    %(encrypted_password)s, case when %(email_confirmed)s then now() end,
    case when %(phone_confirmed)s then now() end, %(app_metadata)s, %(user_metadata)s, now(), now(),
    %(is_anonymous)s, '', '', '', '')

-- name: upsert_identity
insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
values (%(provider_id)s, %(user_id)s, %(data)s, %(provider)s, now(), now(), now())
on conflict (provider_id, provider) do update
   set identity_data = auth.identities.identity_data || excluded.identity_data, updated_at = now(),
       last_sign_in_at = now()
 where auth.identities.user_id = excluded.user_id
returning id

-- name: merge_metadata
update auth.users
   set raw_user_meta_data = (case when jsonb_typeof(raw_user_meta_data) = 'object' then raw_user_meta_data else '{}' end || %(data)s)
         - coalesce((select array_agg(e.key) from jsonb_each(%(data)s) e where e.value = 'null'), '{}'),
       updated_at = now()
 where id = %(id)s

-- name: merge_app_metadata
update auth.users
   set raw_app_meta_data = (case when jsonb_typeof(raw_app_meta_data) = 'object' then raw_app_meta_data else '{}' end || %(data)s)
         - coalesce((select array_agg(e.key) from jsonb_each(%(data)s) e where e.value = 'null'), '{}'),
       updated_at = now()
 where id = %(id)s

-- name: providers
select coalesce(array_agg(distinct provider order by provider), '{}') as names
  from auth.identities where user_id = %(id)s

-- name: drop_password
update auth.users set encrypted_password = '', updated_at = now()
 where id = %(id)s and email_confirmed_at is null and phone_confirmed_at is null and encrypted_password <> ''
