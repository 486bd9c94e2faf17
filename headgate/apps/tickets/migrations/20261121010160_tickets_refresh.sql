-- The refresher and the live reads: clean rows, and fresh ones in the place of dirty hours.

create function tickets.refresh_hour(p_event bigint, p_hour timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
    v_rows public.rollup_hours[] := array(select x from tickets.hour_rows(p_event, p_hour) x);
begin
    delete from public.rollup_hours r
    where r.event_id = p_event and r.hour = p_hour
      and not exists (select from unnest(v_rows) n where n.scope = r.scope and n.scope_id = r.scope_id);
    insert into public.rollup_hours as r
    select * from unnest(v_rows) n where n.scope <> 'section'
    on conflict (event_id, scope, scope_id, hour) do update
    set covered_ms = excluded.covered_ms, listing_ms = excluded.listing_ms, ticket_ms = excluded.ticket_ms,
        aip_ms = excluded.aip_ms, sold_lo_cents = excluded.sold_lo_cents, sold_hi_cents = excluded.sold_hi_cents,
        through_at = excluded.through_at, polls = excluded.polls, min_aip = excluded.min_aip,
        max_aip = excluded.max_aip, min_pair = excluded.min_pair, min_four = excluded.min_four,
        open_get_in = excluded.open_get_in, close_get_in = excluded.close_get_in, entered = excluded.entered,
        exited = excluded.exited, exited_tickets = excluded.exited_tickets, frozen = excluded.frozen,
        price_up = excluded.price_up, price_down = excluded.price_down, sold_lo = excluded.sold_lo,
        sold_hi = excluded.sold_hi, sold_lo_tickets = excluded.sold_lo_tickets,
        sold_hi_tickets = excluded.sold_hi_tickets, sketch_keys = excluded.sketch_keys, sketch_ms = excluded.sketch_ms
    where r.* is distinct from excluded.*;
    if cardinality(v_rows) = 0 then
        delete from public.rollup_hour_sections s where s.event_id = p_event and s.hour = p_hour;
        return;
    end if;
    insert into public.rollup_hour_sections as s (event_id, hour, sections)
    select p_event, p_hour, coalesce(array_agg(row(
               n.scope_id, n.listing_ms, n.ticket_ms, n.aip_ms, n.sold_lo_cents, n.sold_hi_cents, n.min_aip, n.max_aip,
               n.min_pair, n.min_four, n.open_get_in, n.close_get_in, n.entered, n.exited, n.exited_tickets, n.frozen,
               n.price_up, n.price_down, n.sold_lo, n.sold_hi, n.sold_lo_tickets, n.sold_hi_tickets
           )::tickets.section_hour order by n.scope_id), '{}')
    from unnest(v_rows) n where n.scope = 'section'
    on conflict (event_id, hour) do update set sections = excluded.sections
    where s.sections is distinct from excluded.sections;
end $$;
comment on function tickets.refresh_hour is 'Replace the rollup rows of one hour by what polls and spans say now.';

create function tickets.hours(p_event bigint, p_from timestamptz, p_to timestamptz, p_scope text default 'event',
                              p_scope_id text default null) returns setof public.rollup_hours
language plpgsql stable rows 100 set search_path = '' as $$
begin
    if p_scope in ('event', 'zone') then
        return query
        select r.* from public.rollup_hours r
        where r.event_id = p_event and r.scope = p_scope and (p_scope_id is null or r.scope_id = p_scope_id)
          and r.hour >= p_from and r.hour < p_to
          and not exists (select from public.rollup_dirty d where d.event_id = r.event_id and d.hour = r.hour);
    elsif p_scope = 'section' then
        return query
        select s.event_id, 'section'::text, x.scope_id, s.hour, e.covered_ms, x.listing_ms, x.ticket_ms, x.aip_ms,
               x.sold_lo_cents, x.sold_hi_cents, e.through_at, e.polls, x.min_aip, x.max_aip, x.min_pair, x.min_four,
               x.open_get_in, x.close_get_in, x.entered, x.exited, x.exited_tickets, x.frozen, x.price_up, x.price_down,
               x.sold_lo, x.sold_hi, x.sold_lo_tickets, x.sold_hi_tickets, null::smallint[], null::bigint[]
        from public.rollup_hour_sections s
        join public.rollup_hours e
            on e.event_id = s.event_id and e.scope = 'event' and e.scope_id = '' and e.hour = s.hour
        cross join lateral unnest(s.sections) x
        where s.event_id = p_event and s.hour >= p_from and s.hour < p_to
          and (p_scope_id is null or x.scope_id = p_scope_id)
          and not exists (select from public.rollup_dirty d where d.event_id = s.event_id and d.hour = s.hour);
    end if;
    return query
    select x.* from public.rollup_dirty d cross join lateral tickets.hour_rows(d.event_id, d.hour) x
    where d.event_id = p_event and d.hour >= p_from and d.hour < p_to
      and x.scope = p_scope and (p_scope_id is null or x.scope_id = p_scope_id);
end $$;
comment on function tickets.hours is
    'Hours of an event from p_from up to p_to, of a scope (event, zone, section) and, if given, one zone or section. '
    'Hours that are out of date are reckoned on the spot. Not ordered. A zone or section has a row only in hours in '
    'which it had listings or changes; in the other covered hours its level is 0.';

create function tickets.merge_sketches(p_keys smallint[], p_ms bigint[], p_more_keys smallint[], p_more_ms bigint[],
                                       out keys smallint[], out ms bigint[])
language sql immutable set search_path = '' as $$
    select array_agg(x.k order by x.k), array_agg(x.ms order by x.k)
    from (select u.k, sum(u.ms)::bigint as ms
          from (select * from unnest(p_keys, p_ms) as a(k, ms) union all
                select * from unnest(p_more_keys, p_more_ms) as b(k, ms)) u
          group by u.k) x
$$;
comment on function tickets.merge_sketches is 'Two sketches as one: exact, in any order.';

create function tickets.sketch_quantile(p_keys smallint[], p_ms bigint[], p_q double precision) returns integer
language sql immutable set search_path = '' as $$
    select round(2 * power(1.01::double precision / 0.99, x.k) / (1.01::double precision / 0.99 + 1))::integer
    from (select s.k, sum(s.ms) over (order by s.k) as upto, sum(s.ms) over () as total
          from unnest(p_keys, p_ms) as s(k, ms)) x
    where x.upto >= p_q * x.total and x.total > 0
    order by x.k limit 1
$$;
comment on function tickets.sketch_quantile is 'All-in cents below which a share p_q of the listed time lies, within 1 %.';

create function tickets.merge(p_hours public.rollup_hours[]) returns setof public.rollup_hours
language plpgsql immutable rows 20 set search_path = '' as $$
begin
    return query
    with h as materialized (select * from unnest(p_hours)),
    whole as (
        -- a zone or section without a row in a covered hour had nothing listed then, so the event's cover counts
        select x.event_id, min(x.hour) as hour, sum(x.covered_ms)::bigint as covered_ms, max(x.through_at) as through_at,
               sum(x.polls)::integer as polls
        from h x where x.scope = 'event' group by x.event_id
    ), sums as (
        select x.event_id, x.scope, x.scope_id, sum(x.listing_ms)::bigint as listing_ms,
               sum(x.ticket_ms)::bigint as ticket_ms, sum(x.aip_ms)::bigint as aip_ms,
               sum(x.sold_lo_cents)::bigint as sold_lo_cents, sum(x.sold_hi_cents)::bigint as sold_hi_cents,
               min(x.min_aip) as min_aip, max(x.max_aip) as max_aip, min(x.min_pair) as min_pair,
               min(x.min_four) as min_four,
               -- the first hour's and the last hour's that have one: hour and cents in one number that orders by both
               (min((extract(epoch from x.hour)::bigint << 31) + x.open_get_in) & 2147483647)::integer as open_get_in,
               (max((extract(epoch from x.hour)::bigint << 31) + x.close_get_in) & 2147483647)::integer as close_get_in,
               sum(x.entered)::integer as entered, sum(x.exited)::integer as exited,
               sum(x.exited_tickets)::integer as exited_tickets, sum(x.frozen)::integer as frozen,
               sum(x.price_up)::integer as price_up, sum(x.price_down)::integer as price_down,
               sum(x.sold_lo)::integer as sold_lo, sum(x.sold_hi)::integer as sold_hi,
               sum(x.sold_lo_tickets)::integer as sold_lo_tickets, sum(x.sold_hi_tickets)::integer as sold_hi_tickets
        from h x group by x.event_id, x.scope, x.scope_id
    ), sketches as (
        select b.event_id, b.scope, b.scope_id, array_agg(b.k order by b.k) as keys, array_agg(b.ms order by b.k) as ms
        from (select x.event_id, x.scope, x.scope_id, s.k, sum(s.ms)::bigint as ms
              from h x cross join lateral unnest(x.sketch_keys, x.sketch_ms) as s(k, ms)
              group by x.event_id, x.scope, x.scope_id, s.k) b
        group by b.event_id, b.scope, b.scope_id
    )
    select s.event_id, s.scope, s.scope_id, w.hour, w.covered_ms, s.listing_ms, s.ticket_ms, s.aip_ms, s.sold_lo_cents,
           s.sold_hi_cents, w.through_at, w.polls, s.min_aip, s.max_aip, s.min_pair, s.min_four, s.open_get_in,
           s.close_get_in, s.entered, s.exited, s.exited_tickets, s.frozen, s.price_up, s.price_down, s.sold_lo,
           s.sold_hi, s.sold_lo_tickets, s.sold_hi_tickets, k.keys, k.ms
    from sums s
    join whole w on w.event_id = s.event_id
    left join sketches k on k.event_id = s.event_id and k.scope = s.scope and k.scope_id = s.scope_id;
end $$;
comment on function tickets.merge is
    'Hours of one event as one: sums, minima, merged sketches; hour is the first. The rows of the event itself must be '
    'among them.';

create function tickets.day_start(p_day date, p_tz text) returns timestamptz
language sql stable
return p_day::timestamp at time zone p_tz;
comment on function tickets.day_start is 'The instant at which a venue''s day begins.';

create function tickets.day_rows(p_event bigint, p_day date, p_scope text default null, p_scope_id text default null)
returns setof public.rollup_days language plpgsql stable rows 20 set search_path = '' as $$
declare
    v_tz text := (select e.tz from public.events e where e.id = p_event);
    v_from timestamptz := tickets.day_start(p_day, v_tz);
    v_to timestamptz := tickets.day_start(p_day + 1, v_tz);
begin
    return query
    select m.event_id, m.scope, m.scope_id, p_day, m.covered_ms, m.listing_ms, m.ticket_ms, m.aip_ms, m.sold_lo_cents,
           m.sold_hi_cents, m.through_at, m.polls, m.min_aip, m.max_aip, m.min_pair, m.min_four, m.open_get_in,
           m.close_get_in, m.entered, m.exited, m.exited_tickets, m.frozen, m.price_up, m.price_down, m.sold_lo,
           m.sold_hi, m.sold_lo_tickets, m.sold_hi_tickets, m.sketch_keys, m.sketch_ms
    from tickets.merge(array(
        select h from tickets.hours(p_event, v_from, v_to, 'event', '') h
        union all
        select h from tickets.hours(p_event, v_from, v_to, 'zone', p_scope_id) h where p_scope is null or p_scope = 'zone'
        union all
        select h from tickets.hours(p_event, v_from, v_to, 'section', p_scope_id) h
        where p_scope is null or p_scope = 'section'
    )) m
    where p_scope is null or m.scope = p_scope;
end $$;
comment on function tickets.day_rows is 'One venue day, merged from its hours.';

create function tickets.refresh_day(p_event bigint, p_day date) returns void
language plpgsql set search_path = '' as $$
declare
    v_rows public.rollup_days[] := array(select x from tickets.day_rows(p_event, p_day) x);
begin
    delete from public.rollup_days r
    where r.event_id = p_event and r.day = p_day
      and not exists (select from unnest(v_rows) n where n.scope = r.scope and n.scope_id = r.scope_id);
    insert into public.rollup_days as r
    select * from unnest(v_rows)
    on conflict (event_id, scope, scope_id, day) do update
    set covered_ms = excluded.covered_ms, listing_ms = excluded.listing_ms, ticket_ms = excluded.ticket_ms,
        aip_ms = excluded.aip_ms, sold_lo_cents = excluded.sold_lo_cents, sold_hi_cents = excluded.sold_hi_cents,
        through_at = excluded.through_at, polls = excluded.polls, min_aip = excluded.min_aip,
        max_aip = excluded.max_aip, min_pair = excluded.min_pair, min_four = excluded.min_four,
        open_get_in = excluded.open_get_in, close_get_in = excluded.close_get_in, entered = excluded.entered,
        exited = excluded.exited, exited_tickets = excluded.exited_tickets, frozen = excluded.frozen,
        price_up = excluded.price_up, price_down = excluded.price_down, sold_lo = excluded.sold_lo,
        sold_hi = excluded.sold_hi, sold_lo_tickets = excluded.sold_lo_tickets,
        sold_hi_tickets = excluded.sold_hi_tickets, sketch_keys = excluded.sketch_keys, sketch_ms = excluded.sketch_ms
    where r.* is distinct from excluded.*;
end $$;
comment on function tickets.refresh_day is 'Replace the rollup rows of one venue day by the merge of its hours.';

revoke all on function tickets.refresh_hour(bigint, timestamptz), tickets.refresh_day(bigint, date) from public;
grant execute on function tickets.refresh_hour(bigint, timestamptz), tickets.refresh_day(bigint, date) to service_role;
