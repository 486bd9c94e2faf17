-- Many events at once: screener, sparkline, comparison, freshness.
create function public.screen_events()
returns table (
  id bigint, name text, venue text, city text, state text, tz text, category text, performer_name text,
  starts_at timestamptz, days_to_event double precision, status text, active boolean, currency text, promise_s integer,
  as_of timestamptz, age_s integer, get_in numeric, get_in_pair numeric, get_in_four numeric, avg_price numeric,
  median_price numeric, max_price numeric, total_listings integer, total_tickets integer, change_24h double precision,
  change_7d double precision, tickets_change_24h double precision, sold_lo_24h integer, sold_hi_24h integer
)
language sql stable security invoker as $$
  select e.id, e.name, e.venue, e.city, e.state, e.tz, e.category, e.performer_name, e.starts_at,
         round((extract(epoch from e.starts_at - now()) / 86400)::numeric, 2)::double precision, e.status, e.active,
         e.currency, coalesce(e.promise_s, 1200), e.last_scraped,
         greatest(0, round(extract(epoch from now() - e.last_scraped)))::integer,
         tickets.major(l.get_in), tickets.major(l.get_in_pair), tickets.major(l.get_in_four), tickets.major(l.avg_aip),
         tickets.major(l.median_aip), tickets.major(l.max_aip), l.n_listings, l.n_tickets,
         tickets.percent(day.close_get_in, l.get_in), tickets.percent(week.close_get_in, l.get_in),
         tickets.percent(day.ticket_ms / nullif(day.covered_ms, 0)::numeric, l.n_tickets), sold.lo, sold.hi
    from public.events e
    left join public.event_latest l on l.event_id = e.id
    left join lateral (
      select r.close_get_in, r.ticket_ms, r.covered_ms from public.rollup_hours r
       where r.event_id = e.id and r.scope = 'event' and r.scope_id = ''
         and r.hour between now() - interval '28 hours' and now() - interval '23 hours'
       order by abs(extract(epoch from r.hour + interval '25 hours' - now())) limit 1) day on true
    left join lateral (
      select r.close_get_in from public.rollup_hours r
       where r.event_id = e.id and r.scope = 'event' and r.scope_id = ''
         and r.hour between now() - interval '7 days 12 hours' and now() - interval '6 days 12 hours'
       order by abs(extract(epoch from r.hour + interval '7 days 1 hour' - now())) limit 1) week on true
    left join lateral (
      select sum(r.sold_lo_tickets)::integer as lo, sum(r.sold_hi_tickets)::integer as hi from public.rollup_hours r
       where r.event_id = e.id and r.scope = 'event' and r.scope_id = '' and r.hour > now() - interval '24 hours') sold on true
$$;
comment on function public.screen_events is 'Every event with its prices now, and how they moved over a day and a week';

create function public.event_spark(p_event_id bigint, p_points integer default 48) returns numeric[]
language sql stable security invoker as $$
  with looks as materialized (
    select p.observed_at as at, lead(p.observed_at, 1, 'infinity') over (order by p.observed_at) as next_at, p.get_in,
           count(*) over () as looks, min(p.observed_at) over () as first_at,
           extract(epoch from now() - min(p.observed_at) over ())::double precision / p_points as step_s
      from public.polls p
     where p.event_id = p_event_id and p.status in ('accepted', 'unchanged')
       and p.observed_at > now() - make_interval(hours => p_points)
  ), seen as (
    -- the end of slot n is first_at + n steps; the poll that covers it speaks for the slot
    select n as slot, l.get_in
      from looks l
     cross join lateral generate_series(
             ceil(extract(epoch from l.at - l.first_at) / l.step_s)::integer,
             ceil(extract(epoch from least(l.next_at, l.at + greatest(make_interval(secs => l.step_s), interval '30 minutes'))
                                     - l.first_at) / l.step_s)::integer - 1) n
     where l.looks > p_points and l.step_s > 0 and n between 1 and p_points
    union all
    select row_number() over (order by l.at), l.get_in from looks l where l.looks <= p_points
  )
  select array_agg(tickets.major(s.get_in) order by n)
    from generate_series(1, (select least(p_points, max(l.looks))::integer from looks l)) n
    left join seen s on s.slot = n
$$;
comment on function public.event_spark is
  'The get-in price over the last p_points hours (or since the first poll) in equal slots; poll by poll while they are few';

