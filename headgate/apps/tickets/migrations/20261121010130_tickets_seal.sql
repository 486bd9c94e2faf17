-- Sealing: the spans that ended on one UTC day of one event become one row of arrays, and back.

create view public.listing_spans with (security_invoker = true) as
select o.event_id, o.listing, l.external_id, s.zone, s.section, l."row", o.base_cents, o.aip_cents,
       o.qty::integer, o.splits::integer, o.valid_from, null::timestamptz as valid_to
from public.listings_open o
join public.listings l on l.event_id = o.event_id and l.listing = o.listing
join public.sections s on s.event_id = o.event_id and s.section_id = o.section_id
union all
select c.event_id, c.listing, l.external_id, s.zone, s.section, l."row", c.base_cents, c.aip_cents,
       c.qty::integer, c.splits::integer, c.valid_from, c.valid_to
from tickets.ended c
join public.listings l on l.event_id = c.event_id and l.listing = c.listing
join public.sections s on s.event_id = c.event_id and s.section_id = c.section_id
union all
select d.event_id, d.listing_ids[x.l], d.external_ids[x.l], s.zone, s.section, d.listing_rows[x.l], x.base, x.aip,
       x.q::integer, x.m::integer, d.times[x.f], d.times[x.t]
from public.listing_spans_sealed d
cross join lateral unnest(d.span_listing, d.span_from, d.span_to, d.span_base, d.span_aip, d.span_qty, d.span_splits)
    as x(l, f, t, base, aip, q, m)
join public.sections s on s.event_id = d.event_id and s.section_id = d.listing_sections[x.l];
comment on view public.listing_spans is
    'Every span of every listing, running (valid_to null), ended and sealed. Ask with event_id.';
grant select on public.listing_spans to anon, authenticated, service_role;

create function tickets.utc_day(p_at timestamptz) returns date
language sql immutable strict parallel safe
return (p_at at time zone 'UTC')::date;
comment on function tickets.utc_day is 'The UTC day of an instant: what spans are sealed by.';

create function tickets.seal_day(p_event bigint, p_day date) returns integer
language plpgsql set search_path = '' as $$
declare
    v_from timestamptz := p_day::timestamp at time zone 'UTC';
    v_to timestamptz := (p_day + 1)::timestamp at time zone 'UTC';
    v_spans integer;
begin
    perform from public.events e where e.id = p_event for no key update;
    if exists (select from public.rollup_dirty d
               where d.event_id = p_event and d.hour < v_to + interval '1 hour') then
        return 0;
    end if;
    with loose as (
        delete from tickets.spans c
        where c.event_id = p_event and c.valid_to >= v_from and c.valid_to < v_to
        returning c.*
    ), packed as (
        delete from tickets.packs c
        where c.event_id = p_event and c.valid_to >= v_from and c.valid_to < v_to
        returning c.*
    ), gone as materialized (
        select l.listing, l.valid_from, l.valid_to, l.base_cents, l.aip_cents, l.qty, l.splits from loose l
        union all
        select x.listing, x.valid_from, p.valid_to, x.base, x.aip, x.q, x.m
        from packed p
        cross join lateral unnest(p.listings, p.froms, p.bases, p.aips, p.qtys, p.splits)
            as x(listing, valid_from, base, aip, q, m)
    ), instants as materialized (
        select t.at, ((row_number() over (order by t.at) - 1) / 32000)::integer as over_limit,
               row_number() over (order by t.at)::integer as i
        from (select g.valid_from as at from gone g union select g.valid_to from gone g) t
    ), named as materialized (
        select n.listing, l.external_id, l."row", l.section_id, l.face_cents, l.seats,
               ((row_number() over w - 1) / 32000)::integer as part, ((row_number() over w - 1) % 32000 + 1)::integer as i
        from (select distinct g.listing from gone g) n
        join public.listings l on l.event_id = p_event and l.listing = n.listing
        window w as (order by l.section_id, l."row", l.external_id)
    ), listings as (
        select n.part, array_agg(n.listing order by n.i) as ids, array_agg(n.external_id order by n.i) as external_ids,
               array_agg(n."row" order by n.i) as listing_rows, array_agg(n.section_id order by n.i) as sections,
               array_agg(n.face_cents order by n.i) as faces, array_agg(n.seats order by n.i) as seats
        from named n group by n.part
    ), lines as (
        select n.part, count(*)::integer as n, min(g.valid_from) as first_from,
               array_agg(n.i::smallint order by n.i, g.valid_from) as l,
               array_agg(f.i::smallint order by n.i, g.valid_from) as f,
               array_agg(t.i::smallint order by n.i, g.valid_from) as t,
               array_agg(g.base_cents order by n.i, g.valid_from) as base,
               array_agg(g.aip_cents order by n.i, g.valid_from) as aip,
               array_agg(g.qty order by n.i, g.valid_from) as q,
               array_agg(g.splits order by n.i, g.valid_from) as m
        from gone g
        join named n on n.listing = g.listing
        join instants f on f.at = g.valid_from
        join instants t on t.at = g.valid_to
        group by n.part
    ), kept as (
        insert into public.listing_spans_sealed
            (event_id, day, part, first_from, spans, times, listing_ids, external_ids, listing_rows, listing_sections,
             faces, seats, span_listing, span_from, span_to, span_base, span_aip, span_qty, span_splits)
        select p_event, p_day,
               l.part + 1 + coalesce((select max(d.part) from public.listing_spans_sealed d
                                      where d.event_id = p_event and d.day = p_day), -1),
               x.first_from, x.n, (select array_agg(i.at order by i.i) from instants i),
               l.ids, l.external_ids, l.listing_rows, l.sections, l.faces, l.seats, x.l, x.f, x.t, x.base, x.aip, x.q, x.m
        from listings l join lines x on x.part = l.part
        returning spans
    )
    select sum(k.spans) into v_spans from kept k;
    return coalesce(v_spans, 0);
