-- Catalogue pages become events. Prices never come from here: a catalogue only says what exists and what moved.

-- The rows of a staged page, typed. A page never has one event twice.
create function tickets.page_events(p_batch bigint)
returns table (
    external_id text, name text, venue text, city text, state text, tz text, starts_at timestamptz, local_date date,
    category text, performer_id text, performer_name text, image_url text, fingerprint text, parking boolean,
    cancelled boolean)
language sql stable set search_path = '' as $$
    select r.* from stage.rows s
    cross join lateral jsonb_to_record(s.doc) as r(
        external_id text, name text, venue text, city text, state text, tz text, starts_at timestamptz,
        local_date date, category text, performer_id text, performer_name text, image_url text, fingerprint text,
        parking boolean, cancelled boolean)
    where s.batch_id = p_batch
$$;
comment on function tickets.page_events is 'A staged catalogue page as typed rows.';

-- Rows: external_id, name, venue, city, state, tz, starts_at, local_date, category, performer_id, performer_name,
-- image_url?, fingerprint, parking, cancelled. Meta: source, poll (may its events be polled), complete, last_page.
create function tickets.promote_events(p_batch bigint, p_run bigint, p_meta jsonb) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_source text := p_meta->>'source';
    v_poll boolean := coalesce((p_meta->>'poll')::boolean, false);
    v_upserted bigint;
    v_rows bigint;
begin
    select count(*) into v_rows from tickets.page_events(p_batch);
    with written as (
        insert into public.events as e (
            external_id, source, name, venue, city, state, tz, starts_at, local_date, category,
            performer_id, performer_name, image_url, status, active, cancelled_at)
        select p.external_id, v_source, p.name, p.venue, p.city, p.state, p.tz, p.starts_at, p.local_date, p.category,
               p.performer_id, p.performer_name, p.image_url,
               case when p.cancelled then 'cancelled' else 'scheduled' end,
               v_poll and not p.parking and not p.cancelled,
               case when p.cancelled then now() end
        from tickets.page_events(p_batch) p
        on conflict (source, external_id) do update
        set name = excluded.name, venue = excluded.venue, city = excluded.city, state = excluded.state,
            tz = excluded.tz, starts_at = excluded.starts_at, local_date = excluded.local_date,
            category = excluded.category, performer_id = excluded.performer_id,
            performer_name = excluded.performer_name,
            status = case when excluded.status = 'cancelled' then 'cancelled'
                          when excluded.starts_at <> e.starts_at then 'rescheduled'
                          when e.status in ('cancelled', 'gone') then 'scheduled'
                          else e.status end,
            active = case when excluded.status = 'cancelled' then false
                          when e.status in ('cancelled', 'gone', 'past') then excluded.active
                          else e.active end,
            cancelled_at = case when excluded.status = 'cancelled' then coalesce(e.cancelled_at, now()) end,
            -- On a new date the promise and the next poll are worked out anew.
            promise_s = case when excluded.starts_at <> e.starts_at then null else e.promise_s end
        where (e.name, e.venue, e.city, e.state, e.tz, e.starts_at, e.local_date, e.category, e.performer_id,
               e.performer_name)
              is distinct from
              (excluded.name, excluded.venue, excluded.city, excluded.state, excluded.tz, excluded.starts_at,
               excluded.local_date, excluded.category, excluded.performer_id, excluded.performer_name)
           or (excluded.status = 'cancelled') <> (e.status = 'cancelled')
           or e.status = 'gone'
        returning 1)
    select count(*) into v_upserted from written;
    perform tickets.note_moves(v_source, p_batch);
    if coalesce((p_meta->>'complete')::boolean, false) then
        perform tickets.end_sweep(v_source, (p_meta->>'sweep')::bigint);
    end if;
    return jsonb_build_object('upserted', v_upserted, 'unchanged', v_rows - v_upserted);
end $$;
comment on function tickets.promote_events is 'Promotes a catalogue page: new, changed, rescheduled and cancelled events.';

-- A market that moved since its last poll is polled soon, if its host has room (no stretch) and a tenth of the
-- promise has passed since the last poll; otherwise its deadline decides.
create function tickets.note_moves(p_source text, p_batch bigint, p_now timestamptz default clock_timestamp()) returns int
language plpgsql set search_path = '' as $$
declare
    v_count int;
