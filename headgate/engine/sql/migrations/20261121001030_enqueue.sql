-- Enqueueing: a plain INSERT, so it joins the caller's transaction, and a wake-up that is sent when that commits.
create function control.enqueue_job(
  p_kind text, p_args jsonb, p_queue text default 'default', p_key text default null, p_unique text default null,
  p_priority integer default 0, p_run_at timestamptz default null, p_max_attempts integer default 10,
  p_owner uuid default null
) returns bigint language plpgsql security definer set search_path = '' as $$
declare
  v_id bigint;
begin
  insert into control.jobs (kind, args, queue, key, lane, unique_key, priority, run_at, state, max_attempts, owner)
  values (p_kind, coalesce(p_args, '{}'), p_queue, p_key,
          case when p_key is null then ''
               else coalesce((select l.key from control.lanes l where l.key = p_key), '') end,
          p_unique, p_priority, coalesce(p_run_at, clock_timestamp()),
          case when p_run_at > clock_timestamp() then 'scheduled' else 'ready' end, p_max_attempts, p_owner)
  on conflict (kind, unique_key) where unique_key is not null and state in ('scheduled', 'ready', 'running')
  do nothing
  returning id into v_id;
  if v_id is not null then
    perform pg_notify('headgate_jobs', p_queue);
  end if;
  return v_id;
end
$$;
comment on function control.enqueue_job is
  'Adds a job; null when a job of the same kind and unique key is scheduled, ready or running.';

create function control.enqueue_jobs(p_jobs jsonb) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp();
  v_count integer;
begin
  insert into control.jobs (kind, args, queue, key, lane, unique_key, priority, run_at, state, max_attempts, owner)
  select j.kind, coalesce(j.args, '{}'), coalesce(j.queue, 'default'), j.key,
         case when j.key is null then ''
              else coalesce((select l.key from control.lanes l where l.key = j.key), '') end, j.unique_key,
         coalesce(j.priority, 0), coalesce(j.run_at, v_now),
         case when j.run_at > v_now then 'scheduled' else 'ready' end, coalesce(j.max_attempts, 10), j.owner
    from jsonb_to_recordset(p_jobs) as j(kind text, args jsonb, queue text, key text, unique_key text,
           priority integer, run_at timestamptz, max_attempts integer, owner uuid)
  on conflict (kind, unique_key) where unique_key is not null and state in ('scheduled', 'ready', 'running')
  do nothing;
  get diagnostics v_count = row_count;
  perform pg_notify('headgate_jobs', q.queue)
     from (select distinct coalesce(j.queue, 'default') as queue
             from jsonb_to_recordset(p_jobs) as j(queue text)) q
    where v_count > 0;
  return v_count;
end
$$;
comment on function control.enqueue_jobs is 'Adds many jobs at once; gives how many were added (unique ones may be there already).';

-- A new limit moves the key's waiting jobs into its lane; a lifted one moves them back. Jobs that are being enqueued
-- meanwhile are moved by the claim that meets them.
create function control.set_lane(
  p_key text, p_max_running integer default null, p_per_second double precision default null, p_burst integer default null
) returns void language plpgsql security definer set search_path = '' set enable_seqscan = off as $$
declare
  v_lane text := p_key;
begin
  if p_max_running is null and p_per_second is null then
    delete from control.lanes where key = p_key;
    v_lane := '';
  else
    update control.lanes
       set max_running = p_max_running, per_second = p_per_second, burst = coalesce(p_burst, 1),
           full_at = '-infinity', updated_at = clock_timestamp()
     where key = p_key
       and (max_running, per_second, burst) is distinct from (p_max_running, p_per_second, coalesce(p_burst, 1));
    if exists (select from control.lanes where key = p_key) then
      return;
    end if;
    insert into control.lanes (key, max_running, per_second, burst)
    values (p_key, p_max_running, p_per_second, coalesce(p_burst, 1)) on conflict (key) do nothing;
  end if;
  update control.jobs set lane = v_lane where state = 'ready' and key = p_key and lane <> v_lane;
  update control.jobs set lane = v_lane where state = 'scheduled' and key = p_key and lane <> v_lane;
  perform pg_notify('headgate_jobs', '');
end
$$;
comment on function control.set_lane is 'Limits a key for all workers, or lifts its limits when both are null.';

revoke all on function control.enqueue_job, control.enqueue_jobs, control.set_lane from public;
grant execute on function control.enqueue_job, control.enqueue_jobs, control.set_lane to service_role;
