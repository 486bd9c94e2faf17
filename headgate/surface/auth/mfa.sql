-- name: of_user
select * from auth.mfa_factors where user_id = %(user_id)s order by created_at, id

-- name: one
select * from auth.mfa_factors where id = %(id)s and user_id = %(user_id)s

-- name: lock
select * from auth.mfa_factors where id = %(id)s and user_id = %(user_id)s for update

-- name: forget_stale
delete from auth.mfa_factors
 where user_id = %(user_id)s and status = 'unverified' and created_at < now() - make_interval(secs => %(age_s)s)

-- name: insert
insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret)
values (%(id)s, %(user_id)s, %(name)s, 'totp', 'unverified', now(), now(), %(secret)s)

-- name: insert_challenge
insert into auth.mfa_challenges (id, factor_id, created_at, ip_address)
values (%(id)s, %(factor_id)s, now(), %(ip)s::inet)
returning extract(epoch from created_at)::float8 as epoch

-- name: forget_challenges
delete from auth.mfa_challenges where factor_id = %(factor_id)s and created_at < now() - interval '1 hour'

-- name: challenge
select *, created_at < now() - make_interval(secs => %(age_s)s) as expired
  from auth.mfa_challenges where id = %(id)s and factor_id = %(factor_id)s

-- name: last_step
select max(substr(otp_code, 6)::bigint) as step
  from auth.mfa_challenges where factor_id = %(factor_id)s and otp_code ~ '^step:[0-9]+$'

-- name: wrong_codes
select count(*) as n from auth.mfa_challenges
 where factor_id = %(factor_id)s and otp_code = 'wrong' and created_at > now() - make_interval(secs => %(window_s)s)

-- name: note_wrong
insert into auth.mfa_challenges (id, factor_id, created_at, ip_address, otp_code)
values (%(id)s, %(factor_id)s, clock_timestamp(), %(ip)s::inet, 'wrong')

-- name: note_right
update auth.mfa_challenges set verified_at = now(), otp_code = %(step)s where id = %(id)s

-- name: set_verified
update auth.mfa_factors set status = 'verified', updated_at = now() where id = %(id)s and status <> 'verified'

-- name: end_lower_sessions
delete from auth.sessions where user_id = %(user_id)s and (aal is null or aal < 'aal2')

-- name: forget_unverified
delete from auth.mfa_factors
 where user_id = %(user_id)s and status = 'unverified' and factor_type = %(kind)s::auth.factor_type

-- name: delete
delete from auth.mfa_factors where id = %(id)s

-- name: lower_sessions
update auth.sessions set aal = 'aal1', factor_id = null, updated_at = now() where factor_id = %(id)s

-- name: rename
update auth.mfa_factors set friendly_name = %(name)s, updated_at = now() where id = %(id)s
