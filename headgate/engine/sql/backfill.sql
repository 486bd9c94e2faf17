-- name: create
with b as (
    insert into control.backfills (app, source, key, pace_s, owner, chunks)
    values (%(app)s, %(source)s, %(key)s, %(pace_s)s, %(owner)s, jsonb_array_length(%(chunks)s))
    returning id
), c as (
    insert into control.backfill_chunks (backfill_id, number, args)
    select b.id, e.number, e.args from b, jsonb_array_elements(%(chunks)s) with ordinality e (args, number)
)
select id from b

-- name: one
select * from control.backfills where id = %(backfill)s

-- name: take
select t.number, t.args, t.wait_s, c.attempts
from control.backfill_take(%(backfill)s) t
left join control.backfill_chunks c on c.backfill_id = %(backfill)s and c.number = t.number

-- name: retryable
select state = 'waiting' as again from control.backfill_chunks where backfill_id = %(backfill)s and number = %(number)s

-- name: retry_failed
update control.backfill_chunks set state = 'waiting', attempts = 0 where backfill_id = %(backfill)s and state = 'failed'

-- name: set_state
update control.backfills set state = %(state)s,
    finished_at = case when %(state)s = 'cancelled' then clock_timestamp() end
where id = %(backfill)s and state = any(%(before)s)

-- name: progress
select b.id, b.app, b.source, b.key, b.state, b.pace_s, b.chunks, b.created_at, b.finished_at,
    n.done, n.failed, n.running, coalesce(n.rows, 0)::bigint as rows,
    case when b.state <> 'running' then null else ((b.chunks - n.done - n.failed) * greatest(b.pace_s, pace.chunk_s))::float8 end
        as eta_s
from control.backfills b
cross join lateral (
    select count(*) filter (where c.state = 'done') as done, count(*) filter (where c.state = 'failed') as failed,
        count(*) filter (where c.state = 'running') as running, sum(r.upserted) as rows
    from control.backfill_chunks c left join control.runs r on r.id = c.run_id where c.backfill_id = b.id) n
cross join lateral (
    select avg(extract(epoch from l.finished_at - l.started_at))::float8 as chunk_s
    from (select c.started_at, c.finished_at from control.backfill_chunks c
          where c.backfill_id = b.id and c.state = 'done' order by c.finished_at desc limit 20) l) pace
where b.id = %(backfill)s
