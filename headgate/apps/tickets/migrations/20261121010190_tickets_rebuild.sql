-- Rebuilding: an event's spans and rollups once more, from what its accepted polls saw.

create function tickets.first_poll(p_event bigint) returns timestamptz
language sql stable set search_path = '' as $$
    select min(p.observed_at) from public.polls p
    where p.event_id = p_event and p.status in ('accepted', 'unchanged')
$$;
comment on function tickets.first_poll is 'The oldest accepted poll that retention left.';

create function tickets.dirty_all(p_event bigint, p_from timestamptz default '-infinity') returns integer
language plpgsql set search_path = '' as $$
declare
    v_tz text := (select e.tz from public.events e where e.id = p_event);
    v_first timestamptz := tickets.first_poll(p_event);
    v_from timestamptz := p_from;
begin
    perform tickets.pass_gate();
    -- the hour of the oldest poll left by retention was reckoned with polls that are no more
    if exists (select from tickets.horizon h where h.spans_from > '-infinity') then
        v_from := greatest(p_from, date_trunc('hour', v_first, v_tz) + interval '1 hour');
    end if;
    perform tickets.unseal(p_event, v_from - interval '1 hour');
    perform tickets.mark_dirty(p_event, v_tz, array(
        select x.at from public.polls p
        cross join lateral (values (p.observed_at), (p.observed_at + interval '30 minutes' - interval '1 millisecond')) x(at)
        where p.event_id = p_event and p.observed_at >= v_from and p.status in ('accepted', 'unchanged')));
    return (select count(*) from public.rollup_dirty d where d.event_id = p_event);
end $$;
comment on function tickets.dirty_all is
    'Mark every hour of an event since p_from that can still be reckoned; how many are dirty now.';

create function tickets.rebuild_event(p_event bigint) returns jsonb
language plpgsql set search_path = '' as $$
declare
    e public.events;
    v_last public.polls;
    v_spans integer;
begin
    perform tickets.pass_gate();
    select * into e from public.events x where x.id = p_event for no key update;
    if not found then
        raise exception 'Event % is not known.', p_event using errcode = 'no_data_found';
    end if;
    perform tickets.unseal(p_event, '-infinity');
    perform tickets.unpack(p_event, '-infinity');
    create temporary table if not exists rebuilt
        (listing bigint, section_id integer, base integer, aip integer, qty smallint, splits smallint,
         valid_from timestamptz, valid_to timestamptz) on commit drop;
    truncate pg_temp.rebuilt;
    with polls as materialized (
        select p.observed_at as at, row_number() over (order by p.observed_at) as n,
               lead(p.observed_at) over (order by p.observed_at) as next_at
        from public.polls p where p.event_id = p_event and p.status in ('accepted', 'unchanged')
    ), seen as (
        select s.listing, s.section_id, s.base, s.aip, s.qty, s.splits, s.valid_from, p.at, p.n, p.next_at
        from (
            select o.listing, o.section_id, o.base_cents as base, o.aip_cents as aip, o.qty, o.splits, o.valid_from,
                   'infinity'::timestamptz as valid_to
            from public.listings_open o where o.event_id = p_event
            union all
            select c.listing, c.section_id, c.base_cents, c.aip_cents, c.qty, c.splits, c.valid_from, c.valid_to
            from tickets.spans c where c.event_id = p_event
        ) s join polls p on p.at >= s.valid_from and p.at < s.valid_to
    ), runs as (
        select s.*, s.n - row_number() over (partition by s.listing, s.section_id, s.base, s.aip, s.qty, s.splits
                                             order by s.n) as run
        from seen s
    )
    insert into pg_temp.rebuilt
    select r.listing, r.section_id, r.base, r.aip, r.qty, r.splits,
           -- a span may have begun before the oldest poll that retention left
           min(case when r.n = 1 then r.valid_from else r.at end),
           nullif(max(coalesce(r.next_at, 'infinity')), 'infinity')
    from runs r group by r.listing, r.section_id, r.base, r.aip, r.qty, r.splits, r.run;
    get diagnostics v_spans = row_count;
    -- what ended at the oldest poll left was seen by polls that are no more: it stays as it is
    delete from tickets.spans c where c.event_id = p_event and c.valid_to > tickets.first_poll(p_event);
    delete from public.listings_open o where o.event_id = p_event;
    insert into tickets.spans (event_id, listing, valid_from, valid_to, section_id, base_cents, aip_cents, qty, splits)
    select p_event, r.listing, r.valid_from, r.valid_to, r.section_id, r.base, r.aip, r.qty, r.splits
    from pg_temp.rebuilt r where r.valid_to is not null order by r.valid_to, r.listing;
    insert into public.listings_open (event_id, listing, valid_from, section_id, base_cents, aip_cents, qty, splits)
    select p_event, r.listing, r.valid_from, r.section_id, r.base, r.aip, r.qty, r.splits
    from pg_temp.rebuilt r where r.valid_to is null order by r.listing;
    select * into v_last from public.polls p
    where p.event_id = p_event and p.status in ('accepted', 'unchanged') order by p.observed_at desc limit 1;
    if found then
        perform tickets.set_latest(e, v_last.observed_at, v_last.seq, tickets.offers_at(p_event, v_last.observed_at));
    end if;
    return jsonb_build_object('spans', v_spans, 'dirty', tickets.dirty_all(p_event));