end $$;
comment on function tickets.seal_day is
    'Seal one UTC day of one event; the number of spans. Does nothing while an hour up to that day''s end is dirty.';

create function tickets.drop_ended_listings(p_event bigint) returns integer
language plpgsql set search_path = '' as $$
declare
    v_n integer;
begin
    perform from public.events e where e.id = p_event for no key update;
    delete from public.listings l
    where l.event_id = p_event
      and not exists (select from public.listings_open o where o.event_id = p_event and o.listing = l.listing)
      and l.listing not in (select c.listing from tickets.ended c where c.event_id = p_event);
    get diagnostics v_n = row_count;
    return v_n;
end $$;
comment on function tickets.drop_ended_listings is 'Remove listings that sealed days have taken along; how many.';

create function tickets.seal(p_before date, p_limit integer default 100) returns integer
language plpgsql set search_path = '' as $$
declare
    r record;
    v_spans integer := 0;
begin
    perform tickets.pass_gate();
    -- an event's oldest unsealed day comes first, so that sealed days never have unsealed ones before them
    for r in
        select e.id, x.day
        from public.events e
        cross join lateral (
            select tickets.utc_day(least(
                (select min(c.valid_to) from tickets.spans c where c.event_id = e.id),
                (select min(p.valid_to) from tickets.packs p where p.event_id = e.id))) as day) x
        where x.day < p_before
          and not exists (select from public.rollup_dirty d
                          where d.event_id = e.id
                            and d.hour < (x.day + 1)::timestamp at time zone 'UTC' + interval '1 hour')
        order by x.day, e.id limit p_limit
    loop
        v_spans := v_spans + tickets.seal_day(r.id, r.day);
        perform tickets.drop_ended_listings(r.id);
    end loop;
    return v_spans;
end $$;
comment on function tickets.seal is
    'Seal days before a UTC day, oldest first, at most so many event-days; the number of spans sealed. Call it until 0.';

create function tickets.unseal(p_event bigint, p_from timestamptz) returns integer
language plpgsql set search_path = '' as $$
declare
    v_day date := tickets.utc_day(p_from);
    v_n integer;
begin
    if not exists (select from public.listing_spans_sealed d where d.event_id = p_event and d.day >= v_day) then
        return 0;
    end if;
    with opened as materialized (
        delete from public.listing_spans_sealed d where d.event_id = p_event and d.day >= v_day returning d.*
    ), known as (
        insert into public.listings (event_id, listing, section_id, face_cents, external_id, "row", seats)
        select p_event, x.listing, x.section_id, x.face, x.external_id, x."row", x.seats
        from opened d
        cross join lateral unnest(d.listing_ids, d.listing_sections, d.faces, d.external_ids, d.listing_rows, d.seats)
            as x(listing, section_id, face, external_id, "row", seats)
        on conflict do nothing
    ), lines as (
        insert into tickets.spans
            (event_id, listing, valid_from, valid_to, section_id, base_cents, aip_cents, qty, splits)
        select p_event, d.listing_ids[x.l], d.times[x.f], d.times[x.t], d.listing_sections[x.l], x.base, x.aip, x.q, x.m
        from opened d
        cross join lateral unnest(d.span_listing, d.span_from, d.span_to, d.span_base, d.span_aip, d.span_qty,
                                  d.span_splits) as x(l, f, t, base, aip, q, m)
        returning 1
    )
    select count(*) into v_n from lines;
    return v_n;
end $$;
comment on function tickets.unseal is
    'Take sealed days from that of an instant on apart again, so that spans can be changed; how many spans.';

revoke all on function tickets.seal_day(bigint, date), tickets.drop_ended_listings(bigint), tickets.seal(date, integer),
    tickets.unseal(bigint, timestamptz) from public;
grant execute on function tickets.seal_day(bigint, date), tickets.drop_ended_listings(bigint),
    tickets.seal(date, integer), tickets.unseal(bigint, timestamptz) to service_role;
