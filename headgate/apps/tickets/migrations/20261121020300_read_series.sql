-- Series over time: one scope at a time, never interleaved, and never filled where nobody looked.

-- Quantiles of a log sketch: value of bucket k is 2·γ^k/(γ+1) with γ = 1.01/0.99, in cents.
create function tickets.sketch_quantiles(p_keys smallint[], p_weights bigint[], p_at double precision[])
returns numeric[]
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  -- a loop, because it runs once for each bucket of a series and a set-returning query costs twenty times as much
  total bigint := 0;
  through bigint := 0;
  wanted integer := 1;
  found numeric[] := '{}';
begin
  if p_keys is null then
    return null;
  end if;
  foreach through in array p_weights loop
    total := total + through;
  end loop;
  through := 0;
  for i in 1 .. pg_catalog.cardinality(p_keys) loop
    through := through + p_weights[i];
    while wanted <= pg_catalog.cardinality(p_at) and through >= p_at[wanted] * total loop
      found[wanted] := pg_catalog.round(
        (2 * pg_catalog.power(1.01::double precision / 0.99, p_keys[i]::double precision)
         / (1.01::double precision / 0.99 + 1) / 100)::numeric, 2);
      wanted := wanted + 1;
    end loop;
    exit when wanted > pg_catalog.cardinality(p_at);
  end loop;
  return found;
end
$$;
comment on function tickets.sketch_quantiles is 'Prices in the major unit at the given ascending shares of a sketch; relative error 1 %';

-- The buckets of one scope. The only place that knows how hours and days are kept.
create function tickets.buckets(
  p_event_id bigint, p_scope text, p_scope_id text, p_since timestamptz, p_until timestamptz, p_granularity text
)
returns table (
  bucket timestamptz, length_s double precision, covered_ms bigint, listing_ms bigint, ticket_ms bigint, aip_ms bigint,
  polls integer, min_aip integer, max_aip integer, min_pair integer, min_four integer, close_get_in integer,
  entered integer, exited integer, sold_lo_tickets integer, sold_hi_tickets integer, sketch_keys smallint[],
  sketch_ms bigint[]
)
language sql stable security invoker set search_path = '' as $$
  -- the newest poll covers up to 30 minutes to come: buckets that have not begun are nobody's yet
  with upto as (
    select least(p_until, now()) as at
  ), own as materialized (
    select h.* from upto u, tickets.hours(p_event_id, p_since, u.at, p_scope, p_scope_id) h
     where p_granularity = 'hourly'
  )
  select h.hour, 3600::double precision, h.covered_ms, h.listing_ms, h.ticket_ms, h.aip_ms, h.polls, h.min_aip,
         h.max_aip, h.min_pair, h.min_four, h.close_get_in, h.entered, h.exited, h.sold_lo_tickets, h.sold_hi_tickets,
         h.sketch_keys, h.sketch_ms
    from own h
  union all
  -- covered hours in which a known zone or section had nothing listed: the level is 0, not unknown
  select e.hour, 3600::double precision, e.covered_ms, 0, 0, 0, e.polls, null, null, null, null, null, 0, 0, 0, 0,
         null, null
    from upto u, tickets.hours(p_event_id, p_since, u.at, 'event', '') e
   where p_granularity = 'hourly' and p_scope <> 'event' and e.covered_ms > 0
     and exists (select from public.sections s
                  where s.event_id = p_event_id and p_scope_id = case p_scope when 'zone' then s.zone else s.section end)
     and not exists (select from own o where o.hour = e.hour)
  union all
  select tickets.day_start(d.day, e.tz),
         extract(epoch from tickets.day_start(d.day + 1, e.tz) - tickets.day_start(d.day, e.tz)),
         d.covered_ms, d.listing_ms, d.ticket_ms, d.aip_ms, d.polls, d.min_aip, d.max_aip, d.min_pair, d.min_four,
         d.close_get_in, d.entered, d.exited, d.sold_lo_tickets, d.sold_hi_tickets, d.sketch_keys, d.sketch_ms
    from public.events e
   cross join upto u
   cross join lateral tickets.days(e.id, (p_since at time zone e.tz)::date, (u.at at time zone e.tz)::date + 1,
                                   p_scope, p_scope_id) d
   where p_granularity = 'daily' and e.id = p_event_id
$$;
comment on function tickets.buckets is 'Hours or days of an event, a zone or a section, with sums over covered time';

create function tickets.ahead_s(p_covered_until timestamptz, p_bucket timestamptz, p_length_s double precision)
returns double precision
language sql stable set search_path = '' as $$
  select coalesce(greatest(0, extract(epoch from
    least(p_covered_until, p_bucket + make_interval(secs => p_length_s)) - greatest(now(), p_bucket))), 0)::double precision
