-- Deadline scheduling: what is promised, what is due, and who is offered it. Time is the database's.

-- 20 minutes beyond 30 days before the event, 15 within 30, 10 within 7, 5 on its day at the venue.
create function tickets.base_promise_s(p_starts_at timestamptz, p_tz text, p_now timestamptz, p_scale double precision)
returns int language sql stable set search_path = '' as $$
    select greatest(1, round(case
        when (p_now at time zone p_tz)::date >= (p_starts_at at time zone p_tz)::date then 300
        when p_starts_at <= p_now + interval '7 days' then 600
        when p_starts_at <= p_now + interval '30 days' then 900
        else 1200 end / greatest(p_scale, 0.000001)))::int
$$;
comment on function tickets.base_promise_s is
    'The promise by time to the event, in seconds, divided by the time scale (1 except in compressed simulations).';

-- An event is polled at this share of its promise, so that a failed poll can be repeated before the deadline.
create function tickets.poll_interval_s(p_promise_s int) returns double precision
language sql immutable set search_path = '' as $$ select 0.75 * p_promise_s $$;

-- A share of the interval that is the event's own and never changes: spreads the second polls of events that
-- were first polled together, and with them all later ones.
create function tickets.phase(p_event_id bigint) returns double precision
language sql immutable set search_path = '' as $$
    select (hashint8extended(p_event_id, 20261121) & 1048575)::double precision / 1048576
$$;

-- Promises by the calendar, stretched where the host cannot bear their sum. Returns the stretch.
-- Demand is the sum of 1/interval over pollable events; 0.8 of the host's rate may be used for it.
create function tickets.set_promises(
    p_source text, p_host text, p_rate double precision, p_scale double precision,
    p_now timestamptz default clock_timestamp())
returns double precision language plpgsql set search_path = '' as $$
declare
    v_demand double precision;
    v_stretch double precision;
    v_changed bigint[];
begin
    insert into tickets.poll_state as s (event_id, base_promise_s)
    select e.id, tickets.base_promise_s(e.starts_at, e.tz, p_now, p_scale)
    from public.events e where e.source = p_source and e.active
      and not exists (select from tickets.poll_state o where o.event_id = e.id)
    on conflict (event_id) do nothing;
    -- The event's row first, as every poll does, and only where no poll is under way: the rest is for the next tick.
    select array_agg(l.id) into v_changed from (
        select e.id from public.events e join tickets.poll_state s on s.event_id = e.id
        where e.source = p_source and e.active
          and s.base_promise_s <> tickets.base_promise_s(e.starts_at, e.tz, p_now, p_scale)
        order by e.id for no key update of e skip locked) l;
    update tickets.poll_state s set base_promise_s = tickets.base_promise_s(e.starts_at, e.tz, p_now, p_scale)
    from public.events e where e.id = s.event_id and s.event_id = any (v_changed);

    select coalesce(sum(1 / tickets.poll_interval_s(s.base_promise_s)), 0) into v_demand
    from public.events e join tickets.poll_state s on s.event_id = e.id
    where e.source = p_source and e.active and (s.quarantined_until is null or s.quarantined_until <= p_now);

    -- In steps of a twentieth, so that one event more or less does not change every promise.
    v_stretch := greatest(1, ceil(v_demand / (0.8 * p_rate) * 20 - 1e-6) / 20);
    insert into tickets.sweeps as w (source, host, rate_per_s, stretch) values (p_source, p_host, p_rate, v_stretch)
    on conflict (source) do update set host = excluded.host, rate_per_s = excluded.rate_per_s, stretch = excluded.stretch
    where (w.host, w.rate_per_s, w.stretch) is distinct from (excluded.host, excluded.rate_per_s, excluded.stretch);

    with wanted as materialized (
        select e.id, ceil(s.base_promise_s * v_stretch - 1e-6)::int as promise_s
        from public.events e join tickets.poll_state s on s.event_id = e.id
        where e.source = p_source and e.active
          and (e.promise_s is distinct from ceil(s.base_promise_s * v_stretch - 1e-6)::int or e.next_due is null)
        order by e.id for no key update of e skip locked
    ), changed as (
        update public.events e
        set promise_s = w.promise_s,
            deadline = coalesce(e.last_scraped, p_now) + make_interval(secs => w.promise_s),
            next_due = least(coalesce(e.next_due, p_now),
                             coalesce(e.last_scraped, p_now)
                             + make_interval(secs => tickets.poll_interval_s(w.promise_s)))
        from wanted w
        where w.id = e.id
        returning e.id, e.promise_s
    )
    insert into tickets.promises (event_id, since, promise_s)
    select c.id, p_now, c.promise_s from changed c
    where c.promise_s is distinct from (
        select p.promise_s from tickets.promises p where p.event_id = c.id order by p.since desc limit 1)
    on conflict (event_id, since) do update set promise_s = excluded.promise_s;
    return v_stretch;
