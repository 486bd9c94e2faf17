-- Promotion: fence, apply, cursor and progress of one batch; each function is one statement of the transaction.

-- Works on PostgreSQL 15 too, which has no pg_input_is_valid. The body of the newer branch is only looked up there.
create function control.cast_problem(p_value text, p_type text) returns text
language plpgsql stable set search_path = 'public' as $$
declare
    v_problem text;
begin
    if p_value is null then
        return null;
    end if;
    if current_setting('server_version_num')::int >= 160000 then
        execute 'select message from pg_catalog.pg_input_error_info($1, $2)' into v_problem using p_value, p_type;
        return v_problem;
    end if;
    execute format('select cast($1 as %s)', p_type) using p_value;
    return null;
exception when data_exception or datatype_mismatch then
    return sqlerrm;
end $$;
comment on function control.cast_problem is 'Why p_value is no value of p_type; null when it is one.';

create function control.json_problem(p_raw text) returns text
language plpgsql immutable set search_path = '' as $$
declare
    v_kind text;
begin
    v_kind := jsonb_typeof(p_raw::jsonb);
    return case when v_kind <> 'object' then format('not a JSON object but %s', v_kind) end;
exception when others then
    return 'not JSON: ' || sqlerrm;
end $$;
comment on function control.json_problem is 'Why a line cannot be staged; null when it can.';

