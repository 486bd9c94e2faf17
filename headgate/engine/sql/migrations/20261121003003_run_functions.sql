-- How a run begins, shows that it lives, stages a page and ends. Promotion itself is in the next file.

create function control.run_notify(p_run bigint) returns void
language sql set search_path = '' as $$
    select pg_catalog.pg_notify('headgate_runs', pg_catalog.json_build_object(
        'id', id, 'source', source, 'key', key, 'state', state, 'pages', pages, 'seen', seen,
        'expected', expected, 'upserted', upserted, 'rejected', rejected)::text)
    from control.runs where id = p_run
$$;
comment on function control.run_notify is 'Tells listeners on headgate_runs how far a run is, when this transaction commits.';

-- The next fence of (source, key); whoever held the previous one can promote nothing more.
create function control.run_start(
    p_app text, p_source text, p_key text, p_args jsonb, p_owner uuid, p_job bigint, p_attempt int)
returns table (run_id bigint, fence bigint, cursor_value jsonb, batch_id bigint)
language plpgsql set search_path = '' as $$
begin
    run_id := nextval('control.runs_id_seq');
    batch_id := nextval('control.run_steps_id_seq');
    insert into control.cursors as c (source, key, app, fence, run_id)
    values (p_source, p_key, p_app, 1, run_start.run_id)
    on conflict (source, key) do update set fence = c.fence + 1, run_id = excluded.run_id, updated_at = now()
    returning c.fence, c.value into run_start.fence, run_start.cursor_value;
    perform control.run_discard_stage(r.id) from control.runs r
    where r.source = p_source and r.key = p_key and r.state = 'running';
    update control.runs r set state = 'superseded', finished_at = now(),
        error = jsonb_build_object('code', 'HG301', 'message', format('Run %s took over.', run_start.run_id))
    where r.source = p_source and r.key = p_key and r.state = 'running';
    insert into control.runs (id, app, source, key, owner, args, fence, job_id, attempt, cursor_from, cursor_to)
    values (run_start.run_id, p_app, p_source, p_key, p_owner, p_args, run_start.fence, p_job, p_attempt,
            run_start.cursor_value, run_start.cursor_value);
    perform control.run_notify(run_start.run_id);
    return next;
end $$;
comment on function control.run_start is 'Opens a run of (source, key), takes its fence, supersedes an older running one.';

create function control.run_discard_stage(p_run bigint) returns void
language plpgsql set search_path = '' as $$
begin
    delete from stage.rows s using control.run_steps b
    where b.run_id = p_run and b.state in ('staged', 'promoted') and s.batch_id = b.id;
    delete from control.rejects j using control.run_steps b
    where b.run_id = p_run and b.state = 'staged' and j.batch_id = b.id;
    update control.run_steps set state = 'discarded' where run_id = p_run and state = 'staged';
end $$;
comment on function control.run_discard_stage is 'Throws away what a run staged and did not promote.';

-- False: the run is no longer the one that may work.
create function control.run_beat(p_run bigint) returns boolean
language sql set search_path = '' as $$
    with beat as (
        update control.runs set heartbeat_at = pg_catalog.clock_timestamp()
        where id = p_run and state = 'running' returning 1)
    select exists (select from beat)
$$;
comment on function control.run_beat is 'Shows that a run lives; false when it may no longer work.';

create function control.step_staged(
    p_batch bigint, p_run bigint, p_number int, p_name text, p_seen bigint, p_staged bigint,
    p_rejected bigint, p_bytes bigint, p_meta jsonb, p_next jsonb)
returns void language sql set search_path = '' as $$
    select set_config('synchronous_commit', 'off', true);
    insert into control.run_steps
        (id, run_id, number, name, state, seen, staged, rejected, bytes, meta, cursor_next)
    values (p_batch, p_run, p_number, p_name, 'staged', p_seen, p_staged, p_rejected, p_bytes, p_meta, p_next)
$$;
comment on function control.step_staged is
    'Records that a batch is staged whole, in the transaction that copied it; losing that in a crash loses nothing.';

create function control.step_lost(p_batch bigint) returns bigint
language sql set search_path = '' as $$
    delete from stage.rows where batch_id = p_batch;
    delete from control.rejects where batch_id = p_batch;
    delete from control.run_steps where id = p_batch and state = 'staged';
    select nextval('control.run_steps_id_seq')
$$;
comment on function control.step_lost is 'Forgets a batch that a crash emptied; returns the id of the batch to stage instead.';

-- Ends a run that did not end with its last page. Returns false when it had ended already.
create function control.run_end(p_run bigint, p_state text, p_error jsonb) returns boolean
language plpgsql set search_path = '' as $$
declare
    v_source text;
    v_key text;
begin
    select source, key into v_source, v_key from control.runs where id = p_run;
    perform 1 from control.cursors where source = v_source and key = v_key for update;
    perform control.run_discard_stage(p_run);
    update control.runs
    set state = p_state, error = p_error, finished_at = now(), heartbeat_at = now()
    where id = p_run and state = 'running';
    if not found then
        return false;
    end if;
    perform control.run_notify(p_run);
    return true;
end $$;
comment on function control.run_end is 'Ends a running run in p_state and throws away what it staged and did not promote.';

-- A run whose process died keeps no promise; its job, if any, is retried by the queue.
create function control.abandon_runs(p_older interval) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_ended bigint;
begin
    with old as materialized (
        select id from control.runs
        where state = 'running' and heartbeat_at < clock_timestamp() - p_older
        order by id)
    select count(*) into v_ended from old
    where control.run_end(old.id, 'abandoned',
        '{"code": "HG302", "message": "The process of this run stopped without a word."}');
    perform control.clear_stage();
    return v_ended;
end $$;
comment on function control.abandon_runs is 'Ends runs that have not shown life for p_older; returns how many.';

-- What a process staged for a run that had ended by then. A batch of a running run is never touched.
create function control.clear_stage() returns bigint
language sql set search_path = '' as $$
    with orphan as materialized (
        select distinct s.batch_id from stage.rows s
        where not exists (
            select from control.run_steps b join control.runs r on r.id = b.run_id
            where b.id = s.batch_id and r.state = 'running')
    ), steps as (
        update control.run_steps b set state = 'discarded' from orphan o where b.id = o.batch_id and b.state = 'staged'
    ), gone as (
        delete from stage.rows s using orphan o where s.batch_id = o.batch_id returning 1)
    select count(*) from gone
$$;
comment on function control.clear_stage is 'Deletes staged rows that no running run will promote; returns how many.';

create function control.prune_runs(p_keep interval) returns bigint
language sql set search_path = '' as $$
    with gone as (
        delete from control.runs r
        where r.finished_at < pg_catalog.now() - p_keep
          and not exists (select from control.run_steps b where b.run_id = r.id and b.state = 'held')
        returning 1)
    select count(*) from gone
$$;
comment on function control.prune_runs is 'Deletes finished runs, their steps and rejects older than p_keep, except held ones.';
