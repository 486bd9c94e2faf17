-- The refresher, days read live, and the views under the names that dashboards know.

create function tickets.refresh_rollups(p_limit integer default 50) returns integer
language plpgsql set search_path = '' as $$
declare
    v_event bigint;
    v_tz text;
    v_done integer := 0;
    r record;
    v_day date;
    v_days date[];
begin
    perform tickets.pass_gate();
    for v_event in
        select d.event_id from public.rollup_dirty d group by d.event_id order by min(d.since), d.event_id limit p_limit
    loop
        exit when v_done >= p_limit;
        -- one refresher at a time per event: the last hour of a day must see the others done
        continue when not pg_try_advisory_xact_lock(tickets.number_of('tickets.refresh ' || v_event));
        v_tz := (select e.tz from public.events e where e.id = v_event);
        v_days := '{}';
        for r in
            select x.hour, x.since from (
                select d.hour, d.since from public.rollup_dirty d
                where d.event_id = v_event order by d.hour limit p_limit - v_done
                for update skip locked) x
            order by x.hour
        loop
            if v_tz is not null then
                perform tickets.refresh_hour(v_event, r.hour);
                v_day := (r.hour at time zone v_tz)::date;
                v_days := case when v_day = any (v_days) then v_days else v_days || v_day end;
            end if;
            delete from public.rollup_dirty d
            where d.event_id = v_event and d.hour = r.hour and d.since = r.since;
            v_done := v_done + 1;
        end loop;
        foreach v_day in array v_days loop
            if not exists (select from public.rollup_dirty d
                           where d.event_id = v_event and d.hour >= tickets.day_start(v_day, v_tz)
                             and d.hour < tickets.day_start(v_day + 1, v_tz)) then
                perform tickets.refresh_day(v_event, v_day);
            end if;
        end loop;
    end loop;
    return v_done;
end $$;
comment on function tickets.refresh_rollups is
    'Recompute up to p_limit dirty hours, oldest event first, and the days they complete; how many hours. Any number of '
    'refreshers may run: each takes events and rows no other holds. Marked rows wait for this transaction, so keep '
    'p_limit small and commit often.';

create function tickets.days(p_event bigint, p_from date, p_to date, p_scope text default 'event',
                             p_scope_id text default null) returns setof public.rollup_days
language plpgsql stable rows 30 set search_path = '' as $$
declare
    v_tz text := (select e.tz from public.events e where e.id = p_event);
    v_stale date[] := array(
        select distinct (d.hour at time zone v_tz)::date from public.rollup_dirty d
        where d.event_id = p_event and d.hour >= tickets.day_start(p_from, v_tz)
          and d.hour < tickets.day_start(p_to + 1, v_tz));
begin
    return query
    select r.* from public.rollup_days r
    where r.event_id = p_event and r.scope = p_scope and (p_scope_id is null or r.scope_id = p_scope_id)
      and r.day >= p_from and r.day <= p_to and r.day <> all (v_stale);
    return query
    select x.* from unnest(v_stale) as s(day)
    cross join lateral tickets.day_rows(p_event, s.day, p_scope, p_scope_id) x
    where p_scope_id is null or x.scope_id = p_scope_id;
end $$;
comment on function tickets.days is
    'Venue days of an event from p_from to p_to, both included; days with hours out of date are merged on the spot.';

create view public.aggregated_analytics with (security_invoker = true) as
select x.event_id, nullif(x.scope_id, '') as zone, x.hour,
       round(x.min_aip / 100.0, 2) as min_price,
       round(x.aip_ms / 100.0 / nullif(x.listing_ms, 0), 2) as avg_price,
       round(x.max_aip / 100.0, 2) as max_price,
       round(x.min_pair / 100.0, 2) as min_price_2tickets,
       round(x.min_four / 100.0, 2) as min_price_4tickets,
       round(x.ticket_ms::numeric / nullif(x.covered_ms, 0))::integer as total_tickets,
       round(x.listing_ms::numeric / nullif(x.covered_ms, 0))::integer as total_listings
from (
    select r.event_id, r.scope_id, r.hour, r.min_aip, r.max_aip, r.min_pair, r.min_four, r.aip_ms, r.listing_ms,
           r.ticket_ms, r.covered_ms
    from public.rollup_hours r
    where r.scope in ('event', 'zone')
      and not exists (select from public.rollup_dirty d where d.event_id = r.event_id and d.hour = r.hour)
    union all
    select d.event_id, h.scope_id, d.hour, h.min_aip, h.max_aip, h.min_pair, h.min_four, h.aip_ms, h.listing_ms,
           h.ticket_ms, h.covered_ms
    from public.rollup_dirty d cross join lateral tickets.hour_rows(d.event_id, d.hour) h
    where h.scope in ('event', 'zone')
) x;
comment on view public.aggregated_analytics is
    'Hours of events (zone null) and zones, in the currency''s major unit. Counts are levels: what was on sale on average '
    'over the covered time of the hour, never a sum over polls. Ask with event_id, and with a zone or zone is null.';
grant select on public.aggregated_analytics to anon, authenticated, service_role;

create view public.daily_analytics with (security_invoker = true) as
select x.event_id, nullif(x.scope_id, '') as zone, x.day as date,
       round(x.min_aip / 100.0, 2) as min_price,
       round(x.aip_ms / 100.0 / nullif(x.listing_ms, 0), 2) as avg_price,
       round(x.max_aip / 100.0, 2) as max_price,
       round(x.min_pair / 100.0, 2) as min_price_2tickets,
       round(x.min_four / 100.0, 2) as min_price_4tickets,
       round(x.ticket_ms::numeric / nullif(x.covered_ms, 0))::integer as total_tickets,
       round(x.listing_ms::numeric / nullif(x.covered_ms, 0))::integer as total_listings
from (
    select r.event_id, r.scope_id, r.day, r.min_aip, r.max_aip, r.min_pair, r.min_four, r.aip_ms, r.listing_ms,
           r.ticket_ms, r.covered_ms
    from public.rollup_days r
    where r.scope in ('event', 'zone')
      and not exists (
          select from public.rollup_dirty d join public.events e on e.id = d.event_id
          where d.event_id = r.event_id and (d.hour at time zone e.tz)::date = r.day)
    union all
    select s.event_id, h.scope_id, s.day, h.min_aip, h.max_aip, h.min_pair, h.min_four, h.aip_ms, h.listing_ms,
           h.ticket_ms, h.covered_ms
    from (select d.event_id, (d.hour at time zone e.tz)::date as day
          from public.rollup_dirty d join public.events e on e.id = d.event_id
          group by d.event_id, (d.hour at time zone e.tz)::date) s
    cross join lateral tickets.day_rows(s.event_id, s.day) h
    where h.scope in ('event', 'zone')
) x;
comment on view public.daily_analytics is
    'Venue days of events (zone null) and zones: the exact merge of their hours, in the currency''s major unit. Counts are '
    'levels. Ask with event_id, and with a zone or zone is null.';
grant select on public.daily_analytics to anon, authenticated, service_role;

revoke all on function tickets.refresh_rollups(integer) from public;
grant execute on function tickets.refresh_rollups(integer) to service_role;
