-- The market at the newest accepted poll.
create function tickets.split_list(p_bits smallint) returns integer[]
language sql immutable parallel safe as $$
  select coalesce(array_agg(n order by n), '{}') from generate_series(1, 15) n where (p_bits & (1 << (n - 1))) <> 0
$$;
comment on function tickets.split_list(smallint) is 'The quantities that can be bought, from bits; 15 stands for 15 and more';

create function public.list_events(p_active boolean default null, p_category text default null)
returns table (
  id bigint, external_id text, source text, name text, venue text, city text, state text, tz text,
  starts_at timestamptz, local_date date, category text, performer_id text, performer_name text, image_url text,
  status text, active boolean, promise_s integer, last_scraped timestamptz
)
language sql stable security invoker as $$
  select e.id, e.external_id, e.source, e.name, e.venue, e.city, e.state, e.tz, e.starts_at, e.local_date, e.category,
         e.performer_id, e.performer_name, e.image_url, e.status, e.active, coalesce(e.promise_s, 1200), e.last_scraped
    from public.events e
   where (p_active is null or e.active = p_active) and (p_category is null or e.category = p_category)
$$;
comment on function public.list_events is 'Events, all or those of a category, watched or not';

create function public.event_zones(p_event_id bigint)
returns table (
  zone text, sections integer, get_in numeric, get_in_pair numeric, get_in_four numeric, min_price numeric,
  avg_price numeric, median_price numeric, max_price numeric, total_listings integer, total_tickets integer
)
language sql stable security invoker as $$
  select s.zone, count(distinct s.section)::integer, tickets.major(min(o.aip_cents)),
         tickets.major(min(o.aip_cents) filter (where o.splits & 2 <> 0)),
         tickets.major(min(o.aip_cents) filter (where o.splits & 8 <> 0)),
         tickets.major(min(o.aip_cents)), round(avg(o.aip_cents) / 100, 2),
         tickets.major(percentile_disc(0.5) within group (order by o.aip_cents)), tickets.major(max(o.aip_cents)),
         count(*)::integer, sum(o.qty)::integer
    from public.listings_open o
    join public.sections s on s.event_id = o.event_id and s.section_id = o.section_id
   where o.event_id = p_event_id
   group by s.zone
   order by min(o.aip_cents), s.zone
$$;
comment on function public.event_zones is 'The zones of an event, now, cheapest first';

create function public.event_snapshot(p_event_id bigint)
returns table (event jsonb, now jsonb, zones jsonb)
language sql stable security invoker as $$
  select to_jsonb(e),
         jsonb_build_object(
           'get_in', tickets.major(l.get_in), 'get_in_pair', tickets.major(l.get_in_pair),
           'get_in_four', tickets.major(l.get_in_four), 'min_price', tickets.major(l.get_in),
           'avg_price', tickets.major(l.avg_aip), 'median_price', tickets.major(l.median_aip),
           'max_price', tickets.major(l.max_aip), 'total_listings', coalesce(l.n_listings, 0),
           'total_tickets', coalesce(l.n_tickets, 0)),
         coalesce((select jsonb_agg(to_jsonb(z)) from public.event_zones(p_event_id) z), '[]')
    from public.list_events(null, null) e
    left join public.event_latest l on l.event_id = e.id
   where e.id = p_event_id
$$;
comment on function public.event_snapshot is 'An event, its whole market and its zones, now';

create function public.event_listings(p_event_id bigint, p_group_size integer default 1)
returns table (
  listing_id text, zone text, section text, "row" text, quantity integer, splits integer[], price numeric,
  base_price numeric, face_price numeric, since timestamptz
)
language sql stable security invoker as $$
  select l.external_id, s.zone, s.section, l."row", o.qty::integer, tickets.split_list(o.splits),
         tickets.major(o.aip_cents), tickets.major(o.base_cents), tickets.major(l.face_cents), o.valid_from
    from public.listings_open o
    join public.sections s on s.event_id = o.event_id and s.section_id = o.section_id
    join public.listings l on l.event_id = o.event_id and l.listing = o.listing
   where o.event_id = p_event_id
     and (p_group_size = 1 or o.splits & (1 << (p_group_size - 1)) <> 0)
$$;
comment on function public.event_listings is 'Listings on sale now that can be bought by a group of this size (1: any)';

create function public.event_heatmap(p_event_id bigint, p_zone text default null)
returns table (
  zone text, section text, get_in numeric, get_in_pair numeric, median_price numeric, total_listings integer,
  total_tickets integer, change_24h double precision
)
language sql stable security invoker as $$
  with sections as (
    select s.zone, s.section, min(o.aip_cents) as get_in, min(o.aip_cents) filter (where o.splits & 2 <> 0) as pair,
           percentile_disc(0.5) within group (order by o.aip_cents) as median, count(*)::integer as listings,
           sum(o.qty)::integer as tickets
      from public.listings_open o
      join public.sections s on s.event_id = o.event_id and s.section_id = o.section_id
     where o.event_id = p_event_id and (p_zone is null or s.zone = p_zone)
     group by s.zone, s.section
  ), day_ago as materialized (
    select (s).scope_id as section, (s).close_get_in as get_in
      from (select r.sections from public.rollup_hour_sections r
             where r.event_id = p_event_id and r.hour between now() - interval '28 hours' and now() - interval '23 hours'
             order by abs(extract(epoch from r.hour + interval '25 hours' - now())) limit 1) r, unnest(r.sections) s
  )
  select n.zone, n.section, tickets.major(n.get_in), tickets.major(n.pair), tickets.major(n.median), n.listings,
         n.tickets, tickets.percent(d.get_in, n.get_in)
    from sections n
    left join day_ago d on d.section = n.section
   order by n.get_in, n.zone, n.section
$$;
comment on function public.event_heatmap is 'Every section now, and the change of its cheapest price over 24 h';

create function public.get_latest_prices(p_event_id bigint default null, p_zone text default null)
returns table (
  event_id bigint, zone text, "timestamp" timestamptz, min_price numeric, avg_price numeric, max_price numeric,
  min_price_2tickets numeric, min_price_4tickets numeric, total_tickets integer, total_listings integer
)
language sql stable security invoker as $$
  select o.event_id, s.zone, l.observed_at, tickets.major(min(o.aip_cents)), round(avg(o.aip_cents) / 100, 2),
         tickets.major(max(o.aip_cents)), tickets.major(min(o.aip_cents) filter (where o.splits & 2 <> 0)),
         tickets.major(min(o.aip_cents) filter (where o.splits & 8 <> 0)), sum(o.qty)::integer, count(*)::integer
    from public.listings_open o
    join public.sections s on s.event_id = o.event_id and s.section_id = o.section_id
    join public.event_latest l on l.event_id = o.event_id
   where (p_event_id is null or o.event_id = p_event_id) and (p_zone is null or s.zone = p_zone)
   group by o.event_id, s.zone, l.observed_at
   order by o.event_id, s.zone
$$;
comment on function public.get_latest_prices is
  'One row for each zone at the newest accepted poll, over all sections of the zone; one event or all';
