-- Offers: the normalised listings of one poll, read from staging once, checked, and named in sections and listings.

create type tickets.offer as (
    listing bigint,
    external_id text,
    raw_zone text,
    section text,
    "row" text,
    base integer,
    aip integer,
    qty integer,
    splits integer,
    face integer,
    seats text,
    notes text
);
comment on type tickets.offer is 'One listing of one poll: money in cents, splits as bits (see listings_open.splits).';

create function tickets.number_of(p_text text) returns bigint
language sql immutable strict parallel safe
return ('x' || left(md5(p_text), 16))::bit(64)::bigint;
comment on function tickets.number_of is '64 bits of MD5: a number that depends on nothing but the text.';

create function tickets.pass_gate() returns void
language sql set search_path = ''
return pg_advisory_xact_lock_shared(tickets.number_of('tickets.retention'));
comment on function tickets.pass_gate is
    'Whoever changes spans or rollups passes here first, together with others; retention shuts it. They take the tables'' '
    'locks in different orders, and would otherwise end in deadlocks when retention drops partitions.';
revoke all on function tickets.pass_gate() from public;
grant execute on function tickets.pass_gate() to service_role;

create function tickets.split_bits(p_quantities integer[]) returns integer
language sql immutable parallel safe
return (select coalesce(bit_or(1 << (least(q, 15) - 1)), 0) from unnest(p_quantities) as q where q > 0);
comment on function tickets.split_bits is 'Sellable quantities as bits; 15 and more share one.';

create function tickets.read_offers(p_batch bigint) returns tickets.offer[]
language plpgsql stable set search_path = '' as $$
begin
    return (
        with docs as materialized (
            select d.*
            from stage.rows r
            cross join lateral jsonb_to_record(r.doc) as d(
                id text, zone text, section text, "row" text, qty integer, splits text,
                base_cents integer, aip_cents integer, face_cents integer, seats text, notes text)
            where r.batch_id = p_batch and r.line > 0
        ), kinds as materialized (
            -- few distinct lists of quantities, so each is parsed once
            select k.splits, tickets.split_bits(array(
                select q::integer from jsonb_array_elements_text(k.splits::jsonb) as q)) as bits
            from (select distinct docs.splits from docs where docs.splits is not null) k
        )
        select array_agg(row(
            tickets.number_of(concat_ws(chr(31), docs.id, coalesce(docs.zone, ''), coalesce(docs.section, ''),
                                        coalesce(docs."row", ''))),
            docs.id, coalesce(docs.zone, ''), coalesce(docs.section, ''), coalesce(docs."row", ''),
            docs.base_cents, docs.aip_cents, docs.qty,
            coalesce(nullif(kinds.bits, 0), 1 << (least(greatest(docs.qty, 1), 15) - 1)),
            docs.face_cents, docs.seats, docs.notes)::tickets.offer)
        from docs left join kinds on kinds.splits = docs.splits
    );
end $$;
comment on function tickets.read_offers is
    'The listings staged under a batch. Raises an error of class 22 when a field is not what it should be. A listing '
    'that states no sellable quantities sells as a whole.';