end $$;
comment on function tickets.set_promises is
    'Publishes what is promised per event of a source now; stretched when demand exceeds 0.8 of the host''s rate.';

-- The next events to poll, earliest deadline first, each leased to the caller. An event that is far behind comes
-- once, however many polls it missed. Whoever holds an expired lease loses to the fence of the run, not to time.
create function tickets.take_due(
    p_source text, p_limit int, p_ahead_s double precision default 1, p_lease_s double precision default 60,
    p_now timestamptz default clock_timestamp())
returns table (event_id bigint, external_id text, due timestamptz, deadline timestamptz)
language plpgsql set search_path = '' as $$
begin
    return query
    with due as materialized (
        select e.id
        from public.events e join tickets.poll_state s on s.event_id = e.id
        where e.active and e.source = p_source
          and e.next_due <= p_now + make_interval(secs => p_ahead_s)
          and (s.quarantined_until is null or s.quarantined_until <= p_now)
          and (s.leased_until is null or s.leased_until <= p_now)
        order by e.deadline, e.id
        limit p_limit
        for update of s skip locked
    ), leased as (
        update tickets.poll_state s
        set leased_until = p_now + make_interval(secs => p_lease_s), updated_at = p_now
        from due where s.event_id = due.id
        returning s.event_id
    )
    select e.id, e.external_id, e.next_due, e.deadline
    from leased l join public.events e on e.id = l.event_id
    order by e.deadline, e.id;
end $$;
comment on function tickets.take_due is 'Leases the due events with the earliest deadlines; two schedulers never get the same.';

-- Events that are over are polled no more.
create function tickets.retire_past(p_now timestamptz default clock_timestamp()) returns int
language plpgsql set search_path = '' as $$
declare
    v_count int;
begin
    update public.events e set active = false, status = 'past', next_due = null, deadline = null
    where e.active and e.starts_at < p_now - interval '12 hours';
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function tickets.retire_past is 'Ends events whose doors opened more than twelve hours ago; returns how many.';

-- True for the one caller that may sweep a catalogue now.
create function tickets.sweep_due(p_source text, p_every_s double precision, p_now timestamptz default clock_timestamp())
returns boolean language plpgsql set search_path = '' as $$
begin
    insert into tickets.sweeps (source) values (p_source) on conflict (source) do nothing;
    update tickets.sweeps set started_at = p_now
    where source = p_source and started_at <= p_now - make_interval(secs => p_every_s);
    return found;
end $$;
comment on function tickets.sweep_due is 'Compare and swap: true once per p_every_s seconds and source, however many ask.';

-- A poll that never asked (no slot, breaker open) gives its event back; it is due again after p_after.
create function tickets.put_back(p_event_id bigint, p_after interval, p_now timestamptz default clock_timestamp())
returns void language sql set search_path = '' as $$
    update tickets.poll_state set leased_until = null, updated_at = p_now where event_id = p_event_id;
    update public.events set next_due = p_now + p_after where id = p_event_id and active
$$;
comment on function tickets.put_back is 'Returns an event to the plan without a poll; its deadline stays as it was.';

revoke all on function tickets.set_promises, tickets.take_due, tickets.retire_past, tickets.sweep_due, tickets.put_back from public;
grant execute on function tickets.set_promises, tickets.take_due, tickets.retire_past, tickets.sweep_due, tickets.put_back to service_role;
