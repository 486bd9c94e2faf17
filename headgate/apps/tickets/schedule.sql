-- name: promises
-- Sweeps take their part of the rate first: pages per sweep over seconds between sweeps.
select tickets.set_promises(%(source)s, %(host)s,
    greatest(0.1 * %(rate)s::double precision, %(rate)s - (
        select ceil(count(*) / 50.0) / %(every_s)s::double precision from public.events where source = %(source)s)),
    %(scale)s) as stretch

-- name: retire
select tickets.retire_past()

-- name: sweep_due
select tickets.sweep_due(%(source)s, %(every_s)s) as due

-- name: room
-- How many more polls may be under way. None while the host's breaker is open; one, to try it, when it may close.
select case
    when h.breaker = 'open' and h.open_until > clock_timestamp() then 0
    when h.breaker = 'open' then 1 - under_way.n
    else %(most)s - under_way.n end as room
from (select count(*)::int as n
      from tickets.poll_state s join public.events e on e.id = s.event_id
      where e.source = %(source)s and s.leased_until > clock_timestamp()) under_way
left join control.hosts h on h.host = %(host)s

-- name: take_due
select * from tickets.take_due(%(source)s, %(limit)s, %(ahead_s)s, %(lease_s)s)

-- name: put_back
select tickets.put_back(%(event_id)s, %(after)s)

-- name: freshness
select * from tickets.freshness()

-- name: put_event
select tickets.put_event(%(event)s) as id

-- name: refresh
select tickets.refresh_rollups(%(limit)s)

-- name: pollable
select id, external_id from public.events where active and source = %(source)s order by starts_at, id

-- name: history_there
select exists (select from tickets.sweeps where source = 'demo history' and finished_at is not null)

-- name: history_done
insert into tickets.sweeps (source, started_at, finished_at) values ('demo history', now(), now())
on conflict (source) do update set finished_at = now()
