-- name: end_sessions
delete from auth.sessions
 where id in (select s.id from auth.sessions s
               where s.not_after < now() - interval '1 day'
                  or %(idle_s)s > 0 and greatest(s.created_at, s.refreshed_at at time zone 'utc')
                       < now() - make_interval(secs => %(idle_s)s) - interval '1 day'
               limit 1000 for update skip locked)

-- name: forget_codes
delete from auth.one_time_tokens
 where id in (select t.id from auth.one_time_tokens t
               where t.created_at < (now() at time zone 'utc') - make_interval(secs => %(expiry_s)s) - interval '1 day'
               limit 1000 for update skip locked)

-- name: forget_flows
delete from auth.flow_state
 where id in (select f.id from auth.flow_state f where f.created_at < now() - interval '1 day'
               limit 1000 for update skip locked)
