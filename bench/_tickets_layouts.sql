-- name: tables
-- The narrow full snapshot that the figures are held against, and the schedule of a made-up market.
create schema bench;
create table bench.snapshots (
    event_id integer not null,
    listing_id integer not null,
    observed_at timestamptz not null,
    base integer not null,
    aip integer not null,
    qty smallint not null,
    section_id smallint not null
);
create index on bench.snapshots (event_id, observed_at);

-- A slot is a place on the market: 2 % of slots get a new listing at a tick, 3 % a new price.
create function bench.market(p_event integer, p_slots integer, p_ticks integer)
returns table (slot integer, tick integer, gen integer, ver integer) language sql stable as $$
    select s, t,
           sum((r < 20 and t > 0)::integer) over w::integer, sum((r < 50 and t > 0)::integer) over w::integer
    from generate_series(0, p_slots - 1) s
    cross join generate_series(0, p_ticks - 1) t
    cross join lateral (select abs(hashint8extended(p_event * 10000000::bigint + s * 1000 + t, 42)) % 1000 as r) x
    window w as (partition by s order by t)
$$;
create function bench.price(p_slot integer, p_ver integer) returns integer language sql immutable
return 5000 + (p_slot * 7907) % 45000 + ((p_ver * 7919 + p_slot) % 97) * 37;
create function bench.quantity(p_slot integer, p_gen integer) returns integer language sql immutable
return (array[2, 4, 1, 3])[(p_slot + p_gen) % 4 + 1];
create function bench.external(p_event integer, p_slot integer, p_gen integer) returns text language sql immutable
return 'VB' || (1000000000::bigint + p_event * 10000000::bigint + p_slot * 1000 + p_gen);

-- name: event
insert into public.events (id, external_id, source, name, starts_at)
values (%(event)s, %(event)s::text, 'bench', 'Event', '2026-12-31')

-- name: market
create table bench.now as
select m.*, bench.price(m.slot, m.ver) as base, bench.price(m.slot, m.ver) * 127 / 100 as aip,
       bench.quantity(m.slot, m.gen) as qty, (m.slot %% 60 + 1)::smallint as section_id,
       %(start)s::timestamptz + m.tick * interval '10 minutes' as at
from bench.market(%(event)s, %(slots)s, %(ticks)s) m

-- name: snapshots
insert into bench.snapshots
select %(event)s, slot * 1000 + gen, at, base, aip, qty, section_id from bench.now
where tick < %(history)s order by tick, slot

-- name: sections
insert into public.sections
select %(event)s, s + 1, 'Zone ' || s %% 6, 'Zone ' || s %% 6, 'Section ' || s from generate_series(0, 59) s

-- name: listings
insert into public.listings (event_id, listing, section_id, face_cents, external_id, "row")
select distinct %(event)s, tickets.number_of(concat_ws(chr(31), bench.external(%(event)s, slot, gen),
                    'Zone ' || slot %% 60 %% 6, 'Section ' || slot %% 60, (slot %% 20)::text)),
       slot %% 60 + 1, null::integer, bench.external(%(event)s, slot, gen), (slot %% 20)::text
from bench.now where tick < %(history)s

-- name: packs
insert into tickets.packs (event_id, valid_to, listings, froms, sections, bases, aips, qtys, splits)
select %(event)s, s.high + interval '10 minutes',
       array_agg(l.listing order by s.low, l.listing), array_agg(s.low order by s.low, l.listing),
       array_agg(l.section_id order by s.low, l.listing), array_agg(s.base order by s.low, l.listing),
       array_agg(s.aip order by s.low, l.listing), array_agg(s.qty::smallint order by s.low, l.listing),
       array_agg((1 << (s.qty - 1))::smallint order by s.low, l.listing)
from (select slot, gen, ver, min(at) as low, max(at) as high, max(tick) as last, min(base) as base, min(aip) as aip,
             min(qty) as qty
      from bench.now where tick < %(history)s group by slot, gen, ver) s
join public.listings l on l.event_id = %(event)s and l.external_id = bench.external(%(event)s, s.slot, s.gen)
where s.last < %(history)s - 1 group by s.high order by s.high

-- name: open
insert into public.listings_open (event_id, listing, valid_from, section_id, base_cents, aip_cents, qty, splits)
select %(event)s, l.listing, s.low, l.section_id, s.base, s.aip, s.qty, 1 << (s.qty - 1)
from (select slot, gen, ver, min(at) as low, max(tick) as last, min(base) as base, min(aip) as aip, min(qty) as qty
      from bench.now where tick < %(history)s group by slot, gen, ver) s
