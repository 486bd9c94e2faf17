-- Settling under the fence: only the claim that still owns the job (same worker, same attempt, running) may end it.
-- The fence's SQLSTATE is HG301. `starts_with(state, ...)` instead of `=` where a job is found by its id: no partial index
-- is then considered, so a plan made while the table was empty cannot walk through all running jobs.

-- Locks the job's row until the transaction ends, so that nobody can recover the job under it. A worker that freezes
-- inside such a transaction loses its connection after p_idle_s, and with it the lock.
create function control.fence_job(p_job bigint, p_worker bigint, p_attempt integer, p_idle_s double precision)
returns void language plpgsql set search_path = '' as $$
begin
  perform from control.jobs j
    where j.id = p_job and starts_with(j.state, 'running') and j.worker = p_worker and j.attempt = p_attempt
    for no key update;
  if not found then
    raise exception 'job % is no longer owned by attempt % of worker %', p_job, p_attempt, p_worker
      using errcode = 'HG301', hint = 'The job was recovered, cancelled or settled meanwhile; nothing was written.';
  end if;
  perform set_config('idle_in_transaction_session_timeout', ceil(p_idle_s * 1000)::text, true);
end
$$;
comment on function control.fence_job is 'Holds the job for this transaction, or raises HG301 when the claim is stale.';

create function control.backoff_s(p_tries integer) returns double precision
language sql volatile set search_path = '' as $$
  select least(3600, 2 ^ least(p_tries, 12)) * (0.75 + random() / 2)
$$;
comment on function control.backoff_s is 'Seconds until the next try after p_tries failed ones: 2, 4, 8 ... at most 3600, each ±25%.';

-- p_outcome: succeeded, cancelled, failed (for good), retried (with backoff, until max_attempts, or after p_delay_s),
-- snoozed (again after p_delay_s; the attempt does not count), released (again at once; does not count).
-- Gives the state that the job is in now.
create function control.settle_job(
  p_job bigint, p_worker bigint, p_attempt integer, p_outcome text, p_delay_s double precision default null,
  p_code text default null, p_error text default null, p_result jsonb default null
) returns text language plpgsql set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp();
  v_state text;
begin
  update control.jobs j
     set (state, run_at, excused) = (
           select s.state, case when s.state = 'scheduled' then v_now + make_interval(secs => s.delay_s) else j.run_at end,
                  j.excused + case when p_outcome in ('snoozed', 'released') then 1 else 0 end
             from (select case
                     when p_outcome in ('succeeded', 'cancelled', 'failed') then p_outcome
                     when j.cancelling then 'cancelled'
                     when p_outcome = 'released' then 'ready'
                     when p_outcome = 'snoozed' then 'scheduled'
                     when p_outcome = 'retried' and j.attempt - j.excused < j.max_attempts then 'scheduled'
                     when p_outcome = 'retried' then 'failed'
                   end as state,
                   greatest(0, coalesce(p_delay_s, control.backoff_s(j.attempt - j.excused))) as delay_s) s),
         worker = null, cancelling = false, result = p_result,
         error_code = p_code, error = p_error, finished_at = v_now
   where j.id = p_job and starts_with(j.state, 'running') and j.worker = p_worker and j.attempt = p_attempt
  returning j.state into v_state;
  if not found then
    raise exception 'job % is no longer owned by attempt % of worker %', p_job, p_attempt, p_worker
      using errcode = 'HG301', hint = 'The job was recovered, cancelled or settled meanwhile; nothing was written.';
  end if;
  return v_state;
end
$$;
comment on function control.settle_job is 'Ends one claim with an outcome, in the caller''s transaction, or raises HG301.';

-- Jobs whose handlers returned. Stale claims are passed over: their owners have changed.
create function control.settle_jobs(p_worker bigint, p_ids bigint[], p_attempts integer[]) returns integer
language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
  v_count integer;
begin
  update control.jobs j
     set state = case when j.cancelling then 'cancelled' else 'succeeded' end, worker = null, cancelling = false,
         error_code = null, error = null, finished_at = clock_timestamp()
    from unnest(p_ids, p_attempts) as d(id, attempt)
   where j.id = d.id and j.attempt = d.attempt and j.worker = p_worker and starts_with(j.state, 'running');
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function control.settle_jobs is 'Marks returned jobs succeeded (cancelled, where that was asked); gives how many were still owned.';

-- Jobs that finish in this transaction together with what they wrote: all of them, or HG301 and none.
create function control.settle_owned(p_worker bigint, p_ids bigint[], p_attempts integer[], p_results jsonb) returns void
language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
  v_count integer;
begin
  update control.jobs j
     set state = 'succeeded', worker = null, cancelling = false, error_code = null, error = null,
         result = nullif(p_results -> (d.n - 1)::integer, 'null'), finished_at = clock_timestamp()
    from unnest(p_ids, p_attempts) with ordinality as d(id, attempt, n)
   where j.id = d.id and j.attempt = d.attempt and j.worker = p_worker and starts_with(j.state, 'running');
  get diagnostics v_count = row_count;
  if v_count <> cardinality(p_ids) then
    raise exception '% of % jobs are no longer owned by worker %', cardinality(p_ids) - v_count, cardinality(p_ids), p_worker
      using errcode = 'HG301', hint = 'The jobs were recovered, cancelled or settled meanwhile; nothing was written.';
  end if;
end
$$;
comment on function control.settle_owned is 'Marks jobs succeeded with their results, all or none; HG301 when one is stale.';

revoke all on function control.fence_job, control.backoff_s, control.settle_job, control.settle_jobs,
  control.settle_owned from public;
