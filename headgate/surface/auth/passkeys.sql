-- name: of_user
select * from auth.webauthn_credentials where user_id = %(user_id)s order by created_at, id

-- name: begin
insert into auth.webauthn_challenges (user_id, challenge_type, session_data, expires_at)
values (%(user_id)s, %(kind)s, %(data)s, now() + make_interval(secs => %(age_s)s))
returning id, extract(epoch from expires_at)::float8 as epoch

-- name: consume
delete from auth.webauthn_challenges
 where id = %(id)s and challenge_type = %(kind)s and user_id is not distinct from %(user_id)s::uuid
returning session_data, expires_at < now() as expired

-- name: forget_expired
delete from auth.webauthn_challenges
 where id in (select id from auth.webauthn_challenges where expires_at < now() limit 100 for update skip locked)

-- name: insert
insert into auth.webauthn_credentials (user_id, credential_id, public_key, attestation_type, aaguid, sign_count,
    transports, backup_eligible, backed_up, friendly_name)
values (%(user_id)s, %(credential_id)s, %(public_key)s, 'none', %(aaguid)s::uuid, %(count)s, %(transports)s,
    %(eligible)s, %(backed_up)s, 'Passkey')
returning *

-- name: by_credential
select * from auth.webauthn_credentials where credential_id = %(credential_id)s for update

-- name: used
update auth.webauthn_credentials
   set sign_count = %(count)s, backed_up = %(backed_up)s, last_used_at = now(), updated_at = now()
 where id = %(id)s

-- name: rename
update auth.webauthn_credentials set friendly_name = %(name)s, updated_at = now()
 where id = %(id)s and user_id = %(user_id)s
returning *

-- name: delete
delete from auth.webauthn_credentials where id = %(id)s and user_id = %(user_id)s returning id
