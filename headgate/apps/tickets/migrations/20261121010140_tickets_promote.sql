-- One poll, applied in the caller's transaction.

create function tickets.freeze_of(p_event public.events) returns timestamptz
language sql immutable parallel safe
return least(coalesce((p_event).doors_at, (p_event).starts_at), (p_event).cancelled_at);
comment on function tickets.freeze_of is 'From here on vanished listings are not read as sales; null: never.';

create function tickets.mark_dirty(p_event bigint, p_tz text, p_instants timestamptz[]) returns void
language sql set search_path = '' as $$
    insert into public.rollup_dirty as d (event_id, hour, since)
    select p_event, h.hour, clock_timestamp()
    from (select distinct date_trunc('hour', i, p_tz) as hour from unnest(p_instants) as i where i is not null) h
    order by h.hour
    on conflict (event_id, hour) do update set since = greatest(excluded.since, d.since + interval '1 microsecond')
$$;
comment on function tickets.mark_dirty is 'The hours of these instants are out of date; since always grows.';

create function tickets.record_poll(p_event bigint, p_at timestamptz, p_seq bigint, p_run bigint, p_meta jsonb,
                                    p_result jsonb) returns boolean
language plpgsql set search_path = '' as $$
begin
    insert into public.polls (event_id, observed_at, seq, received_at, source, status, reason, n_listings, n_tickets,
                              get_in, currency, body_hash, http_status, latency_ms, run_id)
    values (p_event, p_at, p_seq, coalesce((p_meta ->> 'received_at')::timestamptz, now()), p_result ->> 'source',
            p_result ->> 'status', p_result ->> 'reason', (p_result ->> 'n_listings')::integer,
            (p_result ->> 'n_tickets')::integer, (p_result ->> 'get_in')::integer, p_meta ->> 'currency',
            p_result ->> 'body_hash', (p_meta ->> 'http_status')::integer, (p_meta ->> 'latency_ms')::integer, p_run)
    on conflict do nothing;
    return found;
end $$;
comment on function tickets.record_poll is 'Write the poll''s row; false when it was there already.';

create function tickets.set_latest(p_event public.events, p_at timestamptz, p_seq bigint, p_offers tickets.offer[])
returns void language sql set search_path = '' as $$
    insert into public.event_latest as l (event_id, observed_at, seq, freeze_at, n_listings, n_tickets, get_in,
                                          get_in_pair, get_in_four, median_aip, avg_aip, max_aip)
    select p_event.id, p_at, p_seq, tickets.freeze_of(p_event), count(*), coalesce(sum(o.qty), 0), min(o.aip),
           min(o.aip) filter (where o.splits & 2 <> 0), min(o.aip) filter (where o.splits & 8 <> 0),
           percentile_disc(0.5) within group (order by o.aip), sum(o.aip::bigint) / nullif(count(*), 0), max(o.aip)
    from unnest(p_offers) as o
    on conflict (event_id) do update
    set observed_at = excluded.observed_at, seq = excluded.seq, freeze_at = excluded.freeze_at,
        n_listings = excluded.n_listings, n_tickets = excluded.n_tickets, get_in = excluded.get_in,
        get_in_pair = excluded.get_in_pair, get_in_four = excluded.get_in_four, median_aip = excluded.median_aip,
        avg_aip = excluded.avg_aip, max_aip = excluded.max_aip;
    update public.events e set last_scraped = p_at where e.id = p_event.id
$$;
comment on function tickets.set_latest is 'The market at the newest accepted poll.';

create function tickets.note_freeze(p_event public.events) returns void
language plpgsql set search_path = '' as $$
declare
    v_was timestamptz;
    v_is timestamptz := tickets.freeze_of(p_event);
    v_low timestamptz;
begin
    select l.freeze_at into v_was from public.event_latest l where l.event_id = p_event.id;
    if not found or v_was is not distinct from v_is then
        return;
    end if;
    v_low := greatest(least(v_was, v_is), (select h.spans_from + interval '1 hour' from tickets.horizon h));
    perform tickets.unseal(p_event.id, v_low - interval '1 hour');
    perform tickets.mark_dirty(p_event.id, p_event.tz, array(
        select p.observed_at from public.polls p
        where p.event_id = p_event.id and p.observed_at >= v_low and p.status in ('accepted', 'unchanged')
          and p.observed_at < greatest(coalesce(v_was, 'infinity'), coalesce(v_is, 'infinity'))));
    update public.event_latest l set freeze_at = v_is where l.event_id = p_event.id;
end $$;
comment on function tickets.note_freeze is
    'When an event was rescheduled or cancelled, the sold figures between its old and its new doors change: mark them.';

