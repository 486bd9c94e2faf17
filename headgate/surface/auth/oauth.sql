-- name: keep_state
insert into auth.oauth_client_states (id, provider_type, code_verifier, created_at)
values (%(id)s, %(provider)s, %(verifier)s, now())

-- name: take_state
delete from auth.oauth_client_states where id = %(id)s and provider_type = %(provider)s returning code_verifier

-- name: clean_states
delete from auth.oauth_client_states
 where id in (select id from auth.oauth_client_states where created_at < now() - interval '1 hour'
              order by created_at limit 100 for update skip locked)