begin
    insert into tickets.poll_state as s (event_id, fingerprint, seen_at)
    select e.id, p.fingerprint, p_now
    from tickets.page_events(p_batch) p join public.events e on e.source = p_source and e.external_id = p.external_id
    where e.active
    on conflict (event_id) do update
    set fingerprint = excluded.fingerprint, seen_at = excluded.seen_at, missed_sweeps = 0;
    update public.events e
    set next_due = least(e.next_due,
                         greatest(p_now, e.last_scraped + make_interval(secs => 0.25 * e.promise_s)))
    from tickets.poll_state s, tickets.page_events(p_batch) p
    where e.source = p_source and e.external_id = p.external_id and s.event_id = e.id and e.active
      and s.fingerprint is distinct from s.polled_fingerprint and s.polled_fingerprint is not null
      and s.failures = 0
      and (select w.stretch from tickets.sweeps w where w.source = p_source) <= 1
      and e.next_due > greatest(p_now, e.last_scraped + make_interval(secs => 0.25 * e.promise_s));
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function tickets.note_moves is 'Remembers the fingerprints of a page; brings polls of moved markets forward. Returns how many.';

-- After a complete sweep: who was not on any page has missed one. After three, an event that also answers 404 is
-- called gone and polled no more; a later page with it brings it back.
create function tickets.end_sweep(p_source text, p_sweep bigint, p_now timestamptz default clock_timestamp())
returns int language plpgsql set search_path = '' as $$
declare
    v_started timestamptz;
    v_count int;
begin
    select w.started_at into v_started from tickets.sweeps w where w.source = p_source for update;
    update tickets.poll_state s set missed_sweeps = s.missed_sweeps + 1, updated_at = p_now
    from public.events e
    where e.id = s.event_id and e.source = p_source and e.active and coalesce(s.seen_at, '-infinity') < v_started;
    update public.events e set status = 'gone', active = false, next_due = null, deadline = null
    from tickets.poll_state s
    where s.event_id = e.id and e.source = p_source and e.active and s.missed_sweeps >= 3 and s.not_found > 0;
    get diagnostics v_count = row_count;
    update tickets.sweeps w set finished_at = p_now, sweep = w.sweep + 1,
           events = (select count(*) from public.events e where e.source = p_source)
    where w.source = p_source;
    return v_count;
end $$;
comment on function tickets.end_sweep is 'Closes a complete sweep of a catalogue; returns how many events are gone from now on.';

-- One event, by its source and external id; for recordings and for people. Returns its id.
create function tickets.put_event(p_event jsonb) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_id bigint;
begin
    insert into public.events as e (external_id, source, name, venue, city, state, tz, starts_at, local_date, category,
                                    performer_name, match_key, status, active)
    select r.external_id, r.source, r.name, coalesce(r.venue, ''), coalesce(r.city, ''), coalesce(r.state, ''),
           coalesce(r.tz, 'UTC'), r.starts_at, (r.starts_at at time zone coalesce(r.tz, 'UTC'))::date,
           coalesce(r.category, 'Other'), r.performer_name, r.match_key, coalesce(r.status, 'scheduled'), coalesce(r.active, true)
    from jsonb_to_record(p_event) as r(
        external_id text, source text, name text, venue text, city text, state text, tz text, starts_at timestamptz,
        category text, performer_name text, match_key text, status text, active boolean)
    on conflict (source, external_id) do update
    set name = excluded.name, venue = excluded.venue, city = excluded.city, state = excluded.state,
        tz = excluded.tz, starts_at = excluded.starts_at, local_date = excluded.local_date, category = excluded.category
    returning e.id into v_id;
    return v_id;
end $$;
comment on function tickets.put_event is 'Adds or changes one event; returns its id.';

revoke all on function tickets.page_events, tickets.promote_events, tickets.note_moves, tickets.end_sweep, tickets.put_event from public;
grant execute on function tickets.page_events, tickets.promote_events, tickets.note_moves, tickets.end_sweep, tickets.put_event to service_role;
