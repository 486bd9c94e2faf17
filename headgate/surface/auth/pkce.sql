-- name: begin
insert into auth.flow_state (id, user_id, auth_code, code_challenge_method, code_challenge, provider_type,
    created_at, updated_at, authentication_method, referrer, invite_token, oauth_client_state_id,
    linking_target_id, email_optional)
values (%(id)s, %(user_id)s, %(auth_code)s, %(challenge_method)s::auth.code_challenge_method, %(challenge)s,
    %(provider)s, now(), now(), %(method)s, %(referrer)s, %(invite_token)s, %(oauth_client_state_id)s,
    %(linking_target_id)s, %(email_optional)s)

-- name: issue
update auth.flow_state set auth_code_issued_at = now(), updated_at = now()
 where id = (select id from auth.flow_state
              where user_id = %(user_id)s and authentication_method = %(method)s and auth_code is not null
              order by created_at desc limit 1)
returning auth_code

-- name: find_code
select *, coalesce(case when authentication_method <> 'oauth' then auth_code_issued_at end, created_at)
            < now() - make_interval(secs => %(expiry_s)s) as expired
  from auth.flow_state where auth_code = %(code)s for update

-- name: forget
delete from auth.flow_state where id = %(id)s

-- name: find
select *, created_at < now() - make_interval(secs => %(expiry_s)s) as expired
  from auth.flow_state where id = %(id)s for update

-- name: complete
update auth.flow_state
   set user_id = %(user_id)s, provider_access_token = %(access_token)s, provider_refresh_token = %(refresh_token)s,
       auth_code_issued_at = now(), updated_at = now()
 where id = %(id)s

-- name: clean
delete from auth.flow_state
 where id in (select id from auth.flow_state where created_at < now() - interval '1 day'
              order by created_at limit 100 for update skip locked)
