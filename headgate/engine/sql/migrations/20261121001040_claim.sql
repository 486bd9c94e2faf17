-- Claiming. One claim at a time per queue (advisory lock), and one at a time among all queues where limited lanes have
-- ready jobs: two claimers never see the same free place.
-- Planner settings: the partial indexes must be used whatever the statistics said when the plan was made, and none of
-- them (hence starts_with) where jobs are found by id.

-- The names of up to p_limit ready lanes after p_after and up to p_until: a loose index scan, one step a lane,
-- however many jobs wait in each.
create function control.ready_lanes(p_queue text, p_after text, p_until text, p_limit integer)
returns setof text language sql stable set search_path = ''
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
  with recursive walk (lane, n) as (
    (select j.lane, 1 from control.jobs j
      where j.state = 'ready' and j.queue = p_queue and j.lane > p_after
      order by j.lane limit 1)
    union all
    select (select j.lane from control.jobs j
             where j.state = 'ready' and j.queue = p_queue and j.lane > w.lane
             order by j.lane limit 1), w.n + 1
      from walk w
     where w.n < p_limit and w.lane is not null and (p_until is null or w.lane < p_until)
  )
  select w.lane from walk w where p_limit > 0 and w.lane is not null and (p_until is null or w.lane <= p_until)
$$;
comment on function control.ready_lanes is 'Lanes of a queue that have ready jobs, in order of name.';

-- Which ready lanes have room at p_now, and how much; next_s: seconds until a lane that waits for its rate opens, or
-- until the walk should go on.
-- Visits at most p_visit lanes; the next claim goes on where this one stopped. The caller holds the lanes' lock.
create function control.open_lanes(
  p_queue text, p_now timestamptz, p_limit integer, p_visit integer,
  out keys text[], out room integer[], out next_s double precision
) language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
  v_start text := coalesce((select q.cursor from control.queues q where q.queue = p_queue), '');
  v_names text[];
begin
  v_names := array(select control.ready_lanes(p_queue, v_start, null, p_visit));
  if v_start <> '' and cardinality(v_names) < p_visit then
    v_names := v_names || array(select control.ready_lanes(p_queue, '', v_start, p_visit - cardinality(v_names)));
  end if;
  if cardinality(v_names) = p_visit then
    insert into control.queues as q (queue, cursor) values (p_queue, v_names[p_visit])
    on conflict (queue) do update set cursor = excluded.cursor;
  end if;

  with busy as materialized (
    select j.key, count(*)::integer as n from control.jobs j
     where j.state = 'running' and j.key is not null group by j.key
  ), lane as (
    select t.name, l.per_second, l.full_at, l.burst,
           least(p_limit, l.max_running - coalesce(b.n, 0)) as places,
           floor(l.burst - l.per_second * greatest(0, extract(epoch from l.full_at - p_now)) + 1e-6) as starts
      from unnest(v_names) as t(name)
      left join control.lanes l on l.key = t.name
      left join busy b on b.key = t.name
  )
  select array_agg(a.name) filter (where a.room > 0), array_agg(a.room) filter (where a.room > 0),
         min(greatest(0, extract(epoch from a.full_at - p_now) - (a.burst - 1) / a.per_second))
           filter (where a.places > 0 and a.starts < 1)
    into keys, room, next_s
    from (select lane.*, least(places, starts, p_limit)::integer as room from lane) a;
  if cardinality(v_names) = p_visit then
    next_s := least(next_s, 0.05);  -- there may be more lanes than were visited
  end if;
end
$$;
comment on function control.open_lanes is 'Ready lanes with room now, by running jobs and by rate.';

-- Up to p_limit ready jobs of one queue, best first, as a JSON array of arrays. `wait_s`: seconds until more may be
-- ready without a wake-up. `claimed` is null when there is nothing, and both are when the worker's lease has ended.
create function control.claim_jobs(p_worker bigint, p_queue text, p_limit integer, out claimed json, out wait_s double precision)
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
  c_visit constant integer := 256;
  v_now timestamptz;
  v_due timestamptz;
  v_moved integer;
  v_keys text[];
  v_room integer[];
  v_ids bigint[];
  v_limited boolean;
