-- name: record
insert into control.findings (run_id, batch_id, check_name, action, message, finding)
values (%(run)s, %(batch)s, %(name)s, %(action)s, %(message)s, %(finding)s)

-- name: hold
select control.hold_batch(%(run)s, %(batch)s, %(check)s) as hold_id

-- name: restage
select control.hold_restage(%(hold)s, %(batch)s) as rows

-- name: decide
select control.hold_decide(%(hold)s, %(state)s, %(by)s)

-- name: waiting
select h.*, s.meta, s.cursor_next, s.name as step_name, r.cursor_to as cursor_before, r.owner
from control.holds h join control.run_steps s on s.id = h.batch_id join control.runs r on r.id = h.run_id
where h.id = %(hold)s

-- name: app
select app from control.holds where id = %(hold)s

-- name: list
select id, run_id, source, key, check_name, rows, state, created_at, decided_at, decided_by
from control.holds where %(state)s::text is null or state = %(state)s order by id desc limit %(limit)s
