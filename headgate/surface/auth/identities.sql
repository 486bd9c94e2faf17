-- name: delete
delete from auth.identities where id = %(id)s and user_id = %(user_id)s
returning id, provider, provider_id, email

-- name: forget_phone
update auth.users set phone = null, phone_confirmed_at = null, updated_at = now() where id = %(user_id)s

-- name: settle_email
update auth.users u
   set email = n.email, updated_at = now(),
       email_confirmed_at = case when n.email is null then null when u.email = n.email then u.email_confirmed_at
                                 when n.verified then now() end
  from (select (select i.email from auth.identities i
                 where i.user_id = %(user_id)s and i.email <> ''
                 order by (i.email = (select email from auth.users where id = %(user_id)s)) desc,
                          (i.identity_data ->> 'email_verified' = 'true') desc, i.created_at, i.id limit 1) as email,
               coalesce((select i.identity_data ->> 'email_verified' = 'true' from auth.identities i
                 where i.user_id = %(user_id)s and i.email <> ''
                 order by (i.email = (select email from auth.users where id = %(user_id)s)) desc,
                          (i.identity_data ->> 'email_verified' = 'true') desc, i.created_at, i.id limit 1), false)
                 as verified) n
 where u.id = %(user_id)s