begin
  perform pg_advisory_xact_lock(1212630337, hashtext(p_queue));
  v_now := clock_timestamp();
  if not exists (select from control.workers w
                  where w.id = p_worker and w.lease_until > v_now and w.stopped_at is null) then
    return;
  end if;

  select min(j.run_at) into v_due from control.jobs j where j.state = 'scheduled' and j.queue = p_queue;
  if v_due <= v_now then
    update control.jobs j set state = 'ready'
     where j.id in (select d.id from control.jobs d
                     where d.state = 'scheduled' and d.queue = p_queue and d.run_at <= v_now
                     order by d.run_at limit 1000 for update skip locked);
    select min(j.run_at) into v_due from control.jobs j where j.state = 'scheduled' and j.queue = p_queue;
  end if;
  wait_s := extract(epoch from v_due - v_now);

  v_limited := exists (select from control.jobs j where j.state = 'ready' and j.queue = p_queue and j.lane > '');
  if v_limited then
    perform pg_advisory_xact_lock(1212630338, 0);
    v_now := clock_timestamp();
    select o.keys, o.room, least(wait_s, o.next_s) into v_keys, v_room, wait_s
      from control.open_lanes(p_queue, v_now, p_limit, c_visit) o;
  end if;

  with free as (
    select j.id, j.priority, j.run_at, j.key from control.jobs j
     where j.state = 'ready' and j.queue = p_queue and j.lane = ''
     order by j.priority desc, j.run_at, j.id limit p_limit
  ), moved as (
    update control.jobs j set lane = j.key
     where j.id in (select m.id from control.jobs m
                     where m.id in (select f.id from free f where f.key is not null
                                       and exists (select from control.lanes l where l.key = f.key))
                       and starts_with(m.state, 'ready') for update skip locked)
    returning j.id
  ), picks as (
    select f.id, f.priority, f.run_at from free f
     where f.key is null or not exists (select from control.lanes l where l.key = f.key)
    union all
    select t.id, t.priority, t.run_at
      from unnest(v_keys, v_room) as o(key, room)
     cross join lateral (
       select j.id, j.priority, j.run_at from control.jobs j
        where j.state = 'ready' and j.queue = p_queue and j.lane = o.key
        order by j.priority desc, j.run_at, j.id limit o.room) t
  ), chosen as (
    select p.id from picks p order by p.priority desc, p.run_at, p.id limit p_limit
  )
  select array(select c.id from chosen c), (select count(*) from moved) into v_ids, v_moved;
  if v_moved > 0 then
    wait_s := 0;
  end if;

  with held as (
    select j.id from control.jobs j where j.id = any (v_ids) and starts_with(j.state, 'ready') for update skip locked
  ), taken as (
    update control.jobs j
       set state = 'running', attempt = j.attempt + 1, worker = p_worker, started_at = v_now, finished_at = null
      from held h where j.id = h.id
    returning j.id, j.kind, j.args, j.key, j.queue, j.attempt, j.excused, j.max_attempts, j.priority, j.run_at,
              j.unique_key, j.owner, j.lane
  ), spent as (
    update control.lanes l
       set full_at = greatest(l.full_at, v_now) + make_interval(secs => s.n / l.per_second)
      from (select t.lane, count(*) as n from taken t where t.lane <> '' group by t.lane) s
     where v_limited and l.key = s.lane and l.per_second is not null
    returning l.key
  )
  select json_agg(json_build_array(t.id, t.kind, t.args, t.key, t.queue, t.attempt, t.excused, t.max_attempts,
                                   t.priority, t.run_at, t.unique_key, t.owner)
                  order by t.priority desc, t.run_at, t.id)
    from taken t into claimed;
end
$$;
comment on function control.claim_jobs is 'Claims up to p_limit ready jobs of a queue for a worker that has its lease.';

-- A worker's round trip: settles what returned, then claims. One commit for both.
create function control.work(
  p_worker bigint, p_ids bigint[], p_attempts integer[], p_queue text, p_limit integer,
  out settled integer, out claimed json, out wait_s double precision
) language plpgsql set search_path = '' as $$
begin
  settled := 0;
  if cardinality(p_ids) > 0 then
    settled := control.settle_jobs(p_worker, p_ids, p_attempts);
  end if;
  if p_limit > 0 then
    select c.claimed, c.wait_s into claimed, wait_s from control.claim_jobs(p_worker, p_queue, p_limit) c;
  end if;
end
$$;
comment on function control.work is 'Settles a worker''s returned jobs and claims its next ones.';
revoke all on function control.ready_lanes, control.open_lanes, control.claim_jobs, control.work from public;