create function tickets.promote_poll(p_batch bigint, p_run bigint, p_meta jsonb) returns jsonb
language plpgsql set search_path = '' as $$
declare
    e public.events;
    v_at timestamptz := date_trunc('milliseconds', (p_meta ->> 'observed_at')::timestamptz);
    v_received timestamptz := coalesce((p_meta ->> 'received_at')::timestamptz, now());
    v_status text := coalesce(p_meta ->> 'status', 'accepted');
    v_reason text := coalesce(p_meta ->> 'word', p_meta ->> 'reason');
    v_hash text := p_meta ->> 'body_hash';
    v_offers tickets.offer[];
    v_seq bigint;
    v_rows integer;
    v_result jsonb;
begin
    perform tickets.pass_gate();
    -- the event's row is the lock under which its polls are applied one after the other
    select * into e from public.events x where x.id = (p_meta ->> 'event_id')::bigint for no key update;
    if not found then
        raise exception 'Event % is not known.', p_meta ->> 'event_id' using errcode = 'no_data_found';
    elsif v_at is null then
        raise exception 'A poll needs observed_at.' using errcode = 'null_value_not_allowed';
    end if;
    if v_status not in ('rejected', 'failed') then
        if v_at > v_received + interval '5 minutes' then
            v_reason := 'clock_skew';
        elsif v_at < (select h.spans_from + interval '1 hour' from tickets.horizon h) then
            v_reason := 'beyond_retention';
        else
            begin
                v_offers := tickets.read_offers(p_batch);
                v_reason := case when v_status = 'unchanged' and v_offers is null then null
                                 else tickets.fault_of(e, v_offers, p_meta) end;
            exception when data_exception then
                v_reason := 'malformed_listing';
            end;
        end if;
        v_status := case when v_reason is null then v_status else 'rejected' end;
    end if;
    v_rows := case when v_status = 'rejected'
                   then (select count(*) from stage.rows r where r.batch_id = p_batch and r.line > 0)
                   else coalesce(cardinality(v_offers), 0) end;
    if v_status not in ('rejected', 'failed') then
        v_hash := coalesce(v_hash, (
            select md5(coalesce(string_agg(concat_ws(',', o.listing, o.base, o.aip, o.qty, o.splits), ';'
                                           order by o.listing), '')) from unnest(v_offers) as o));
        v_seq := tickets.number_of(concat_ws(chr(31), e.source, v_hash));
        v_result := tickets.accept_poll(e, v_at, v_seq, v_hash, v_offers, v_status = 'unchanged' and v_rows = 0);
        v_status := v_result ->> 'status';
    else
        v_seq := tickets.number_of(concat_ws(chr(31), e.source, v_hash, v_status, v_reason));
        v_result := jsonb_build_object('status', v_status, 'reason', v_reason, 'n_listings', v_rows);
    end if;
    v_result := v_result || jsonb_build_object('source', coalesce(p_meta ->> 'source', e.source), 'body_hash', v_hash);
    if not (v_result ? 'duplicate') then
        if not tickets.record_poll(e.id, v_at, v_seq, p_run, p_meta, v_result) then
            v_result := v_result || '{"duplicate": true}';
        end if;
    end if;
    return jsonb_build_object('upserted', 0, 'unchanged', 0, 'ended', 0,
                              'rejected', case when v_status = 'rejected' then v_rows else 0 end)
        || (v_result - 'source' - 'body_hash');
end $$;
comment on function tickets.promote_poll is
    'Apply one poll: its normalised listings are in stage.rows under p_batch, p_meta says what was asked, when and with '
    'what outcome. Returns counts, the status it was recorded with and the reason. The same poll again changes nothing. '
    'A poll that must not be believed is recorded as rejected and changes no price. Raises when the event is unknown.';

create function tickets.accept_poll(p_event public.events, p_at timestamptz, p_seq bigint, p_hash text,
                                    p_offers tickets.offer[], p_same boolean) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_before public.polls;
    v_after public.polls;
    v_tie public.polls;
    v_like public.polls;
    v_counts jsonb := '{}';
    v_facts jsonb;
    v_low timestamptz;