create function public.compare_events(p_ids bigint[])
returns table (event jsonb, daily jsonb)
language sql stable security invoker as $$
  select to_jsonb(s) || '{"spark": null}',
         coalesce((
           select jsonb_agg(jsonb_build_object(
                    'day', d.day, 'days_to_event', (s.starts_at at time zone s.tz)::date - d.day,
                    'get_in', tickets.major(d.close_get_in),
                    'total_tickets', round(d.ticket_ms / nullif(d.covered_ms, 0)::numeric, 1)) order by d.day)
             from public.rollup_days d
            where d.event_id = s.id and d.scope = 'event' and d.scope_id = '' and s.starts_at is not null), '[]')
    from public.screen_events() s
   where s.id = any (p_ids)
   order by array_position(p_ids, s.id)
$$;
comment on function public.compare_events is 'Events side by side, with their daily closing get-in price by days to the event';

-- Freshness is reckoned from tables that are nobody's business; what it says is everybody's. Reads only.
create function tickets.read_freshness(p_window interval)
returns table (event_id bigint, age_s double precision, promise_s integer, within_s double precision, total_s double precision)
language sql stable security definer set search_path = '' as $$
  select f.event_id, f.age_s, f.promise_s, f.within_s, f.total_s
    from tickets.event_freshness(least(p_window, interval '24 hours')) f
$$;
comment on function tickets.read_freshness is 'tickets.event_freshness for every caller, over a day at most';

create function public.event_freshness()
returns table (
  event_id bigint, name text, status text, starts_at timestamptz, promise_s integer, as_of timestamptz, age_s integer,
  within boolean, service_24h double precision, polls_24h integer, failed_24h integer, last_failure text,
  next_due timestamptz
)
language sql stable security invoker as $$
  select e.id, e.name, e.status, e.starts_at, coalesce(e.promise_s, 1200), e.last_scraped,
         greatest(0, round(extract(epoch from now() - e.last_scraped)))::integer,
         coalesce(now() - e.last_scraped <= make_interval(secs => coalesce(e.promise_s, 1200)), false),
         round((f.within_s / nullif(f.total_s, 0))::numeric, 4)::double precision,
         coalesce(p.polls, 0), coalesce(p.failed, 0), p.last_failure, e.next_due
    from public.events e
    left join tickets.read_freshness('24 hours') f on f.event_id = e.id
    left join lateral (
      select count(*)::integer as polls, (count(*) filter (where p.status in ('rejected', 'failed')))::integer as failed,
             (array_agg(p.reason order by p.observed_at desc) filter (where p.status in ('rejected', 'failed')))[1] as last_failure
        from public.polls p where p.event_id = e.id and p.observed_at > now() - interval '24 hours') p on true
   where e.active
$$;
comment on function public.event_freshness is 'How old each watched event''s data is against its promise, now and over 24 h';

create function public.freshness_summary() returns jsonb
language sql stable security invoker as $$
  with f as materialized (select * from tickets.read_freshness('24 hours')),
  market as (
    select sum(l.n_tickets) as tickets, sum(l.n_listings) as listings
      from public.event_latest l join public.events e on e.id = l.event_id where e.active
  ), sold as (
    select sum(r.sold_lo_tickets) as lo, sum(r.sold_hi_tickets) as hi
      from public.events e
      join public.rollup_hours r on r.event_id = e.id and r.scope = 'event' and r.scope_id = '' and r.hour > now() - interval '24 hours'
     where e.active
  ), tries as (
    select count(*) as polls, count(*) filter (where p.status in ('rejected', 'failed')) as failed
      from public.polls p where p.observed_at > now() - interval '24 hours'
  ), now_ as (
    select count(*) as events,
           count(*) filter (where now() - e.last_scraped <= make_interval(secs => coalesce(e.promise_s, 1200))) as within,
           count(*) filter (where now() - coalesce(e.last_scraped, e.created_at) > 3 * make_interval(secs => coalesce(e.promise_s, 1200))) as starved,
           percentile_cont(array[0.5, 0.95, 0.99, 1]) within group (order by extract(epoch from now() - e.last_scraped)::double precision) as ages
      from public.events e where e.active
  )
  select jsonb_build_object(
      'events', n.events, 'within', n.within, 'starved', n.starved,
      'service_24h', (select round((sum(f.within_s) / nullif(sum(f.total_s), 0))::numeric, 4) from f),
      'age_p50_s', round(n.ages[1]), 'age_p95_s', round(n.ages[2]), 'age_p99_s', round(n.ages[3]), 'age_max_s', round(n.ages[4]),
      'polls_24h', t.polls, 'failed_24h', t.failed, 'tickets', m.tickets, 'listings', m.listings,
      'sold_lo_24h', s.lo, 'sold_hi_24h', s.hi)
    from now_ n, market m, sold s, tries t
$$;
comment on function public.freshness_summary is 'All watched events together: ages, promises kept over 24 h, polls, market';
