-- What was sold, as far as vanished listings tell: always an interval.
create function public.sold_meta(
  p_event_id bigint, p_zone text default null, p_since timestamptz default null, p_until timestamptz default null
) returns jsonb
language sql stable security invoker set search_path = '' as $$
  select jsonb_build_object('sold_lo', coalesce(sum(b.sold_lo_tickets), 0), 'sold_hi', coalesce(sum(b.sold_hi_tickets), 0))
    from tickets.buckets(p_event_id, case when p_zone is null then 'event' else 'zone' end, coalesce(p_zone, ''),
           coalesce(p_since, now() - interval '24 hours'), coalesce(p_until, now()), 'hourly') b
$$;
comment on function public.sold_meta is 'Tickets sold in a time (24 h by default), at least and at most';

create function public.event_velocity(p_event_id bigint, p_zone text default null, p_days integer default 7)
returns table (
  days integer, observed_days double precision, total_tickets integer, sold_lo integer, sold_hi integer,
  sold_per_day_lo double precision, sold_per_day_hi double precision, days_of_supply_lo double precision,
  days_of_supply_hi double precision
)
language sql stable security invoker as $$
  with sold as (
    -- what the newest poll covers of the time to come has not been observed
    select greatest(0, sum(b.covered_ms) / 1000.0 - coalesce((
             select greatest(0, extract(epoch from least(
                      l.observed_at + interval '30 minutes',
                      max(b.bucket) + make_interval(secs => max(b.length_s))) - now()))
               from public.event_latest l where l.event_id = p_event_id), 0)) / 86400 as observed,
           coalesce(sum(b.sold_lo_tickets), 0)::integer as lo,
           coalesce(sum(b.sold_hi_tickets), 0)::integer as hi
      from tickets.buckets(p_event_id, case when p_zone is null then 'event' else 'zone' end, coalesce(p_zone, ''),
             now() - make_interval(days => least(greatest(p_days, 1), 90)), now(), 'hourly') b
  ), stock as (
    select coalesce(sum(o.qty), 0)::integer as tickets
      from public.listings_open o
      join public.sections s on s.event_id = o.event_id and s.section_id = o.section_id
     where o.event_id = p_event_id and (p_zone is null or s.zone = p_zone)
  )
  select p_days, round(coalesce(s.observed, 0), 3)::double precision, k.tickets, s.lo, s.hi,
         round(s.lo / e.observed, 2)::double precision, round(s.hi / e.observed, 2)::double precision,
         round(k.tickets * e.observed / nullif(s.hi, 0), 2)::double precision,
         round(k.tickets * e.observed / nullif(s.lo, 0), 2)::double precision
    from sold s, stock k,
         lateral (select case when s.observed >= 0.25 then s.observed end as observed) e  -- six hours say something
   where exists (select from public.events e where e.id = p_event_id)
$$;
comment on function public.event_velocity is
  'Tickets sold per observed day over the last days, and for how long today''s inventory lasts at that pace; intervals, null before six observed hours';

create function public.event_exits(
  p_event_id bigint, p_zone text default null, p_since timestamptz default null, p_until timestamptz default null,
  p_limit integer default 50, p_offset integer default 0
)
returns table (
  listing_id text, zone text, section text, "row" text, quantity integer, price numeric, last_seen timestamptz,
  gone_at timestamptz, kind text
)
language sql stable security invoker as $$
  with busy as (
    -- the newest hours that together hold enough departures
    select h.hour, sum(h.exited) over (order by h.hour desc) - h.exited as before
      from tickets.hours(p_event_id, coalesce(p_since, now() - interval '24 hours'), coalesce(p_until, now()),
             case when p_zone is null then 'event' else 'zone' end, coalesce(p_zone, '')) h
     where h.exited > 0
  )
  select l.external_id, s.zone, s.section, l."row", v.exited_tickets, tickets.major(v.aip), i.before_at, v.at,
         case when v.frozen > 0 then 'frozen' when v.sold_lo > 0 then 'sold' else 'unsure' end
    from busy b
   cross join lateral tickets.instants(p_event_id, b.hour) seen
   cross join lateral tickets.verdicts(p_event_id, b.hour, seen) v
    join public.sections s on s.event_id = p_event_id and s.section_id = v.section_id
    join public.listings l on l.event_id = p_event_id and l.listing = v.listing
    left join lateral (select n.before_at from unnest(seen) n where n.at = v.at) i on true
   where b.before < p_limit + p_offset and v.exited > 0 and (p_zone is null or s.zone = p_zone)
   order by v.at desc, l.external_id
   limit p_limit offset p_offset
$$;
comment on function public.event_exits is
  'Listings that left, newest first, at their last listed state: sold (surely), unsure, or frozen when nothing can be inferred';
