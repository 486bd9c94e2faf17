-- One hour of one event, reckoned from polls and spans: the only place where rollup figures come from.

create function tickets.sketch_key(p_cents integer) returns smallint
language sql immutable strict parallel safe
return ceil(ln(p_cents) / ln(1.01::double precision / 0.99))::smallint;
comment on function tickets.sketch_key is
    'The bucket of a price: bucket k holds (γ^(k-1), γ^k] with γ = 1.01/0.99, so its middle is within 1 % of each.';

create type tickets.instant as (
    at timestamptz,
    before_at timestamptz,
    after_at timestamptz,
    n_before integer,
    n integer,
    cover_ms bigint,
    elapsed_ms bigint,
    inside boolean
);
comment on type tickets.instant is
    'An accepted poll seen from one hour: its neighbours, the milliseconds it covers there, those covered before it.';

create function tickets.instants(p_event bigint, p_hour timestamptz) returns tickets.instant[]
language plpgsql stable set search_path = '' as $$
declare
    v_end timestamptz := p_hour + interval '1 hour';
begin
    return (
        with near as materialized (
            (select p.observed_at, p.n_listings from public.polls p
             where p.event_id = p_event and p.observed_at < p_hour and p.status in ('accepted', 'unchanged')
             order by p.observed_at desc limit 2)
            union all
            select p.observed_at, p.n_listings from public.polls p
            where p.event_id = p_event and p.observed_at >= p_hour and p.observed_at < v_end
              and p.status in ('accepted', 'unchanged')
            union all
            (select p.observed_at, p.n_listings from public.polls p
             where p.event_id = p_event and p.observed_at >= v_end and p.status in ('accepted', 'unchanged')
             order by p.observed_at limit 2)
        ), ordered as (
            select n.observed_at as at, n.n_listings as n,
                   lag(n.observed_at) over w as before_at, lead(n.observed_at) over w as after_at,
                   lag(n.n_listings) over w as n_before
            from near n window w as (order by n.observed_at)
        ), covering as (
            select o.*, greatest(0, (extract(epoch from
                least(o.after_at, o.at + interval '30 minutes', v_end) - greatest(o.at, p_hour)) * 1000)::bigint)
                as cover_ms
            from ordered o
        )
        select array_agg(row(c.at, c.before_at, c.after_at, c.n_before, c.n, c.cover_ms, c.elapsed_ms,
                             c.at >= p_hour and c.at < v_end)::tickets.instant order by c.at)
        from (select x.*, (sum(x.cover_ms) over (order by x.at) - x.cover_ms)::bigint as elapsed_ms
              from covering x) c
    );
end $$;
comment on function tickets.instants is 'The accepted polls that bear on an hour, with two neighbours on each side.';

create type tickets.change as (
    kind text,
    at timestamptz,
    listing bigint,
    section_id integer,
    "row" text,
    external_id text,
    base integer,
    aip integer,
    qty integer,
    old_base integer,
    old_qty integer,
    holds boolean
);
comment on type tickets.change is
    'gone (with its last price and quantity), new, or changed at a poll; holds: what changed was so at the next poll too.';

-- In this function and the next the planner cannot know how many rows an array holds, and guesses too few for nested
-- loops over a bad hour to end well: they are off. Lookups by key are lateral and stay as they are.
create function tickets.changes(p_event bigint, p_hour timestamptz, p_instants tickets.instant[])
returns tickets.change[] language plpgsql stable set search_path = '' set enable_nestloop = off as $$
declare
    v_first timestamptz;
    v_last timestamptz;