$$;
comment on function tickets.ahead_s is 'Seconds of a bucket that are covered but still to come: the newest poll covers 30 minutes';

create function public.event_series(
  p_event_id bigint, p_zone text default null, p_section text default null, p_since timestamptz default null,
  p_until timestamptz default null, p_granularity text default 'hourly'
)
returns table (
  "timestamp" timestamptz, coverage double precision, polls integer, min_price numeric, p25 numeric,
  median_price numeric, p75 numeric, avg_price numeric, max_price numeric, get_in numeric, get_in_pair numeric,
  get_in_four numeric, total_listings numeric, total_tickets numeric, entered integer, exited integer,
  sold_lo integer, sold_hi integer
)
language sql stable security invoker as $$
  select b.bucket,
         round(greatest(0, least(1, (b.covered_ms / 1000.0 - tickets.ahead_s(n.until_at, b.bucket, b.length_s))
           / greatest(1, least(b.length_s, extract(epoch from now() - b.bucket)::double precision))))::numeric, 4)
           ::double precision,
         b.polls, tickets.major(b.min_aip), q.v[1], q.v[2], q.v[3],
         round(b.aip_ms / nullif(b.listing_ms, 0)::numeric / 100, 2), tickets.major(b.max_aip),
         tickets.major(b.close_get_in), tickets.major(b.min_pair), tickets.major(b.min_four),
         round(b.listing_ms / nullif(b.covered_ms, 0)::numeric, 2), round(b.ticket_ms / nullif(b.covered_ms, 0)::numeric, 2),
         b.entered, b.exited, b.sold_lo_tickets, b.sold_hi_tickets
    from tickets.buckets(p_event_id,
           case when p_section is not null then 'section' when p_zone is not null then 'zone' else 'event' end,
           coalesce(p_section, p_zone, ''),
           coalesce(p_since, now() - case p_granularity when 'daily' then interval '10 years' else interval '30 days' end),
           coalesce(p_until, now()), p_granularity) b
    left join lateral (select tickets.sketch_quantiles(b.sketch_keys, b.sketch_ms, '{0.25,0.5,0.75}') as v) q on true
    left join lateral (select l.observed_at + interval '30 minutes' as until_at
                         from public.event_latest l where l.event_id = p_event_id) n on true
   order by b.bucket
$$;
comment on function public.event_series is
  'Prices, inventory, arrivals, departures and sold tickets (low, high) by hour or venue day; 30 days by default if hourly';

create function public.get_price_trends(
  p_event_id bigint, p_zone text default null, p_start_date timestamptz default null,
  p_end_date timestamptz default null, p_granularity text default 'hourly'
)
returns table ("timestamp" timestamptz, min_price numeric, avg_price numeric, max_price numeric)
language sql stable security invoker as $$
  select b.bucket, tickets.major(b.min_aip), round(b.aip_ms / nullif(b.listing_ms, 0)::numeric / 100, 2),
         tickets.major(b.max_aip)
    from tickets.buckets(p_event_id, case when p_zone is null then 'event' else 'zone' end, coalesce(p_zone, ''),
           coalesce(p_start_date, now() - case p_granularity when 'daily' then interval '10 years' else interval '30 days' end),
           coalesce(p_end_date, now()), p_granularity) b
   order by b.bucket
$$;
comment on function public.get_price_trends is
  'Minimum, time-weighted average and maximum price by hour or day; a null zone is the whole event, one row for each bucket';

create function public.get_group_prices(
  p_event_id bigint, p_zone text default null, p_start_date timestamptz default null,
  p_end_date timestamptz default null, p_granularity text default 'hourly', p_group_size integer default 2
)
returns table ("timestamp" timestamptz, price numeric)
language sql stable security invoker as $$
  select b.bucket, tickets.major(case p_group_size when 2 then b.min_pair when 4 then b.min_four when 1 then b.min_aip end)
    from tickets.buckets(p_event_id, case when p_zone is null then 'event' else 'zone' end, coalesce(p_zone, ''),
           coalesce(p_start_date, now() - case p_granularity when 'daily' then interval '10 years' else interval '30 days' end),
           coalesce(p_end_date, now()), p_granularity) b
   order by b.bucket
$$;
comment on function public.get_group_prices is 'The cheapest price per ticket for one, two or four who sit together';

