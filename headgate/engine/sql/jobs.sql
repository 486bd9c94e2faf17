-- What the queue's Python asks of the database. State changes are calls of functions in schema control.

-- name: enqueue
select control.enqueue_job(%s, %s, %s, %s, %s, %s, %s, %s, %s) as id;

-- name: enqueue_many
select control.enqueue_jobs(%s) as added;

-- name: set_lane
select control.set_lane(%s, %s, %s, %s);

-- name: cancel
select control.cancel_job(%s) as state;

-- name: retry
select control.retry_job(%s) as state;

-- name: purge
select control.purge_jobs(%s, %s, %s) as deleted;

-- name: fence
select control.fence_job(%s, %s, %s, %s);

-- name: settle
select control.settle_job(%s, %s, %s, %s, %s, %s, %s, %s) as state;

-- name: settle_owned
select control.settle_owned(%s, %s::bigint[], %s::integer[], %s::jsonb);

-- name: work
select settled, claimed::text as claimed, wait_s from control.work(%s, %s::bigint[], %s::integer[], %s, %s);

-- name: start_worker
select control.start_worker(%s, %s, %s, %s) as id;

-- name: beat
select alive, jobs::text as jobs from control.beat_worker(%s, %s, %s);

-- name: stop_worker
select control.stop_worker(%s) as released;

-- name: recover
select control.recover_jobs() as recovered;

-- name: job
select id, kind, queue, key, state, priority, run_at, attempt, excused, max_attempts, args, result, error_code, error,
       owner, unique_key, worker, cancelling, created_at, started_at, finished_at
  from control.jobs where id = %s;

-- name: recent
select id, kind, queue, key, state, priority, run_at, attempt, excused, max_attempts, error_code, error, worker,
       created_at, started_at, finished_at
  from control.jobs
 where (%(state)s::text is null or state = %(state)s) and (%(kind)s::text is null or kind = %(kind)s)
   and (%(key)s::text is null or key = %(key)s)
 order by id desc limit %(limit)s;

-- name: counts
select kind, state, count(*) as jobs, min(run_at) filter (where state = 'ready') as oldest_ready
  from control.jobs group by kind, state order by kind, state;

-- name: failures
select id, kind, key, attempt, error_code, error, finished_at
  from control.jobs where state = 'failed' order by id desc limit %s;

-- name: lanes
select l.key, l.max_running, l.per_second, l.burst, l.full_at,
       (select count(*) from control.jobs j where j.state = 'running' and j.key = l.key) as running
  from control.lanes l order by l.key;

-- name: workers
select id, name, queues, concurrency, running, started_at, heartbeat_at, lease_until,
       (stopped_at is null and lease_until > clock_timestamp()) as alive
  from control.workers where stopped_at is null order by id;

-- name: schedules
select name, owner_app, kind, args, queue, key, priority, cron, every_s, timezone, enabled, next_at, last_at, last_job,
       skipped
  from control.schedules order by name;

-- name: due_schedules
select name, cron, every_s, timezone, next_at, clock_timestamp() as now
  from control.schedules where enabled and next_at <= clock_timestamp() order by next_at limit 100;

-- name: now
select clock_timestamp() as now;

-- name: fire
select control.fire_schedule(%s, %s, %s) as fired;

-- name: put_schedule
select control.put_schedule(%s, %s);

-- name: due_now
update control.schedules set next_at = least(next_at, clock_timestamp()) where name = %s;

-- name: drop_schedules
select control.drop_schedules(%s, %s) as dropped;
