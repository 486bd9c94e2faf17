-- name: lock
select pg_advisory_xact_lock(5132107011)

-- name: all_keys
select kid, algorithm, status, public, sealed, created_at, changed_at from control.signing_keys
 order by array_position(array['current', 'previous', 'standby', 'revoked'], status), changed_at desc, kid

-- name: insert_key
insert into control.signing_keys (kid, algorithm, status, public, sealed)
values (%(kid)s, %(algorithm)s, %(status)s, %(public)s, %(sealed)s)

-- name: retire_current
update control.signing_keys set status = 'previous', changed_at = clock_timestamp() where status = 'current'

-- name: drop_standby
delete from control.signing_keys where status = 'standby' and (%(algorithm)s = '' or algorithm <> %(algorithm)s)

-- name: promote_standby
update control.signing_keys set status = 'current', changed_at = clock_timestamp()
 where status = 'standby' returning kid

-- name: revoke_key
update control.signing_keys set status = 'revoked', changed_at = clock_timestamp()
 where kid = %(kid)s and status in ('previous', 'standby') returning kid
