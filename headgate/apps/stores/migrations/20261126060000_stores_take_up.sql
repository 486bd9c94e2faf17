-- An unfinished sync always has a job: what lost its own is taken up again, at once and once.
create function stores.take_up(p_connection bigint default null, p_delay_s double precision default 0) returns integer
language plpgsql set search_path = '' as $$
declare
    c_live constant text[] := array['scheduled', 'ready', 'running'];
    v_count integer := 0;
    v_found record;
    v_operation stores.bulk_operations;
    v_key text;
    v_kind text;
begin
    for v_found in
        select b.id, 'stores:' || c.shop_domain as lane
        from stores.bulk_operations b
        join stores.connections c on c.id = b.connection_id and c.state in ('connected', 'error')
        where b.finished_at is null and (p_connection is null or b.connection_id = p_connection)
        order by b.id
    loop
        -- Whoever moves an operation on holds its row while it hands it from one job to the next, so that the look for a
        -- job below (a statement of its own, with a snapshot of its own) misses none. Whose row is held has a job.
        select * into v_operation from stores.bulk_operations b
        where b.id = v_found.id and b.finished_at is null for update skip locked;
        continue when not found;
        -- An operation is asked for again under a number of its own, which its jobs have in their unique key.
        continue when exists (
            select from control.jobs j
            where j.state = any (c_live)
              and j.kind in ('stores.bulk_orders', 'stores.bulk_customers', 'stores.bulk_products', 'stores.poll_bulk',
                             'stores.ingest')
              and j.unique_key = any (array(select v_operation.id || ':' || n
                                            from generate_series(0, v_operation.attempts + 1) n)));
        v_key := v_operation.id || ':' || v_operation.attempts;
        v_kind := case when v_operation.gid is null then 'stores.bulk_' || v_operation.entity
                       when v_operation.state in ('downloading', 'staged', 'verified', 'promoted') then 'stores.ingest'
                       else 'stores.poll_bulk' end;
        if control.enqueue_job(v_kind, jsonb_build_object('operation_id', v_operation.id), p_key => v_found.lane,
                               p_unique => v_key, p_priority => 10,
                               p_run_at => case when v_operation.gid is null and p_delay_s > 0
                                                then clock_timestamp() + make_interval(secs => p_delay_s) end) is not null
        then
            v_count := v_count + 1;
        end if;
    end loop;
    for v_found in
        select r.id, r.connection_id, 'stores:' || c.shop_domain as lane
        from stores.sync_runs r
        join stores.connections c on c.id = r.connection_id and c.state in ('connected', 'error')
        where r.state = 'running' and r.kind = 'full' and (p_connection is null or r.connection_id = p_connection)
        order by r.id
    loop
        perform from stores.sync_runs r where r.id = v_found.id and r.state = 'running' for no key update skip locked;
        continue when not found
            or exists (select from stores.bulk_operations b where b.run_id = v_found.id and b.finished_at is null)
            or exists (select from control.jobs j
                       where j.state = any (c_live) and j.kind in ('stores.refund_details', 'stores.reconcile')
                         and j.unique_key = v_found.connection_id::text);
        if control.enqueue_job('stores.refund_details',
                               jsonb_build_object('connection_id', v_found.connection_id, 'run_id', v_found.id),
                               p_key => v_found.lane, p_unique => v_found.connection_id::text, p_priority => 5) is not null
        then
            perform stores.move_milestone(v_found.connection_id, 'reconciled', 'in_progress');
            v_count := v_count + 1;
        end if;
    end loop;
    return v_count;
end $$;
comment on function stores.take_up is
    'Adds the job that each open bulk operation, and each run whose operations have ended, lacks; of one live connection, '
    'or of all. p_delay_s: for operations that Shopify does not have yet. Gives how many jobs; none where one is already.';

revoke execute on function stores.take_up(bigint, double precision) from public;