join public.listings l on l.event_id = %(event)s and l.external_id = bench.external(%(event)s, s.slot, s.gen)
where s.last = %(history)s - 1

-- name: polls
insert into public.polls (event_id, observed_at, seq, received_at, status, source, n_listings, n_tickets, get_in,
                          http_status, latency_ms, run_id, currency, body_hash)
select %(event)s, at, tickets.number_of(%(event)s || ' ' || at), at, 'accepted', 'bench', count(*), sum(qty), min(aip),
       200, 700, tick, 'USD', md5(%(event)s || at::text) || md5(at || %(event)s::text)
from bench.now where tick < %(history)s group by tick, at

-- name: latest
select tickets.set_latest(e, %(at)s, 0, tickets.offers_at(e.id, %(at)s)) from public.events e where e.id = %(event)s

-- name: live
-- The ticks that go through promote: kept as normalised rows, one batch per event and tick.
create table if not exists bench.live (batch_id bigint, event_id integer, tick integer, at timestamptz, doc jsonb,
                                       snapshot bench.snapshots)

-- name: keep_live
insert into bench.live
select %(event)s * 1000 + tick, %(event)s, tick, at,
       jsonb_build_object('id', bench.external(%(event)s, slot, gen), 'zone', 'Zone ' || slot %% 60 %% 6,
                          'section', 'Section ' || slot %% 60, 'row', (slot %% 20)::text, 'qty', qty,
                          'splits', jsonb_build_array(qty), 'base_cents', base, 'aip_cents', aip),
       row(%(event)s, slot * 1000 + gen, at, base, aip, qty, section_id)::bench.snapshots
from bench.now where tick >= %(history)s

-- name: stage
insert into stage.rows (batch_id, line, doc)
select batch_id, row_number() over (partition by batch_id), doc from bench.live where tick = %(tick)s

-- name: promote
select tickets.promote_poll(%(batch)s, 1, %(meta)s) as report

-- name: snapshot_tick
insert into bench.snapshots select (snapshot).* from bench.live where tick = %(tick)s

-- name: series_full
select date_trunc('hour', observed_at) as hour, min(aip) as min_aip, avg(aip) as avg_aip, max(aip) as max_aip,
       count(*) as listings
from bench.snapshots
where event_id = %(event)s and observed_at >= %(low)s and observed_at < %(high)s group by 1 order by 1

-- name: series_ours
select hour, min_aip, aip_ms::numeric / listing_ms as avg_aip, max_aip, listing_ms / 600000 as listings
from tickets.hours(%(event)s, %(low)s, %(high)s) order by hour

-- name: get_in_full
-- Polls of different events fall on different instants, so the newest of each must be found first.
select s.event_id, min(s.aip) as get_in
from bench.snapshots s
join (select event_id, max(observed_at) as observed_at from bench.snapshots
      where observed_at > %(at)s::timestamptz - interval '20 minutes' group by event_id) l
    on l.event_id = s.event_id and l.observed_at = s.observed_at
group by s.event_id order by s.event_id

-- name: get_in_known
select event_id, min(aip) as get_in from bench.snapshots
where event_id between 1 and %(events)s and observed_at = %(at)s group by event_id order by event_id

-- name: get_in_ours
select event_id, get_in from public.event_latest order by event_id

-- name: view
create materialized view bench.hourly as
select event_id, section_id % 6 as zone, date_trunc('hour', observed_at) as hour, min(aip) as min_aip,
       avg(aip) as avg_aip, max(aip) as max_aip, count(*) as listings, sum(qty) as tickets
from bench.snapshots group by 1, 2, 3 with no data

-- name: sizes
select sum(pg_total_relation_size(c.oid)) filter (where k.kind = 'store') as store,
       sum(pg_total_relation_size(c.oid)) filter (where k.kind = 'rollup') as rollup
from (values ('polls%', 'store'), ('spans%', 'store'), ('packs%', 'store'), ('listing_spans_sealed%', 'store'), ('listings', 'store'),
             ('listings_open', 'store'), ('sections', 'store'), ('event_latest', 'store'),
             ('rollup_hours%', 'rollup'), ('rollup_hour_sections%', 'rollup'), ('rollup_days', 'rollup')) k(name, kind)
join pg_class c on c.relname like k.name and c.relkind = 'r'
    and c.relnamespace in ('public'::regnamespace, 'tickets'::regnamespace)
