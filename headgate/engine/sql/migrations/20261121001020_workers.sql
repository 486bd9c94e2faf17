-- Who works: one row per worker process. A job's lease is its worker's lease.
create table control.workers (
  id           bigint generated always as identity primary key,
  name         text not null,
  queues       text[] not null,
  concurrency  integer not null,
  running      integer not null default 0,
  started_at   timestamptz not null default clock_timestamp(),
  heartbeat_at timestamptz not null default clock_timestamp(),
  lease_until  timestamptz not null,
  stopped_at   timestamptz
);
comment on table control.workers is 'Worker processes and their leases; status reads it.';
comment on column control.workers.running is 'Jobs running at the last heartbeat.';
comment on column control.workers.lease_until is 'After this moment the worker''s running jobs are given to others.';
alter table control.workers enable row level security;
create policy workers_service on control.workers for select to service_role using (true);
revoke all on control.workers from public, anon, authenticated, service_role;
grant select on control.workers to service_role;

create function control.start_worker(p_name text, p_queues text[], p_concurrency integer, p_lease_s double precision)
returns bigint language sql set search_path = '' as $$
  insert into control.workers (name, queues, concurrency, lease_until)
  values (p_name, p_queues, p_concurrency, clock_timestamp() + make_interval(secs => p_lease_s))
  returning id
$$;
comment on function control.start_worker is 'Registers a worker process and gives its id; its lease lasts p_lease_s seconds.';

-- One round trip: renews the lease and says which jobs the worker still owns and which of them to cancel.
create function control.beat_worker(
  p_worker bigint, p_running integer, p_lease_s double precision, out alive boolean, out jobs json
) language plpgsql set search_path = '' set enable_seqscan = off as $$
begin
  update control.workers w
     set heartbeat_at = clock_timestamp(), running = p_running,
         lease_until = clock_timestamp() + make_interval(secs => p_lease_s)
   where w.id = p_worker and w.stopped_at is null;
  alive := found;
  select coalesce(json_agg(json_build_array(j.id, j.attempt, j.cancelling)), '[]') into jobs
    from control.jobs j where j.worker = p_worker and j.state = 'running';
end
$$;
comment on function control.beat_worker is 'Renews a worker''s lease; alive: the worker is registered; jobs: [id, attempt, cancelling] of what it owns.';
revoke all on function control.start_worker, control.beat_worker from public;