begin
    if exists (select from public.polls p where p.event_id = p_event.id and p.observed_at = p_at and p.seq = p_seq) then
        return jsonb_build_object('duplicate', true, 'status', 'unchanged', 'unchanged', cardinality(p_offers));
    end if;
    select * into v_before from public.polls p
    where p.event_id = p_event.id and p.observed_at < p_at and p.status in ('accepted', 'unchanged')
    order by p.observed_at desc limit 1;
    select * into v_after from public.polls p
    where p.event_id = p_event.id and p.observed_at > p_at and p.status in ('accepted', 'unchanged')
    order by p.observed_at limit 1;
    select * into v_tie from public.polls p
    where p.event_id = p_event.id and p.observed_at = p_at and p.status in ('accepted', 'unchanged');
    v_low := coalesce(v_before.observed_at, p_at);
    perform tickets.unseal(p_event.id, v_low - interval '1 hour');

    if p_same and v_before.body_hash is distinct from p_hash then
        select * into v_like from public.polls p
        where p.event_id = p_event.id and p.observed_at < p_at and p.body_hash = p_hash
          and p.status in ('accepted', 'unchanged')
        order by p.observed_at desc limit 1;
        if not found then
            return jsonb_build_object('status', 'failed', 'reason', 'unchanged_from_unknown');
        end if;
        perform tickets.unseal(p_event.id, v_like.observed_at);
    end if;
    if p_same and (v_like.event_id is not null or v_after.event_id is not null or v_tie.event_id is not null) then
        p_offers := tickets.offers_at(p_event.id, coalesce(v_like.observed_at, v_before.observed_at));
    end if;

    v_facts := case
        when p_same and p_offers is null and v_before.event_id is not null then jsonb_build_object(
            'n_listings', v_before.n_listings, 'n_tickets', v_before.n_tickets, 'get_in', v_before.get_in)
        else (select jsonb_build_object('n_listings', count(*), 'n_tickets', coalesce(sum(o.qty), 0), 'get_in', min(o.aip))
              from unnest(p_offers) as o)
    end;
    if v_tie.event_id is not null or v_after.event_id is not null then
        perform tickets.unpack(p_event.id, p_at);
    end if;
    if v_tie.seq > p_seq then
        return v_facts || '{"status": "rejected", "reason": "superseded"}';
    elsif v_tie.event_id is not null then
        perform tickets.take_back(p_event, p_at, v_after.observed_at);
        update public.polls p set status = 'rejected', reason = 'superseded'
        where p.event_id = p_event.id and p.observed_at = p_at and p.seq = v_tie.seq;
    end if;

    if v_after.event_id is not null then
        perform tickets.apply_between(p_event, v_before.observed_at, p_at, v_after.observed_at, p_offers);
        update public.polls p set status = x.status
        from (select case when v_after.body_hash = p_hash then 'unchanged' else 'accepted' end as status) x
        where p.event_id = p_event.id and p.observed_at = v_after.observed_at and p.seq = v_after.seq
          and p.status <> x.status;
        v_counts := jsonb_build_object('upserted', cardinality(p_offers), 'late', true);
    elsif v_before.body_hash = p_hash and v_tie.event_id is null then
        v_counts := jsonb_build_object('unchanged', v_before.n_listings);
        update public.event_latest l set observed_at = p_at, seq = p_seq where l.event_id = p_event.id;
        update public.events x set last_scraped = p_at where x.id = p_event.id;
    else
        v_counts := tickets.apply_in_order(p_event, p_at, p_offers);
        perform tickets.set_latest(p_event, p_at, p_seq, p_offers);
    end if;
    perform tickets.mark_dirty(p_event.id, p_event.tz, array[
        v_before.observed_at,
        least(v_after.observed_at, v_before.observed_at + interval '30 minutes') - interval '1 millisecond',
        p_at,
        least(v_after.observed_at, p_at + interval '30 minutes') - interval '1 millisecond',
        v_after.observed_at]);
    perform tickets.note_freeze(p_event);
    return v_facts || v_counts || jsonb_build_object(
        'status', case when v_before.body_hash = p_hash then 'unchanged' else 'accepted' end);
end $$;
comment on function tickets.accept_poll is
    'A poll with a complete set of listings; p_same: the upstream said "as the body with this hash" and sent none.';

revoke all on function tickets.mark_dirty(bigint, text, timestamptz[]),
    tickets.record_poll(bigint, timestamptz, bigint, bigint, jsonb, jsonb),
    tickets.set_latest(public.events, timestamptz, bigint, tickets.offer[]), tickets.note_freeze(public.events),
    tickets.promote_poll(bigint, bigint, jsonb),
    tickets.accept_poll(public.events, timestamptz, bigint, text, tickets.offer[], boolean) from public;
grant execute on function tickets.mark_dirty(bigint, text, timestamptz[]),
    tickets.record_poll(bigint, timestamptz, bigint, bigint, jsonb, jsonb),
    tickets.set_latest(public.events, timestamptz, bigint, tickets.offer[]), tickets.note_freeze(public.events),
    tickets.promote_poll(bigint, bigint, jsonb),
    tickets.accept_poll(public.events, timestamptz, bigint, text, tickets.offer[], boolean) to service_role;