begin
    -- what happened at each poll of the hour, and what came new at the one after it (a relist may show there)
    select min(i.at) filter (where i.inside), coalesce(min(i.at) filter (where i.at >= p_hour + interval '1 hour'),
                                                       max(i.at))
    into v_first, v_last from unnest(p_instants) as i;
    if v_first is null then
        return null;
    end if;
    return (
        with starts as materialized (
            select o.listing, o.valid_from as at, null::timestamptz as until, o.section_id, o.base_cents as base,
                   o.aip_cents as aip, o.qty
            from public.listings_open o
            where o.event_id = p_event and o.valid_from >= v_first and o.valid_from <= v_last
            union all
            select c.listing, c.valid_from, c.valid_to, c.section_id, c.base_cents, c.aip_cents, c.qty
            from tickets.ended c
            where c.event_id = p_event and c.valid_to > v_first and c.pack_from <= v_last
              and c.valid_from >= v_first and c.valid_from <= v_last
        ), ends as materialized (
            select c.listing, c.valid_to as at, c.section_id, c.base_cents as base, c.aip_cents as aip, c.qty
            from tickets.ended c
            where c.event_id = p_event and c.valid_to >= v_first and c.valid_to <= v_last
        ), paired as materialized (
            select listing, at, e.base is not null as had, s.base is not null as has, s.until,
                   coalesce(s.section_id, e.section_id) as section_id, e.base as old_base, e.aip as old_aip,
                   e.qty as old_qty, s.base, s.aip, s.qty
            from ends e full join starts s using (listing, at)
        ), alone as materialized (
            select p.*, l.external_id, l."row"
            from paired p
            cross join lateral (select x.external_id, x."row" from public.listings x
                                where x.event_id = p_event and x.listing = p.listing offset 0) l
            where not (p.had and p.has)
        ), renamed as materialized (
            select g.listing as old_listing, g.old_base, g.old_aip, g.old_qty, n.*
            from (select a.listing, a.at, a.external_id, a.old_base, a.old_aip, a.old_qty from alone a where a.had) g
            join (select a.listing, a.at, a.until, a.external_id, a."row", a.section_id, a.base, a.aip, a.qty
                  from alone a where a.has) n using (at, external_id)
        ), firsts as (
            select i.at from unnest(p_instants) as i where i.before_at is null
        ), facts as (
            select 'changed' as kind, p.at, p.listing, p.section_id, null::text as "row", null::text as external_id,
                   p.base, p.aip, p.qty, p.old_base, p.old_qty, p.until
            from paired p where p.had and p.has and (p.base <> p.old_base or p.qty <> p.old_qty)
            union all
            select 'changed', r.at, r.listing, r.section_id, r."row", r.external_id, r.base, r.aip, r.qty, r.old_base,
                   r.old_qty, r.until
            from renamed r
            union all
            select case when a.had then 'gone' else 'new' end, a.at, a.listing, a.section_id, a."row", a.external_id,
                   coalesce(a.base, a.old_base), coalesce(a.aip, a.old_aip), coalesce(a.qty, a.old_qty),
                   a.old_base, a.old_qty, a.until
            from alone a
            where not exists (select from renamed r where r.at = a.at and a.listing in (r.listing, r.old_listing))
              and (a.had or a.at not in (select f.at from firsts f))
        )
        select array_agg(row(f.kind, f.at, f.listing, f.section_id, f."row", f.external_id, f.base, f.aip, f.qty,
                             f.old_base, f.old_qty, i.after_at is not null and (f.until is null or f.until > i.after_at)
                            )::tickets.change)
        from facts f join unnest(p_instants) as i on i.at = f.at
    );
end $$;
comment on function tickets.changes is
    'What came, went and changed at the polls of an hour and at the one after. A listing that moves to another section '
    'under its id has changed. The first poll of an event brings nothing new: nothing is known of before.';

create type tickets.verdict as (
    at timestamptz,
    section_id integer,
    entered integer,
    exited integer,
    exited_tickets integer,
    frozen integer,
    price_up integer,
    price_down integer,
    sold_lo integer,
    sold_hi integer,
    sold_lo_tickets integer,
    sold_hi_tickets integer,
    sold_lo_cents bigint,
    sold_hi_cents bigint,
    listing bigint,
    aip integer
);

create function tickets.verdicts(p_event bigint, p_hour timestamptz, p_instants tickets.instant[])
returns setof tickets.verdict language plpgsql stable rows 100
set search_path = '' set enable_nestloop = off as $$
declare
    v_freeze timestamptz := (select tickets.freeze_of(e) from public.events e where e.id = p_event);
    v_changes tickets.change[] := tickets.changes(p_event, p_hour, p_instants);
