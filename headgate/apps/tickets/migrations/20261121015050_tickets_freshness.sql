-- Freshness: age(event, t) is t minus observed_at of the newest accepted poll. The service level is the share of
-- event-minutes with age within the promise that held then; events behind open breakers count like all others.

-- Seconds within the promise and seconds in all, per event, over [p_now - p_window, p_now], exactly: between two
-- accepted polls a seconds apart, min(a, promise) of them are within. Time before an event's first promise does not count.
create function tickets.event_freshness(p_window interval default '24 hours', p_now timestamptz default now())
returns table (event_id bigint, age_s double precision, promise_s int, within_s double precision, total_s double precision)
language sql stable set search_path = '' as $$
    with pledged as (
        select p.event_id, p.promise_s,
               greatest(p.since, p_now - p_window) as from_at,
               least(lead(p.since, 1, p_now) over (partition by p.event_id order by p.since), p_now) as to_at
        from tickets.promises p join public.events e on e.id = p.event_id
        where e.active and p.since < p_now
    ), spans as (
        select g.event_id, g.promise_s, g.from_at, g.to_at from pledged g where g.from_at < g.to_at
    ), looks as (
        select q.event_id, q.observed_at,
               lead(q.observed_at, 1, 'infinity') over (partition by q.event_id order by q.observed_at) as next_at
        from (
            select distinct p.event_id, p.observed_at
            from public.polls p join public.events e on e.id = p.event_id
            where e.active and p.status in ('accepted', 'unchanged') and p.observed_at <= p_now
              and p.observed_at >= p_now - p_window - interval '2 hours') q
    ), judged as (
        select s.event_id,
               sum(extract(epoch from greatest(interval '0',
                   least(s.to_at, l.next_at, l.observed_at + make_interval(secs => s.promise_s))
                   - greatest(s.from_at, l.observed_at)))) as within_s
        from spans s join looks l
          on l.event_id = s.event_id and l.observed_at < s.to_at and l.next_at > s.from_at
        group by s.event_id
    ), totals as (
        select s.event_id, sum(extract(epoch from s.to_at - s.from_at)) as total_s from spans s group by s.event_id
    )
    select t.event_id, extract(epoch from p_now - e.last_scraped)::double precision, e.promise_s,
           coalesce(j.within_s, 0)::double precision, t.total_s::double precision
    from totals t join public.events e on e.id = t.event_id left join judged j on j.event_id = t.event_id
$$;
comment on function tickets.event_freshness is 'Per active event: age now, promise, seconds within the promise, seconds in all.';

-- All events together. starved: active events whose age is above three promises, or that were never scraped in as long.
create function tickets.freshness(p_window interval default '24 hours', p_now timestamptz default now())
returns table (
    events int, fresh int, starved int, within_promise double precision, event_minutes double precision,
    age_p50_s double precision, age_p95_s double precision, age_p99_s double precision, age_max_s double precision,
    stretch double precision)
language sql stable set search_path = '' as $$
    with e as materialized (select * from tickets.event_freshness(p_window, p_now))
    select count(*)::int,
           count(*) filter (where e.age_s <= e.promise_s)::int,
           count(*) filter (where coalesce(e.age_s, e.total_s) > 3 * e.promise_s)::int,
           sum(e.within_s) / nullif(sum(e.total_s), 0),
           coalesce(sum(e.total_s), 0) / 60,
           percentile_cont(0.5) within group (order by e.age_s),
           percentile_cont(0.95) within group (order by e.age_s),
           percentile_cont(0.99) within group (order by e.age_s),
           max(e.age_s),
           coalesce((select max(w.stretch) from tickets.sweeps w), 1)
    from e
$$;
comment on function tickets.freshness is
    'Share of event-minutes within the promise over the window, ages now (s), starved events, by how much promises are stretched.';
