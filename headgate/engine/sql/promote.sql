-- name: commit_soon
-- A crash of PostgreSQL may then undo the latest commits, each whole: cursor, progress and rows go back together.
set local synchronous_commit = off

-- name: begin
select control.promote_begin(%(run)s, %(fence)s, %(batch)s)

-- name: prepare_settings
-- Those of promote_begin, but the other chunk may be slower than its ten seconds; nothing that others need is locked.
select set_config('TimeZone', 'UTC', true), set_config('work_mem', '64MB', true),
    set_config('idle_in_transaction_session_timeout', '10min', true)

-- name: apply
select control.apply_batch(%(apply)s, %(validate)s, %(merge)s, %(count)s, %(run)s, %(batch)s) as value

-- name: sweep
select control.sweep(%(sweep)s, %(run)s, %(batch)s, %(share)s) as value

-- name: finish
select next_batch, totals from control.promote_finish(%(run)s, %(batch)s, %(counts)s, %(expected)s, %(last)s, %(keep)s)

-- name: end
select control.run_end(%(run)s, %(state)s, %(error)s) as ended

-- name: unstage
delete from stage.rows where batch_id = %(batch)s
