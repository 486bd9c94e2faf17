-- One poll's end: its listings are promoted, and the event's next poll is set, in the same transaction.

-- Sets what comes next for an event after a poll. Accepted or unchanged: the next is due after the interval, give or
-- take a tenth; after the very first, earlier by the event's phase. Failed or rejected: soon again, more slowly each time. Not found: quarantined, longer each time.
create function tickets.after_poll(p_event_id bigint, p_meta jsonb, p_now timestamptz default clock_timestamp())
returns void language plpgsql set search_path = '' as $$
declare
    v_promise int;
    v_good boolean := p_meta->>'status' in ('accepted', 'unchanged');
    v_not_found boolean := coalesce(p_meta->>'http_status', '') in ('404', '410');
    v_wait double precision;
    v_state tickets.poll_state;
begin
    select coalesce(e.promise_s, 1200) into v_promise from public.events e where e.id = p_event_id;
    if not found then
        return;
    end if;
    insert into tickets.poll_state as s (event_id, base_promise_s, good_polls, failures, not_found)
    values (p_event_id, v_promise, v_good::int, (not v_good)::int, v_not_found::int)
    on conflict (event_id) do update
    set good_polls = s.good_polls + v_good::int,
        failures = case when v_good then 0 else s.failures + 1 end,
        not_found = case when v_not_found then s.not_found + 1 when v_good then 0 else s.not_found end,
        polled_fingerprint = case when v_good then s.fingerprint else s.polled_fingerprint end,
        leased_until = null, updated_at = p_now
    returning * into v_state;

    v_wait := case
        when v_good and v_state.good_polls = 1
            then tickets.poll_interval_s(v_promise) * (0.5 + 0.5 * tickets.phase(p_event_id))
        when v_good then tickets.poll_interval_s(v_promise) * (0.9 + 0.2 * random())
        when v_not_found then v_promise * power(2, least(v_state.not_found, 6) - 1)
        -- a fiftieth, a twenty-fifth ... of the promise, at most a quarter of it
        else v_promise * least(0.02 * power(2, least(v_state.failures, 6) - 1), 0.25)
    end;
    v_wait := greatest(v_wait, least(coalesce((p_meta->>'retry_after_s')::double precision, 0), 3600));
    update tickets.poll_state s
    set quarantined_until = case when v_not_found then p_now + make_interval(secs => v_wait) when v_good then null
                                 else s.quarantined_until end
    where s.event_id = p_event_id
      and (v_not_found or (v_good and s.quarantined_until is not null));
    update public.events e
    set next_due = p_now + make_interval(secs => v_wait),
        deadline = coalesce(e.last_scraped, p_now) + make_interval(secs => v_promise)
    where e.id = p_event_id and e.active;
end $$;
comment on function tickets.after_poll is 'When an event is polled next, by how its poll went.';

-- The promote function of every live listings source.
create function tickets.take_poll(p_batch bigint, p_run bigint, p_meta jsonb) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_counts jsonb := tickets.promote_poll(p_batch, p_run, p_meta);
begin
    perform tickets.after_poll((p_meta->>'event_id')::bigint, 
        p_meta || jsonb_build_object('status', coalesce(v_counts->>'status', p_meta->>'status')));
    return v_counts;
end $$;
comment on function tickets.take_poll is 'tickets.promote_poll and tickets.after_poll, together or not at all.';

revoke all on function tickets.after_poll, tickets.take_poll from public;
grant execute on function tickets.after_poll, tickets.take_poll to service_role;