begin
    return query
    with c as materialized (select * from unnest(v_changes)),
    moments as materialized (
        select i.at, i.after_at,
               coalesce(i.at >= v_freeze, false)
               or (g.n >= 20 and g.n > 0.4 * i.n_before)
               or (i.n in (10, 20, 25, 50, 100, 150, 200, 250, 300, 400, 500, 1000) and i.n_before - i.n > 0.05 * i.n_before)
                   as frozen,
               i.at - i.before_at <= interval '30 minutes' as watched
        from unnest(p_instants) as i
        left join lateral (select count(*) as n from c where c.kind = 'gone' and c.at = i.at) g on true
        where i.inside
    ), watch as materialized (
        -- a listing gone at a poll may show again there or at the next one
        select g.*, w.seen_at
        from c g join moments m on m.at = g.at cross join lateral (values (m.at), (m.after_at)) w(seen_at)
        where g.kind = 'gone'
    ), back as materialized (
        select w.listing, w.at
        from watch w join c n on n.at = w.seen_at and n.external_id = w.external_id
        where n.kind = 'new'
        union
        select w.listing, w.at
        from watch w join c n on n.at = w.seen_at and n.section_id = w.section_id and n."row" = w."row"
        where n.kind = 'new' and n.qty * 2 >= w.qty and n.qty <= w.qty * 2
          and abs(n.base - w.base)::bigint * 20 <= w.base::bigint * 7
    ), judged as (
        select c.*, m.frozen,
               not m.frozen and m.watched and m.after_at is not null
                   and case c.kind when 'gone' then b.listing is null else c.holds end as sure,
               case c.kind when 'gone' then c.qty else greatest(c.old_qty - c.qty, 0) end as left_tickets
        from c join moments m on m.at = c.at
        left join back b on b.listing = c.listing and b.at = c.at
    )
    select j.at, j.section_id,
           (j.kind = 'new')::integer,
           (j.kind = 'gone')::integer,
           case when j.kind = 'new' then 0 else j.left_tickets end,
           (j.kind = 'gone' and j.frozen)::integer,
           (j.kind = 'changed' and j.base > j.old_base)::integer,
           (j.kind = 'changed' and j.base < j.old_base)::integer,
           (j.kind = 'gone' and j.sure)::integer,
           (j.kind = 'gone' and not j.frozen)::integer,
           case when j.kind <> 'new' and j.sure then j.left_tickets else 0 end,
           case when j.kind <> 'new' and not j.frozen then j.left_tickets else 0 end,
           case when j.kind <> 'new' and j.sure then j.left_tickets::bigint * j.aip else 0 end,
           case when j.kind <> 'new' and not j.frozen then j.left_tickets::bigint * j.aip else 0 end,
           j.listing, j.aip
    from judged j;
end $$;
comment on function tickets.verdicts is
    'Each change at the polls of an hour and what it may mean. Sold, low: gone for two complete polls within 30 minutes '
    'of having been seen, with no relist that matches (same id, or same section and row, half to twice the quantity, '
    'price within 35 %). Sold, high: gone. Nothing is inferred after the doors or a cancellation, when more than 40 % '
    '(and at least 20) vanish at once, or when the count falls to a round page size.';

create function tickets.hour_rows(p_event bigint, p_hour timestamptz) returns setof public.rollup_hours
language plpgsql stable rows 70 set search_path = '' as $$
declare
    v_end timestamptz := p_hour + interval '1 hour';
    v_instants tickets.instant[] := tickets.instants(p_event, p_hour);
    v_covered bigint;
    v_polls integer;
    v_through timestamptz;
    v_gamma double precision := ln(1.01::double precision / 0.99);
