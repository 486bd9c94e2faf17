-- Spans: how an accepted poll changes them, in order, late, or taken back.

create function tickets.apply_in_order(p_event public.events, p_at timestamptz, p_offers tickets.offer[])
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_new tickets.offer[];
    v_changed tickets.offer[];
    v_ended bigint[];
    v_n integer := coalesce(cardinality(p_offers), 0);
begin
    select array_agg(d.n) filter (where d.old is null),
           array_agg(d.n) filter (where d.now is not null and d.old is not null),
           array_agg(d.old) filter (where d.old is not null)
    into v_new, v_changed, v_ended
    from (
        select n as n, n.listing as now, o.listing as old
        from unnest(p_offers) as n
        full join (select * from public.listings_open x where x.event_id = p_event.id) o on o.listing = n.listing
        where o.listing is null or n.listing is null
           or o.base_cents <> n.base or o.aip_cents <> n.aip or o.qty <> n.qty or o.splits <> n.splits
    ) d;
    if v_ended is not null then
        insert into tickets.packs
            (event_id, valid_to, listings, froms, sections, bases, aips, qtys, splits)
        select p_event.id, p_at, array_agg(o.listing), array_agg(o.valid_from), array_agg(o.section_id),
               array_agg(o.base_cents), array_agg(o.aip_cents), array_agg(o.qty), array_agg(o.splits)
        from (select * from public.listings_open x
              where x.event_id = p_event.id and x.listing = any (v_ended) order by x.valid_from, x.listing) o;
        update public.listings_open o
        set valid_from = p_at, base_cents = c.base, aip_cents = c.aip, qty = c.qty, splits = c.splits
        from unnest(v_changed) as c where o.event_id = p_event.id and o.listing = c.listing;
        delete from public.listings_open o
        where o.event_id = p_event.id and o.listing = any (v_ended) and o.valid_from < p_at;
    end if;
    if v_new is not null then
        perform tickets.name_offers(p_event, v_new);
        insert into public.listings_open
            (event_id, listing, valid_from, section_id, base_cents, aip_cents, qty, splits)
        select p_event.id, o.listing, p_at, s.section_id, o.base, o.aip, o.qty, o.splits
        from unnest(v_new) as o
        join public.sections s on s.event_id = p_event.id and s.raw_zone = o.raw_zone and s.section = o.section;
    end if;
    return jsonb_build_object(
        'upserted', coalesce(cardinality(v_new), 0) + coalesce(cardinality(v_changed), 0),
        'unchanged', v_n - coalesce(cardinality(v_new), 0) - coalesce(cardinality(v_changed), 0),
        'ended', coalesce(cardinality(v_ended), 0) - coalesce(cardinality(v_changed), 0));
end $$;
comment on function tickets.apply_in_order is 'A poll newer than all accepted ones: a diff against the listings on sale.';

create function tickets.unpack(p_event bigint, p_from timestamptz) returns void
language sql set search_path = '' as $$
    with opened as (
        delete from tickets.packs p where p.event_id = p_event and p.valid_to >= p_from returning p.*
    )
    insert into tickets.spans (event_id, listing, valid_from, valid_to, section_id, base_cents, aip_cents, qty, splits)
    select o.event_id, x.listing, x.valid_from, o.valid_to, x.section_id, x.base_cents, x.aip_cents, x.qty, x.splits
    from opened o
    cross join lateral unnest(o.listings, o.froms, o.sections, o.bases, o.aips, o.qtys, o.splits)
        as x(listing, valid_from, section_id, base_cents, aip_cents, qty, splits)
$$;
comment on function tickets.unpack is 'Make the spans that ended from an instant on loose rows, to be cut and joined.';

create function tickets.apply_between(p_event public.events, p_before timestamptz, p_at timestamptz,
                                      p_after timestamptz, p_offers tickets.offer[])