end $$;
comment on function tickets.rebuild_event is
    'Derive an event''s spans anew from what each accepted poll saw, and mark all its hours. Changes nothing when all is '
    'well: the incremental state equals it. Returns the number of spans and of hours marked.';

create function tickets.remap_zones(p_event bigint) returns integer
language plpgsql set search_path = '' as $$
declare
    e public.events;
    v_n integer;
begin
    perform tickets.pass_gate();
    select * into e from public.events x where x.id = p_event for no key update;
    update public.sections s set zone = z.zone
    from (select x.section_id, tickets.zone_of(e.source, e.venue, x.raw_zone, x.section) as zone
          from public.sections x where x.event_id = p_event) z
    where s.event_id = p_event and s.section_id = z.section_id and s.zone <> z.zone;
    get diagnostics v_n = row_count;
    if v_n > 0 then
        perform tickets.dirty_all(p_event);
    end if;
    return v_n;
end $$;
comment on function tickets.remap_zones is
    'Apply zones_mapping to an event''s sections, past hours included, as far back as spans are kept; how many changed.';

create function tickets.state(p_event bigint) returns setof text
language sql stable set search_path = '' as $$
    select 'span ' || concat_ws('|', s.external_id, s.zone, s.section, s."row", s.base_cents, s.aip_cents, s.qty, s.splits,
                                extract(epoch from s.valid_from), extract(epoch from s.valid_to))
    from public.listing_spans s where s.event_id = p_event
    union all
    select 'poll ' || concat_ws('|', extract(epoch from p.observed_at), p.seq, p.status, p.reason, p.n_listings, p.n_tickets, p.get_in)
    from public.polls p where p.event_id = p_event
    union all
    select 'latest ' || (to_jsonb(l) - 'event_id')::text from public.event_latest l where l.event_id = p_event
    union all
    select 'hour ' || (to_jsonb(h) - 'event_id')::text
    from (values ('event'), ('zone'), ('section')) g(scope)
    cross join lateral tickets.hours(p_event, '-infinity', 'infinity', g.scope) h
    union all
    select 'day ' || (to_jsonb(d) - 'event_id')::text from public.rollup_days d where d.event_id = p_event
    order by 1
$$;
comment on function tickets.state is
    'Everything derived about an event, as sorted lines without internal numbers: two events that saw the same polls in '
    'different orders have the same lines.';

revoke all on function tickets.dirty_all(bigint, timestamptz), tickets.rebuild_event(bigint),
    tickets.remap_zones(bigint) from public;
grant execute on function tickets.dirty_all(bigint, timestamptz), tickets.rebuild_event(bigint),
    tickets.remap_zones(bigint) to service_role;