begin
    select coalesce(sum(i.cover_ms), 0), count(*) filter (where i.inside), max(i.at) filter (where i.at < v_end)
    into v_covered, v_polls, v_through from unnest(v_instants) as i;
    if v_covered = 0 and v_polls = 0 then
        return;
    end if;
    return query
    with i as materialized (select x.at, x.elapsed_ms from unnest(v_instants) as x),
    spans as materialized (
        select o.section_id, o.base_cents, o.aip_cents as aip, o.qty, o.splits, o.valid_from,
               null::timestamptz as valid_to
        from public.listings_open o where o.event_id = p_event and o.valid_from < v_end
        union all
        select c.section_id, c.base_cents, c.aip_cents, c.qty, c.splits, c.valid_from, c.valid_to
        from tickets.ended c where c.event_id = p_event and c.valid_to > p_hour and c.pack_from < v_end
          and c.valid_from < v_end
    ), placed as (
        -- spans begin and end at polls, so the covered time before each end is that before a poll
        select s.section_id, s.aip, s.qty, s.splits, coalesce(f.elapsed_ms, 0) as f, coalesce(t.elapsed_ms, v_covered) as t
        from spans s
        left join i f on f.at = s.valid_from
        left join i t on t.at = s.valid_to
    ), held as materialized (
        select p.section_id, p.aip, p.qty, p.splits, p.f, p.t - p.f as ms, v_covered - p.t as to_end,
               ceil(ln(p.aip) / v_gamma)::smallint as key
        from placed p where p.t > p.f
    ), by_section as (
        select h.section_id, sum(h.ms) as listing_ms, sum(h.ms * h.qty) as ticket_ms, sum(h.ms * h.aip) as aip_ms,
               min(h.aip) as min_aip, max(h.aip) as max_aip,
               min(h.aip) filter (where h.splits & 2 <> 0) as min_pair,
               min(h.aip) filter (where h.splits & 8 <> 0) as min_four,
               -- the earliest, then the cheapest; the latest, then the cheapest: one number orders by both
               min((h.f << 32) + h.aip) as first_in, min((h.to_end << 32) + h.aip) as last_in
        from held h group by h.section_id
    ), by_change as (
        select v.section_id, sum(v.entered) as entered, sum(v.exited) as exited, sum(v.exited_tickets) as exited_tickets,
               sum(v.frozen) as frozen, sum(v.price_up) as price_up, sum(v.price_down) as price_down,
               sum(v.sold_lo) as sold_lo, sum(v.sold_hi) as sold_hi, sum(v.sold_lo_tickets) as sold_lo_tickets,
               sum(v.sold_hi_tickets) as sold_hi_tickets, sum(v.sold_lo_cents) as sold_lo_cents,
               sum(v.sold_hi_cents) as sold_hi_cents
        from tickets.verdicts(p_event, p_hour, v_instants) v group by v.section_id
    ), named as materialized (
        select s.zone, s.section, x.*
        from (select * from by_section full join by_change using (section_id)) x
        join public.sections s on s.event_id = p_event and s.section_id = x.section_id
    ), scoped as (
        select g.scope, case g.scope when 'event' then '' when 'zone' then n.zone else n.section end as scope_id, n.*
        from named n cross join (values ('event'), ('zone'), ('section')) g(scope)
        where g.scope <> 'zone' or n.zone <> ''
    ), summed as (
        select s.scope, s.scope_id,
               coalesce(sum(s.listing_ms), 0)::bigint as listing_ms, coalesce(sum(s.ticket_ms), 0)::bigint as ticket_ms,
               coalesce(sum(s.aip_ms), 0)::bigint as aip_ms,
               coalesce(sum(s.sold_lo_cents), 0)::bigint as sold_lo_cents,
               coalesce(sum(s.sold_hi_cents), 0)::bigint as sold_hi_cents,
               min(s.min_aip) as min_aip, max(s.max_aip) as max_aip, min(s.min_pair) as min_pair,
               min(s.min_four) as min_four,
               (min(s.first_in) & 4294967295)::integer as open_get_in, (min(s.last_in) & 4294967295)::integer as close_get_in,
               coalesce(sum(s.entered), 0)::integer as entered, coalesce(sum(s.exited), 0)::integer as exited,
               coalesce(sum(s.exited_tickets), 0)::integer as exited_tickets,
               coalesce(sum(s.frozen), 0)::integer as frozen, coalesce(sum(s.price_up), 0)::integer as price_up,
               coalesce(sum(s.price_down), 0)::integer as price_down, coalesce(sum(s.sold_lo), 0)::integer as sold_lo,
               coalesce(sum(s.sold_hi), 0)::integer as sold_hi,
               coalesce(sum(s.sold_lo_tickets), 0)::integer as sold_lo_tickets,
               coalesce(sum(s.sold_hi_tickets), 0)::integer as sold_hi_tickets
        from scoped s group by s.scope, s.scope_id
        union all
        -- a covered hour with nothing on sale is a fact: level 0
        select 'event', '', 0, 0, 0, 0, 0, null, null, null, null, null, null, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        where not exists (select from named)
    ), keyed as materialized (
        select s.zone, h.key, sum(h.ms)::bigint as ms
        from held h join public.sections s on s.event_id = p_event and s.section_id = h.section_id
        group by s.zone, h.key
    ), sketches as (
        select 'zone' as scope, k.zone as scope_id, array_agg(k.key order by k.key) as keys,
               array_agg(k.ms order by k.key) as ms
        from keyed k group by k.zone
        union all
        select 'event', '', array_agg(k.key order by k.key), array_agg(k.ms order by k.key)
        from (select x.key, sum(x.ms)::bigint as ms from keyed x group by x.key) k
        having count(*) > 0
    )
    select p_event, s.scope, s.scope_id, p_hour, v_covered, s.listing_ms, s.ticket_ms, s.aip_ms, s.sold_lo_cents,
           s.sold_hi_cents, v_through, v_polls, s.min_aip, s.max_aip, s.min_pair, s.min_four, s.open_get_in,
           s.close_get_in, s.entered, s.exited, s.exited_tickets, s.frozen, s.price_up, s.price_down, s.sold_lo,
           s.sold_hi, s.sold_lo_tickets, s.sold_hi_tickets, k.keys, k.ms
    from summed s left join sketches k on k.scope = s.scope and k.scope_id = s.scope_id;
end $$;
comment on function tickets.hour_rows is
    'The rollup rows of one event and one hour (its beginning), event, zones and sections, from polls and spans. The hour '
    'must not be sealed: whatever marks an hour dirty unseals it.';