returns void language plpgsql set search_path = '' as $$
begin
    perform tickets.name_offers(p_event, p_offers);
    -- a: the span at the poll before, b: the span at the poll after (the same one when nothing changed between them),
    -- p: the listing in this poll. No accepted poll lies between, so a either contains the poll after or ends there.
    with near as materialized (
        select o.listing, o.valid_from, null::timestamptz as valid_to, o.section_id, o.base_cents as base,
               o.aip_cents as aip, o.qty, o.splits
        from public.listings_open o where o.event_id = p_event.id and o.valid_from <= p_after
        union all
        select c.listing, c.valid_from, c.valid_to, c.section_id, c.base_cents, c.aip_cents, c.qty, c.splits
        from tickets.spans c
        where c.event_id = p_event.id and c.valid_to >= p_after and c.valid_from <= p_after
    ), p as materialized (
        select o.listing, s.section_id, o.base, o.aip, o.qty, o.splits
        from unnest(p_offers) as o
        join public.sections s on s.event_id = p_event.id and s.raw_zone = o.raw_zone and s.section = o.section
    ), u as materialized (
        select listing, a as a, b as b, p as p,
               a.valid_from is not null as has_a, b.valid_from is not null as has_b, p.base is not null as has_p,
               coalesce(a.valid_from = b.valid_from, false) as through,
               coalesce((p.base, p.aip, p.qty, p.splits) = (a.base, a.aip, a.qty, a.splits), false) as as_before,
               coalesce((p.base, p.aip, p.qty, p.splits) = (b.base, b.aip, b.qty, b.splits), false) as as_after
        from (select * from near where valid_from <= p_before) a
        full join (select * from near where valid_to is null or valid_to > p_after) b using (listing)
        full join p using (listing)
    ), head_of_split as (
        insert into tickets.spans
            (event_id, listing, valid_from, valid_to, section_id, base_cents, aip_cents, qty, splits)
        select p_event.id, listing, (a).valid_from, p_at, (a).section_id, (a).base, (a).aip, (a).qty, (a).splits
        from u where through and not as_before
    ), own as (
        insert into tickets.spans
            (event_id, listing, valid_from, valid_to, section_id, base_cents, aip_cents, qty, splits)
        select p_event.id, listing, p_at, p_after, (p).section_id, (p).base, (p).aip, (p).qty, (p).splits
        from u where has_p and not as_before and not as_after
    ), shortened as (
        update tickets.spans c set valid_to = p_at
        from u where u.has_a and not u.through and not u.as_before
          and c.event_id = p_event.id and c.listing = u.listing and c.valid_to = p_after
    ), later_closed as (
        update tickets.spans c set valid_from = case when u.through then p_after else p_at end
        from u where ((u.through and not u.as_before) or (u.has_b and not u.through and u.as_after))
          and (u.b).valid_to is not null
          and c.event_id = p_event.id and c.listing = u.listing and c.valid_to = (u.b).valid_to
    )
    update public.listings_open o set valid_from = case when u.through then p_after else p_at end
    from u where ((u.through and not u.as_before) or (u.has_b and not u.through and u.as_after))
      and (u.b).valid_to is null
      and o.event_id = p_event.id and o.listing = u.listing;
end $$;
comment on function tickets.apply_between is
    'A late poll: spans are cut and joined between its two accepted neighbours (p_before may be null).';

create function tickets.take_back(p_event public.events, p_at timestamptz, p_after timestamptz)
returns void language plpgsql set search_path = '' as $$
begin
    if p_after is null then
        delete from public.listings_open o where o.event_id = p_event.id and o.valid_from = p_at;
        with reopened as (
            delete from tickets.spans c where c.event_id = p_event.id and c.valid_to = p_at returning c.*
        )
        insert into public.listings_open
            (event_id, listing, valid_from, section_id, base_cents, aip_cents, qty, splits)
        select r.event_id, r.listing, r.valid_from, r.section_id, r.base_cents, r.aip_cents, r.qty, r.splits
        from reopened r;
        return;
    end if;
    delete from tickets.spans c where c.event_id = p_event.id and c.valid_from = p_at and c.valid_to = p_after;
    update tickets.spans c set valid_from = p_after
    where c.event_id = p_event.id and c.valid_from = p_at and c.valid_to > p_after;
    update public.listings_open o set valid_from = p_after where o.event_id = p_event.id and o.valid_from = p_at;
    -- what ended at this poll now ends at the next one, or goes on in an equal span that starts there
    with ended as (
        delete from tickets.spans c where c.event_id = p_event.id and c.valid_to = p_at returning c.*
    ), on_sale as (
        update public.listings_open o set valid_from = e.valid_from from ended e
        where o.event_id = p_event.id and o.listing = e.listing and o.valid_from = p_after
          and (o.base_cents, o.aip_cents, o.qty, o.splits) = (e.base_cents, e.aip_cents, e.qty, e.splits)
        returning o.listing
    ), closed as (
        update tickets.spans c set valid_from = e.valid_from from ended e
        where c.event_id = p_event.id and c.listing = e.listing and c.valid_from = p_after and c.valid_to > p_after
          and (c.base_cents, c.aip_cents, c.qty, c.splits) = (e.base_cents, e.aip_cents, e.qty, e.splits)
        returning c.listing
    )
    insert into tickets.spans
        (event_id, listing, valid_from, valid_to, section_id, base_cents, aip_cents, qty, splits)
    select e.event_id, e.listing, e.valid_from, p_after, e.section_id, e.base_cents, e.aip_cents, e.qty, e.splits
    from ended e
    where e.listing not in (select listing from on_sale) and e.listing not in (select listing from closed);
end $$;
comment on function tickets.take_back is
    'Undo what the accepted poll at p_at says (p_after: the next accepted one), as if it had never come.';

revoke all on function tickets.unpack(bigint, timestamptz), tickets.apply_in_order(public.events, timestamptz, tickets.offer[]),
    tickets.apply_between(public.events, timestamptz, timestamptz, timestamptz, tickets.offer[]),
    tickets.take_back(public.events, timestamptz, timestamptz) from public;
grant execute on function tickets.unpack(bigint, timestamptz), tickets.apply_in_order(public.events, timestamptz, tickets.offer[]),
    tickets.apply_between(public.events, timestamptz, timestamptz, timestamptz, tickets.offer[]),
    tickets.take_back(public.events, timestamptz, timestamptz) to service_role;
