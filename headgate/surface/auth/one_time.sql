-- name: keep
insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to, created_at, updated_at)
values (%(id)s, %(user_id)s, %(type)s::auth.one_time_token_type, %(hash)s, %(relates_to)s,
    now() at time zone 'utc', now() at time zone 'utc')
on conflict (user_id, token_type) do update
   set id = excluded.id, token_hash = excluded.token_hash, relates_to = excluded.relates_to,
       created_at = excluded.created_at, updated_at = excluded.updated_at

-- name: note_confirmation_token
update auth.users set confirmation_token = %(hash)s, confirmation_sent_at = now() where id = %(id)s

-- name: note_recovery_token
update auth.users set recovery_token = %(hash)s, recovery_sent_at = now() where id = %(id)s

-- name: note_email_change_token_new
update auth.users set email_change_token_new = %(hash)s, email_change_sent_at = now() where id = %(id)s

-- name: note_email_change_token_current
update auth.users set email_change_token_current = %(hash)s, email_change_sent_at = now() where id = %(id)s

-- name: note_reauthentication_token
update auth.users set reauthentication_token = %(hash)s, reauthentication_sent_at = now() where id = %(id)s

-- name: note_phone_change_token
update auth.users set phone_change_token = %(hash)s, phone_change_sent_at = now() where id = %(id)s

-- name: take
with gone as (
  delete from auth.one_time_tokens t
   where t.token_hash = any (%(hashes)s::text[]) and t.token_type = any (%(types)s::auth.one_time_token_type[])
     and (%(user_id)s::uuid is null or t.user_id = %(user_id)s::uuid)
  returning t.user_id, t.token_type, t.token_hash, t.relates_to, t.created_at
)
select user_id, token_type::text, token_hash, relates_to,
       created_at < (now() at time zone 'utc') - make_interval(secs => %(expiry_s)s) as expired
  from gone

-- name: clear
update auth.users
   set confirmation_token = case when %(type)s = 'confirmation_token' then '' else confirmation_token end,
       recovery_token = case when %(type)s = 'recovery_token' then '' else recovery_token end,
       email_change_token_new = case when %(type)s = 'email_change_token_new' then '' else email_change_token_new end,
       email_change_token_current =
         case when %(type)s = 'email_change_token_current' then '' else email_change_token_current end,
       reauthentication_token = case when %(type)s = 'reauthentication_token' then '' else reauthentication_token end,
       phone_change_token = case when %(type)s = 'phone_change_token' then '' else phone_change_token end
 where id = %(id)s

-- name: forget
delete from auth.one_time_tokens
 where user_id = %(user_id)s and token_type = any (%(types)s::auth.one_time_token_type[])
