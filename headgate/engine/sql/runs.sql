-- name: start
select run_id, fence, cursor_value, batch_id
from control.run_start(%(app)s, %(source)s, %(key)s, %(args)s, %(owner)s, %(job)s, %(attempt)s)

-- name: beat
select control.run_beat(%(run)s) as alive

-- name: expect
update control.runs set expected = %(expected)s where id = %(run)s and state = 'running'

-- name: hold_fence
-- The fence of promote_begin, for a run that ends without a last page.
select 1 as held from control.cursors c join control.runs r on r.source = c.source and r.key = c.key
where r.id = %(run)s and c.fence = %(fence)s and c.run_id = r.id and r.state = 'running'
for update of c, r

-- name: end
select control.run_end(%(run)s, %(state)s, %(error)s) as ended

-- name: discard
select control.run_discard_stage(%(run)s)

-- name: step_lost
select control.step_lost(%(batch)s) as batch_id

-- name: abandon
select control.abandon_runs(make_interval(secs => %(older_s)s)) as n

-- name: prune
select control.prune_runs(make_interval(secs => %(keep_s)s)) as n

-- name: cursor
select value from control.cursors where source = %(source)s and key = %(key)s

-- name: move_cursor
update control.cursors set value = %(value)s, fence = fence + 1, run_id = null, updated_at = now()
where source = %(source)s and key = %(key)s

-- name: list
select id, app, source, key, owner, state, pages, seen, expected, upserted, unchanged, stale, rejected, deleted, held,
    rate, error, started_at, heartbeat_at, finished_at,
    extract(epoch from coalesce(finished_at, clock_timestamp()) - started_at)::float8 as elapsed_s,
    case when state <> 'running' or expected is null then null
         when seen >= expected then 0
         else ((expected - seen) / nullif(rate, 0))::float8 end as eta_s
from control.runs
where (%(app)s::text is null or app = %(app)s) and (%(source)s::text is null or source = %(source)s)
  and (%(state)s::text is null or state = %(state)s)
order by id desc limit %(limit)s

-- name: one
select r.*, extract(epoch from coalesce(finished_at, clock_timestamp()) - started_at)::float8 as elapsed_s,
    case when state <> 'running' or expected is null then null
         when seen >= expected then 0
         else ((expected - seen) / nullif(rate, 0))::float8 end as eta_s
from control.runs r where id = %(run)s

-- name: steps
select * from control.run_steps where run_id = %(run)s order by number

-- name: rejects
select batch_id, line, reason, raw, raw_bytes, at from control.rejects
where run_id = %(run)s order by batch_id, line limit %(limit)s

-- name: findings
select batch_id, check_name, action, message, finding, at from control.findings where run_id = %(run)s order by id

-- name: next_batch
select nextval('control.run_steps_id_seq')
