-- What keeps the queue well: recovery, release, cancellation, retry by command, retention.

-- Running jobs whose worker has no lease any more are given back, or fail when their attempts are used up.
-- A job that is locked by a transaction of its own is left for the next call.
create function control.recover_jobs() returns integer
language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_now timestamptz := clock_timestamp();
  v_count integer := 0;
begin
  with recursive holder (worker) as (
    (select j.worker from control.jobs j where j.state = 'running' order by j.worker limit 1)
    union all
    select (select j.worker from control.jobs j where j.state = 'running' and j.worker > h.worker
             order by j.worker limit 1)
      from holder h where h.worker is not null
  ), lost as (
    select h.worker from holder h
     where h.worker is not null
       and not exists (select from control.workers w
                        where w.id = h.worker and w.lease_until > v_now and w.stopped_at is null)
  ), held as (
    select j.id from control.jobs j
     where j.state = 'running' and j.worker in (select l.worker from lost l)
     limit 1000 for update skip locked
  ), freed as (
    update control.jobs j
       set state = case when j.cancelling then 'cancelled'
                        when j.attempt - j.excused >= j.max_attempts then 'failed' else 'ready' end,
           worker = null, cancelling = false, error_code = 'HG302', finished_at = v_now,
           error = 'The worker stopped answering while the job ran.'
      from held h where j.id = h.id
    returning j.queue
  ), told as (
    select pg_notify('headgate_jobs', f.queue), f.n from (select queue, count(*) as n from freed group by queue) f
  )
  select coalesce(sum(told.n), 0) from told into v_count;
  return v_count;
end
$$;
comment on function control.recover_jobs is 'Gives back the running jobs of workers without a lease; gives how many.';

-- A worker that stops gives back what it has not finished; the attempt does not count.
create function control.stop_worker(p_worker bigint) returns integer
language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
  v_count integer;
begin
  with freed as (
    update control.jobs j
       set state = case when j.cancelling then 'cancelled' else 'ready' end, worker = null, cancelling = false,
           excused = j.excused + 1, finished_at = clock_timestamp()
     where j.state = 'running' and j.worker = p_worker
    returning j.queue
  ), told as (
    select pg_notify('headgate_jobs', f.queue), f.n from (select queue, count(*) as n from freed group by queue) f
  )
  select coalesce(sum(told.n), 0) from told into v_count;
  update control.workers w
     set stopped_at = clock_timestamp(), running = 0, lease_until = least(w.lease_until, clock_timestamp())
   where w.id = p_worker and w.stopped_at is null;
  return v_count;
end
$$;
comment on function control.stop_worker is 'Ends a worker''s lease and releases its jobs; gives how many.';

create function control.cancel_job(p_job bigint) returns text
language plpgsql security definer set search_path = '' as $$
declare
  v_state text;
  v_worker bigint;
begin
  update control.jobs j
     set state = case when j.state = 'running' then 'running' else 'cancelled' end,
         cancelling = (j.state = 'running'),
         finished_at = case when j.state = 'running' then null else clock_timestamp() end
   where j.id = p_job and j.state in ('scheduled', 'ready', 'running')
  returning case when j.state = 'running' then 'cancelling' else j.state end, j.worker into v_state, v_worker;
  if v_worker is not null then
    perform pg_notify('headgate_cancel', v_worker || ':' || p_job);
  end if;
  return coalesce(v_state, (select j.state from control.jobs j where j.id = p_job));
end
$$;
comment on function control.cancel_job is
  'Cancels a waiting job, asks a running one to stop (answer: cancelling), leaves a finished one; null: no such job.';

create function control.retry_job(p_job bigint) returns text
language plpgsql security definer set search_path = '' as $$
declare
  v_state text;
  v_queue text;
begin
  update control.jobs j
     set state = 'ready', run_at = clock_timestamp(), excused = j.attempt, finished_at = null,
         lane = case when j.key is null then ''
                     else coalesce((select l.key from control.lanes l where l.key = j.key), '') end
   where j.id = p_job and j.state in ('failed', 'cancelled', 'scheduled')
  returning j.state, j.queue into v_state, v_queue;
  if found then
    perform pg_notify('headgate_jobs', v_queue);
  end if;
  return coalesce(v_state, (select j.state from control.jobs j where j.id = p_job));
end
$$;
comment on function control.retry_job is
  'Makes a failed, cancelled or scheduled job ready at once with all its attempts; gives its state, null: no such job.';

create function control.purge_jobs(p_finished interval, p_failed interval, p_limit integer default 5000) returns integer
language plpgsql security definer set search_path = '' set enable_seqscan = off as $$
declare
  v_count integer;
begin
  delete from control.jobs j
   where j.id in (
     select d.id from control.jobs d
      where d.state in ('succeeded', 'cancelled', 'failed') and d.finished_at < clock_timestamp() - p_finished
        and (d.state <> 'failed' or d.finished_at < clock_timestamp() - p_failed)
      order by d.finished_at limit p_limit for update skip locked);
  get diagnostics v_count = row_count;
  delete from control.workers w
   where coalesce(w.stopped_at, w.lease_until) < clock_timestamp() - greatest(p_finished, interval '1 day')
     and not exists (select from control.jobs j where j.worker = w.id and j.state = 'running');
  return v_count;
end
$$;
comment on function control.purge_jobs is
  'Deletes up to p_limit jobs that succeeded or were cancelled longer than p_finished ago, or failed longer than p_failed ago.';

revoke all on function control.recover_jobs, control.stop_worker, control.cancel_job, control.retry_job,
  control.purge_jobs from public;
grant execute on function control.cancel_job, control.retry_job, control.purge_jobs to service_role;