create function tickets.count_of(p_meta jsonb, p_name text) returns bigint
language sql immutable set search_path = ''
return (
    select case when v ~ '^\d{1,9}$' then v::bigint end from (select p_meta #>> array['global', p_name] as v) g
) - (
    select coalesce(sum((x.value ->> case p_name when 'listingCount' then 'listings' else 'tickets' end)::bigint), 0)
    from jsonb_each(case when jsonb_typeof(p_meta -> 'excluded') = 'object' then p_meta -> 'excluded' else '{}' end) x
);
comment on function tickets.count_of is
    'A total the market states, less what the reader left out on purpose (meta.excluded); null when not stated.';

create function tickets.fault_of(p_event public.events, p_offers tickets.offer[], p_meta jsonb) returns text
language plpgsql stable set search_path = '' as $$
declare
    c record;
    v_listings bigint := tickets.count_of(p_meta, 'listingCount');
    v_tickets bigint := tickets.count_of(p_meta, 'ticketCount');
begin
    if coalesce(p_meta ->> 'source', p_event.source) <> p_event.source then
        return 'source_mismatch';
    elsif coalesce(p_meta ->> 'currency', '') <> p_event.currency then
        return 'currency_switch';
    end if;
    select count(*) as n, count(distinct o.external_id) as ids, coalesce(sum(o.qty), 0) as tickets,
           coalesce(bool_or(o.external_id is null or o.external_id = '' or o.base is null or o.aip is null
                            or o.qty is null), false) as holes,
           coalesce(bool_or(o.base < 1 or o.aip < 1 or o.base > 25000000 or o.aip > 25000000), false) as price,
           coalesce(bool_or(o.qty < 1 or o.qty > 1000), false) as quantity
    into c from unnest(p_offers) as o;
    return case
        when c.holes then 'malformed_listing'
        when c.ids < c.n then 'duplicate_ids'
        when c.price then 'absurd_price'
        when c.quantity then 'absurd_quantity'
        when c.n = 0 and v_listings is null then 'empty_unstated'
        when c.n = 0 and v_listings > 0 then 'empty_answer'
        when c.n < v_listings then 'capped_page'
        when c.n > v_listings then 'listing_count_mismatch'
        when c.tickets <> v_tickets then 'ticket_count_mismatch'
    end;
end $$;
comment on function tickets.fault_of is
    'Why this poll must not be believed, in one word; null when it may. Prices above 250,000 per ticket are absurd.';

create function tickets.zone_of(p_source text, p_venue text, p_raw_zone text, p_section text) returns text
language sql stable set search_path = '' as $$
    select coalesce((
        select m.zone from public.zones_mapping m
        where m.source in ('', p_source) and m.venue in ('', coalesce(p_venue, ''))
          and m.raw_zone in ('', p_raw_zone) and m.section in ('', p_section)
        order by (m.source <> '')::int + (m.venue <> '')::int + (m.raw_zone <> '')::int + (m.section <> '')::int desc,
                 m.id
        limit 1), p_raw_zone)
$$;
comment on function tickets.zone_of is 'The zone people know a section by.';

create function tickets.name_offers(p_event public.events, p_offers tickets.offer[]) returns void
language plpgsql set search_path = '' as $$
begin
    insert into public.sections (event_id, section_id, raw_zone, zone, section)
    select p_event.id,
           coalesce((select max(s.section_id) from public.sections s where s.event_id = p_event.id), 0)
               + row_number() over (order by n.raw_zone, n.section),
           n.raw_zone, tickets.zone_of(p_event.source, p_event.venue, n.raw_zone, n.section), n.section
    from (select distinct o.raw_zone, o.section from unnest(p_offers) as o) n
    where not exists (select from public.sections s
                      where s.event_id = p_event.id and s.raw_zone = n.raw_zone and s.section = n.section);
    insert into public.listings (event_id, listing, section_id, face_cents, external_id, "row", seats, notes)
    select p_event.id, o.listing, s.section_id, o.face, o.external_id, o."row", o.seats, o.notes
    from unnest(p_offers) as o
    join public.sections s on s.event_id = p_event.id and s.raw_zone = o.raw_zone and s.section = o.section
    on conflict do nothing;
end $$;
comment on function tickets.name_offers is 'Keep the sections and the unchanging part of listings not yet known.';

create function tickets.offers_at(p_event bigint, p_at timestamptz) returns tickets.offer[]
language sql stable set search_path = '' as $$
    select array_agg(row(x.listing, l.external_id, s.raw_zone, s.section, l."row", x.base_cents, x.aip_cents, x.qty,
                         x.splits, l.face_cents, l.seats, l.notes)::tickets.offer)
    from (
        select o.listing, o.base_cents, o.aip_cents, o.qty, o.splits
        from public.listings_open o where o.event_id = p_event and o.valid_from <= p_at
        union all
        select c.listing, c.base_cents, c.aip_cents, c.qty, c.splits
        from tickets.ended c where c.event_id = p_event and c.valid_from <= p_at and c.pack_from <= p_at and c.valid_to > p_at
    ) x
    join public.listings l on l.event_id = p_event and l.listing = x.listing
    join public.sections s on s.event_id = p_event and s.section_id = l.section_id
$$;
comment on function tickets.offers_at is 'The listings of the accepted poll at an instant not yet sealed.';

revoke all on function tickets.read_offers(bigint), tickets.name_offers(public.events, tickets.offer[]) from public;
grant execute on function tickets.read_offers(bigint), tickets.name_offers(public.events, tickets.offer[])
    to service_role;