create function public.get_ticket_counts(
  p_event_id bigint, p_zone text default null, p_start_date timestamptz default null,
  p_end_date timestamptz default null, p_granularity text default 'hourly'
)
returns table ("timestamp" timestamptz, total_tickets numeric, total_listings numeric)
language sql stable security invoker as $$
  select b.bucket, round(b.ticket_ms / nullif(b.covered_ms, 0)::numeric, 2),
         round(b.listing_ms / nullif(b.covered_ms, 0)::numeric, 2)
    from tickets.buckets(p_event_id, case when p_zone is null then 'event' else 'zone' end, coalesce(p_zone, ''),
           coalesce(p_start_date, now() - case p_granularity when 'daily' then interval '10 years' else interval '30 days' end),
           coalesce(p_end_date, now()), p_granularity) b
   where b.covered_ms > 0
   order by b.bucket
$$;
comment on function public.get_ticket_counts is 'Tickets and listings on sale, averaged over covered time: a level, never a sum';

create function public.event_polls(p_event_id bigint, p_since timestamptz default null, p_limit integer default 100)
returns table (
  observed_at timestamptz, status text, reason text, latency_ms integer, total_listings integer, total_tickets integer,
  get_in numeric, get_in_pair numeric, get_in_four numeric, p25 numeric, median_price numeric, p75 numeric
)
language sql stable security invoker as $$
  with looks as materialized (
    select p.* from public.polls p
     where p.event_id = p_event_id and p.observed_at >= coalesce(p_since, now() - interval '3 hours')
     order by p.observed_at desc, p.seq desc limit p_limit
  ), spans as materialized (
    select s.aip_cents, s.splits, s.valid_from, s.valid_to from public.listing_spans s
     where s.event_id = p_event_id
       and (s.valid_to is null or s.valid_to > (select min(l.observed_at) from looks l))
  )
  select l.observed_at, l.status, l.reason, l.latency_ms, l.n_listings, l.n_tickets, tickets.major(l.get_in),
         tickets.major(m.pair), tickets.major(m.four), tickets.major(m.v[1]), tickets.major(m.v[2]), tickets.major(m.v[3])
    from looks l
    left join lateral (
      select min(s.aip_cents) filter (where s.splits & 2 <> 0) as pair,
             min(s.aip_cents) filter (where s.splits & 8 <> 0) as four,
             percentile_disc(array[0.25, 0.5, 0.75]) within group (order by s.aip_cents) as v
        from spans s
       where l.status in ('accepted', 'unchanged') and s.valid_from <= l.observed_at
         and (s.valid_to is null or s.valid_to > l.observed_at)
    ) m on true
   order by l.observed_at desc, l.seq desc
$$;
comment on function public.event_polls is
  'Attempts to read an event''s listings, newest first, and the market that each found; failed ones with their reason';

create function public.event_percentiles(
  p_event_id bigint, p_zone text default null, p_since timestamptz default null, p_until timestamptz default null
)
returns table (
  zone text, listing_hours double precision, p5 numeric, p10 numeric, p25 numeric, p50 numeric, p75 numeric,
  p90 numeric, p95 numeric
)
language sql stable security invoker as $$
  with hours as (
    select h.scope, h.scope_id, h.sketch_keys, h.sketch_ms
      from tickets.hours(p_event_id, coalesce(p_since, now() - interval '24 hours'), coalesce(p_until, now()), 'event', '') h
     where p_zone is null
    union all
    select h.scope, h.scope_id, h.sketch_keys, h.sketch_ms
      from tickets.hours(p_event_id, coalesce(p_since, now() - interval '24 hours'), coalesce(p_until, now()), 'zone', p_zone) h
  ), merged as (
    select h.scope, h.scope_id, u.k, sum(u.w)::bigint as w
      from hours h, unnest(h.sketch_keys, h.sketch_ms) as u (k, w)
     group by h.scope, h.scope_id, u.k
  ), sketches as (
    select m.scope, m.scope_id, sum(m.w) as total, array_agg(m.k order by m.k) as keys, array_agg(m.w order by m.k) as weights
      from merged m group by m.scope, m.scope_id
  )
  select case s.scope when 'zone' then s.scope_id end, round(s.total / 3600000.0, 2)::double precision,
         q.v[1], q.v[2], q.v[3], q.v[4], q.v[5], q.v[6], q.v[7]
    from sketches s
   cross join lateral (
      select tickets.sketch_quantiles(s.keys, s.weights, '{0.05,0.1,0.25,0.5,0.75,0.9,0.95}') as v
   ) q
   order by s.scope = 'zone', q.v[4], s.scope_id
$$;
comment on function public.event_percentiles is
  'Price percentiles over a time (24 h by default), the event first and then its zones, weighted by time listed';
