-- name: confirm_email
update auth.users
   set email_confirmed_at = coalesce(email_confirmed_at, now()), is_anonymous = false, updated_at = now()
 where id = %(id)s

-- name: confirm_phone
update auth.users
   set phone_confirmed_at = coalesce(phone_confirmed_at, now()), is_anonymous = false, updated_at = now()
 where id = %(id)s

-- name: change_waits
select 1 as waits from auth.one_time_tokens
 where user_id = %(id)s and token_type in ('email_change_token_new', 'email_change_token_current')

-- name: change_half_way
update auth.users set email_change_confirm_status = 1, updated_at = now() where id = %(id)s

-- name: start_email_change
update auth.users
   set email_change = %(email)s, email_change_confirm_status = 0, email_change_token_new = '',
       email_change_token_current = '', updated_at = now()
 where id = %(id)s

-- name: change_email
update auth.users
   set email = email_change, email_change = '', email_change_confirm_status = 0, email_confirmed_at = now(),
       is_anonymous = false, updated_at = now()
 where id = %(id)s

-- name: start_phone_change
update auth.users set phone_change = %(phone)s, updated_at = now() where id = %(id)s

-- name: change_phone
update auth.users
   set phone = phone_change, phone_change = '', phone_confirmed_at = now(), is_anonymous = false,
       updated_at = now()
 where id = %(id)s

-- name: set_password
update auth.users set encrypted_password = %(hash)s, updated_at = now() where id = %(id)s
