-- What an answer says about itself: as of when, against which promise, over which share of the time asked for.
create function tickets.major(p_minor bigint) returns numeric
language sql immutable parallel safe as $$ select round(p_minor / 100.0, 2) $$;
comment on function tickets.major(bigint) is 'Money in the major unit from integer cents';
create function tickets.major(p_minor integer) returns numeric
language sql immutable parallel safe as $$ select round(p_minor / 100.0, 2) $$;
comment on function tickets.major(integer) is 'Money in the major unit from integer cents';

create function tickets.percent(p_before numeric, p_now numeric) returns double precision
language sql immutable parallel safe as $$
  select case when p_before > 0 then round(100 * (p_now - p_before) / p_before, 2)::double precision end
$$;
comment on function tickets.percent(numeric, numeric) is 'The change in percent; null without a value before';

-- Seconds that complete polls cover in [p_since, p_until): whole hours from the rollups, the last two hours, which may
-- still be on their way there, from the polls themselves. A poll covers the time to the next one, 30 minutes at most.
create function tickets.covered_s(p_event_id bigint, p_since timestamptz, p_until timestamptz) returns double precision
language sql stable security invoker set search_path = '' as $$
  with cut as (
    select greatest(p_since, least(p_until, pg_catalog.date_trunc('hour', now()) - interval '1 hour')) as at
  ), looks as (
    select p.observed_at as from_at,
           least(lead(p.observed_at, 1, 'infinity') over (order by p.observed_at),
                 p.observed_at + interval '30 minutes', p_until) as to_at
      from public.polls p, cut
     where p.event_id = p_event_id and p.status in ('accepted', 'unchanged')
       and p.observed_at >= cut.at - interval '30 minutes' and p.observed_at < p_until
  )
  select coalesce((select sum(r.covered_ms) / 1000.0 from public.rollup_hours r, cut
                    where r.event_id = p_event_id and r.scope = 'event' and r.scope_id = ''
                      and r.hour >= pg_catalog.date_trunc('hour', p_since) and r.hour < cut.at), 0)::double precision
       + coalesce((select sum(extract(epoch from l.to_at - greatest(l.from_at, cut.at)))
                     from looks l, cut where l.to_at > cut.at), 0)::double precision
$$;
comment on function tickets.covered_s(bigint, timestamptz, timestamptz) is 'Seconds of the time given that complete polls cover';

create function public.event_meta(p_event_id bigint, p_since timestamptz default null, p_until timestamptz default null)
returns jsonb
language sql stable security invoker set search_path = '' as $$
  select jsonb_build_object(
      'as_of', e.last_scraped,
      'age_s', round(a.age_s)::integer,
      'promise_s', coalesce(e.promise_s, 1200),
      'coverage', coalesce(c.coverage, 0),
      'complete', coalesce(a.age_s <= coalesce(e.promise_s, 1200) and c.coverage >= 0.999, false),
      'currency', e.currency)
    from public.events e
   cross join lateral (
      select greatest(0, extract(epoch from now() - e.last_scraped)) as age_s,
             (select p.observed_at from public.polls p
               where p.event_id = e.id and p.status in ('accepted', 'unchanged') order by p.observed_at limit 1) as first_at
   ) a
   cross join lateral (
      select greatest(pg_catalog.date_trunc('hour', coalesce(p_since, case when p_until is null then now() - interval '24 hours'
                                                                      else a.first_at end)), a.first_at) as since,
             least(coalesce(p_until, now()), now()) as until
   ) w
   cross join lateral (
      select case when w.since < w.until then round(least(1,
               tickets.covered_s(e.id, w.since, w.until) / extract(epoch from w.until - w.since))::numeric, 4) end as coverage
   ) c
   where e.id = p_event_id
$$;
comment on function public.event_meta is
  'What an answer about one event says about itself; coverage is of the time given, or of the last 24 h. Null: no such event';

create function public.events_meta(p_ids bigint[]) returns jsonb
language sql stable security invoker set search_path = '' as $$
  select jsonb_build_object(
      'as_of', min(e.last_scraped),
      'age_s', round(greatest(0, extract(epoch from now() - min(e.last_scraped))))::integer,
      'promise_s', max(coalesce(e.promise_s, 1200)),
      'coverage', coalesce(round(avg(coalesce(now() - e.last_scraped <= make_interval(secs => coalesce(e.promise_s, 1200)), false)::integer), 4), 1),
      'complete', coalesce(bool_and(coalesce(now() - e.last_scraped <= make_interval(secs => coalesce(e.promise_s, 1200)), false)), true))
    from public.events e
   where e.id = any (p_ids) and e.active
$$;
comment on function public.events_meta is
  'What an answer about many events says about itself: the oldest as_of, and the share of the active ones within promise';

create function public.trend_meta(p_values numeric[]) returns jsonb
language sql immutable security invoker set search_path = '' as $$
  with known as (
    select array_agg(v order by i) as v from unnest(p_values) with ordinality as u (v, i) where v is not null
  ), change as (
    select tickets.percent(k.v[1], k.v[cardinality(k.v)]) as percent from known k
  )
  select jsonb_build_object(
      'data_points', coalesce(cardinality(p_values), 0),
      'trend', case when c.percent > 1 then 'up' when c.percent < -1 then 'down' when c.percent is not null then 'flat' end,
      'percent_change', c.percent)
    from change c
$$;
comment on function public.trend_meta is 'Direction from the first to the last known value; flat within one percent';