create function control.text_array(p_value jsonb) returns text[]
language sql immutable as $$
    select case coalesce(jsonb_typeof(p_value), 'null')
        when 'array' then array(select jsonb_array_elements_text(p_value))
        when 'null' then null
        else array[p_value #>> '{}'] end
$$;
comment on function control.text_array is 'A JSON array as text[]; a scalar as an array of one.';

-- First of the transaction: nobody else may promote for this (source, key) until it ends.
create function control.promote_begin(p_run bigint, p_fence bigint, p_batch bigint) returns void
language plpgsql set search_path = '' as $$
declare
    v_run control.runs;
    v_cursor control.cursors;
    v_step control.run_steps;
    v_staged bigint;
begin
    -- A frozen process must not keep the next run waiting for this cursor: the server ends its transaction.
    perform set_config('TimeZone', 'UTC', true), set_config('work_mem', '64MB', true),
        set_config('idle_in_transaction_session_timeout', '10s', true);
    select * into v_run from control.runs where id = p_run;
    select * into v_cursor from control.cursors where source = v_run.source and key = v_run.key for update;
    select * into v_run from control.runs where id = p_run for no key update;
    if v_run.id is null or v_cursor.fence <> p_fence or v_cursor.run_id <> p_run or v_run.state <> 'running' then
        raise exception using errcode = 'HG301', message = format(
            'Run %s (fence %s) may not promote: %s.', p_run, p_fence,
            case when v_run.state <> 'running' then 'it is ' || v_run.state
                 else format('run %s holds fence %s', v_cursor.run_id, v_cursor.fence) end);
    end if;
    select * into v_step from control.run_steps where id = p_batch;
    if v_step.run_id is distinct from p_run or v_step.state <> 'staged' or v_step.number <> v_run.pages + 1 then
        raise exception using errcode = 'HG502', message = format(
            'Batch %s cannot be promoted as page %s of run %s: %s.', p_batch, v_run.pages + 1, p_run,
            coalesce(format('it is page %s and %s', v_step.number, v_step.state), 'it was never staged'));
    end if;
    select count(*) into v_staged from stage.rows where batch_id = p_batch and line > 0;
    if v_staged <> v_step.staged then
        raise exception using errcode = 'HG503', message = format(
            'Batch %s has %s of its %s staged rows; PostgreSQL crashed since. Stage it again.',
            p_batch, v_staged, v_step.staged);
    end if;
end $$;
comment on function control.promote_begin is
    'Fence: HG301 unless this run may promote this batch now, HG503 if its staged rows are not all there.';

create function control.plus(p_a jsonb, p_b jsonb) returns jsonb
language sql immutable set search_path = '' as $$
    select coalesce(jsonb_object_agg(k, coalesce((p_a ->> k)::bigint, 0) + coalesce((p_b ->> k)::bigint, 0)), '{}')
    from (select jsonb_object_keys(coalesce(p_a, '{}')) union select jsonb_object_keys(coalesce(p_b, '{}'))) u (k)
$$;
comment on function control.plus is 'Two objects of counts, added by key.';

create function control.nothing_missing(p_counts jsonb) returns void
language plpgsql immutable set search_path = '' as $$
begin
    if (p_counts ->> 'missing')::bigint > 0 then
        raise null_value_not_allowed using message = 'a required column is missing';
    end if;
end $$;
comment on function control.nothing_missing is 'Raises 22004 when a row lacked a required column.';

-- A statement over lines lo..hi ($1 batch, $2 run, $3 lo, $4 hi). Where it fails for the data's sake, halves find the
-- rows at fault: "bad" in the answer, with PostgreSQL's own words. The others are applied in the order of the lines.
create function control.apply_range(p_apply text, p_run bigint, p_batch bigint, p_lo bigint, p_hi bigint) returns jsonb
language plpgsql set search_path = 'public' as $$
declare
    v_counts jsonb;
    v_right jsonb;
    v_reason text;
    v_mid bigint;
    v_first bigint;
    v_last bigint;
begin
    begin
        execute p_apply into v_counts using p_batch, p_run, p_lo, p_hi;
        perform control.nothing_missing(v_counts);
        return v_counts || '{"bad": []}';
    exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
        v_reason := sqlerrm;
    end;
    select min(line), max(line) into v_first, v_last
    from stage.rows where batch_id = p_batch and line between p_lo and p_hi;
    if v_first = v_last then
        return jsonb_build_object('bad', jsonb_build_array(jsonb_build_object('line', v_first, 'reason', v_reason)));
    end if;
    v_mid := v_first + (v_last - v_first) / 2;
    v_counts := control.apply_range(p_apply, p_run, p_batch, v_first, v_mid);
    v_right := control.apply_range(p_apply, p_run, p_batch, v_mid + 1, v_last);
    return control.plus(v_counts - 'bad', v_right - 'bad')
        || jsonb_build_object('bad', (v_counts -> 'bad') || (v_right -> 'bad'));
end $$;
comment on function control.apply_range is 'Applies lines lo..hi and names those that cannot be applied.';

create function control.reject_lines(p_run bigint, p_batch bigint, p_bad jsonb) returns bigint
language sql set search_path = '' as $$
    with bad as materialized (
        select b.line, b.reason, s.doc::text as raw
        from jsonb_to_recordset(p_bad) b (line bigint, reason text)
        join stage.rows s on s.batch_id = p_batch and s.line = b.line
    ), kept as (
        insert into control.rejects (run_id, batch_id, line, reason, raw, raw_bytes)
        select p_run, p_batch, line, left(reason, 500), left(raw, 4096), octet_length(raw) from bad order by line
        limit greatest(1000 - (select count(*) from control.rejects where batch_id = p_batch), 0)
    ), marked as (
        update stage.rows s set line = -s.line from bad b where s.batch_id = p_batch and s.line = b.line returning 1)
    select count(*) from marked
$$;
comment on function control.reject_lines is 'Rejects lines of a batch, [{line, reason}]; returns how many.';

-- Only when the newest row of a key was not written is it worth a second look why.
create function control.apply_merge(p_merge text, p_count text, p_batch bigint) returns jsonb
language plpgsql set search_path = 'public' as $$
declare
    v_counts jsonb;
    v_rest jsonb;
    v_written bigint;
    v_staged bigint;
    c_all constant bigint := 9223372036854775807;
begin
    execute p_merge into v_counts using p_batch, null::bigint, 1::bigint, c_all;
    v_written := (v_counts ->> 'upserted')::bigint;
    select count(*) into v_staged from stage.rows where batch_id = p_batch and line > 0;
    if v_written = (v_counts ->> 'keys')::bigint then
        return v_counts - 'keys' || jsonb_build_object('stale', v_staged - v_written, 'unchanged', 0);
    end if;
    execute p_count into v_rest using p_batch, null::bigint, 1::bigint, c_all;
    return v_counts - 'keys' || jsonb_build_object(
        'stale', v_rest -> 'stale', 'missing', v_rest -> 'missing',
        'unchanged', (v_rest ->> 'current')::bigint - v_written);
end $$;
comment on function control.apply_merge is 'Applies a batch by one MERGE; the counts of a composed statement.';

-- The fast path is one statement over the whole batch. A unique violation may be a neighbour that inserted the same
-- key a moment ago: a second try sees its row. Only then are rows doubted: first all casts at once, then by halves,
-- which is undone; without the rows at fault the batch is applied whole, so that history has one version per key.
create function control.apply_batch(
    p_apply text, p_validate text, p_merge text, p_count text, p_run bigint, p_batch bigint) returns jsonb
language plpgsql set search_path = 'public' as $$
declare
    v_counts jsonb;
    v_probe jsonb;
    v_rejected bigint := 0;
    c_all constant bigint := 9223372036854775807;
begin
    for attempt in 1..4 loop
        begin
            if p_merge is not null and attempt = 1 then
                v_counts := control.apply_merge(p_merge, p_count, p_batch);
            else
                execute p_apply into v_counts using p_batch, p_run, 1::bigint, c_all;
            end if;
            perform control.nothing_missing(v_counts);
            return v_counts || jsonb_build_object('rejected', v_rejected);
        exception
            when unique_violation then null;
            when data_exception or integrity_constraint_violation or program_limit_exceeded then
                exit when attempt > 1;
                execute p_validate into v_rejected using p_batch, p_run;
                exit when v_rejected = 0;
        end;
    end loop;
    begin
        v_probe := control.apply_range(p_apply, p_run, p_batch, 1, c_all);
        raise exception using errcode = 'HG500';
    exception when sqlstate 'HG500' then
        v_rejected := v_rejected + control.reject_lines(p_run, p_batch, v_probe -> 'bad');
    end;
    -- Rows that only clash with one another are applied in turn after all.
    v_probe := control.apply_range(p_apply, p_run, p_batch, 1, c_all);
    v_rejected := v_rejected + control.reject_lines(p_run, p_batch, v_probe -> 'bad');
    return (v_probe - 'bad') || jsonb_build_object('rejected', v_rejected);
end $$;
comment on function control.apply_batch is 'Applies a batch by a composed statement; bad rows are rejected, never the batch.';

-- After the last page of a full snapshot: what no page had is deleted. Refuses when pages were lost in a crash or when
-- more than p_share of the living rows would go; does nothing when malformed lines leave the truth unknown.
create function control.sweep(p_sweep text, p_run bigint, p_batch bigint, p_share double precision) returns jsonb
language plpgsql set search_path = 'public' as $$
declare
    v_staged bigint;
    v_there bigint;
    v_malformed bigint;
    v_counts jsonb;
begin
    select sum(staged), sum(seen - staged) into v_staged, v_malformed
    from control.run_steps where run_id = p_run and state in ('staged', 'promoted');
    select count(*) into v_there
    from stage.rows s join control.run_steps b on b.id = s.batch_id where b.run_id = p_run;
    if v_there <> v_staged then
        raise exception using errcode = 'HG506', message = format(
            'Run %s has %s of the %s rows of its snapshot left in staging; PostgreSQL crashed since. Run it again.',
            p_run, v_there, v_staged);
    end if;
    if v_malformed > 0 then
        insert into control.findings (run_id, batch_id, check_name, action, message, finding)
        values (p_run, p_batch, 'snapshot_incomplete', 'warn', 'malformed lines: nothing was deleted',
                jsonb_build_object('malformed', v_malformed));
        return '{"deleted": 0}';
    end if;
    execute p_sweep into v_counts using p_batch, p_run;
    if (v_counts ->> 'deleted')::double precision > p_share * (v_counts ->> 'alive')::double precision then
        raise exception using errcode = 'HG507', message = format(
            'The snapshot of run %s would delete %s of %s rows, more than the source allows (%s).',
            p_run, v_counts ->> 'deleted', v_counts ->> 'alive', p_share);
    end if;
    return v_counts - 'alive';
end $$;
comment on function control.sweep is 'Deletes what a full snapshot lacks, within bounds.';

-- Last of the transaction: the step, the cursor and the run's progress. Returns the totals and the next batch id.
create function control.promote_finish(
    p_run bigint, p_batch bigint, p_counts jsonb, p_expected bigint, p_last boolean, p_keep_stage boolean)
returns table (next_batch bigint, totals jsonb)
language plpgsql set search_path = '' as $$
declare
    v_step control.run_steps;
    v_run control.runs;
    v_elapsed double precision;
    v_keep double precision;
begin
    update control.run_steps set state = 'promoted', promoted_at = clock_timestamp(), result = p_counts,
        upserted = coalesce((p_counts ->> 'upserted')::bigint, 0),
        unchanged = coalesce((p_counts ->> 'unchanged')::bigint, 0),
        stale = coalesce((p_counts ->> 'stale')::bigint, 0),
        deleted = coalesce((p_counts ->> 'deleted')::bigint, 0),
        rejected = rejected + coalesce((p_counts ->> 'rejected')::bigint, 0)
    where id = p_batch returning * into v_step;
    update control.cursors c set value = coalesce(v_step.cursor_next, c.value), updated_at = now()
    from control.runs r where r.id = p_run and c.source = r.source and c.key = r.key;
    select * into v_run from control.runs where id = p_run;
    v_elapsed := greatest(extract(epoch from clock_timestamp() - v_run.progress_at), 0.000001);
    v_keep := power(0.5, v_elapsed / 30.0);
    update control.runs set
        pages = pages + 1, seen = seen + v_step.seen, expected = coalesce(p_expected, expected),
        upserted = upserted + v_step.upserted, unchanged = unchanged + v_step.unchanged,
        stale = stale + v_step.stale, rejected = rejected + v_step.rejected, deleted = deleted + v_step.deleted,
        rate = case when rate is null then v_step.seen / v_elapsed
                    else v_keep * rate + (1 - v_keep) * v_step.seen / v_elapsed end,
        cursor_to = coalesce(v_step.cursor_next, cursor_to),
        progress_at = clock_timestamp(), heartbeat_at = clock_timestamp(),
        state = case when p_last then 'succeeded' else state end,
        finished_at = case when p_last then clock_timestamp() end
    where id = p_run returning * into v_run;
    if p_last then
        delete from stage.rows s using control.run_steps b where b.run_id = p_run and s.batch_id = b.id;
    elsif not p_keep_stage then
        delete from stage.rows where batch_id = p_batch;
    end if;
    perform control.run_notify(p_run);
    next_batch := nextval('control.run_steps_id_seq');
    totals := jsonb_build_object('run_id', v_run.id, 'state', v_run.state, 'seen', v_run.seen,
        'upserted', v_run.upserted, 'unchanged', v_run.unchanged, 'stale', v_run.stale, 'rejected', v_run.rejected,
        'deleted', v_run.deleted, 'held', v_run.held, 'pages', v_run.pages, 'cursor', v_run.cursor_to);
    return next;
end $$;
comment on function control.promote_finish is 'Cursor, step and run progress of a promoted batch; ends the run when it was the last.';
