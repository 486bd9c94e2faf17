-- Jobs, and the lanes that limit them. `attempt` is the fencing token: it only ever grows.
create table control.jobs (
  id           bigint generated always as identity primary key,
  queue        text collate "C" not null default 'default',
  lane         text collate "C" not null default '',
  state        text collate "C" not null default 'ready'
               check (state in ('scheduled', 'ready', 'running', 'succeeded', 'cancelled', 'failed')),
  priority     integer not null default 0,
  run_at       timestamptz not null default clock_timestamp(),
  attempt      integer not null default 0,
  excused      integer not null default 0,
  max_attempts integer not null default 10 check (max_attempts > 0),
  worker       bigint,
  cancelling   boolean not null default false,
  kind         text collate "C" not null,
  key          text collate "C",
  unique_key   text collate "C",
  args         jsonb not null default '{}',
  result       jsonb,
  error_code   text,
  error        text,
  owner        uuid,
  created_at   timestamptz not null default clock_timestamp(),
  started_at   timestamptz,
  finished_at  timestamptz
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 1);

create index jobs_ready on control.jobs (queue, lane, priority desc, run_at, id) where state = 'ready';
create index jobs_scheduled on control.jobs (queue, run_at) where state = 'scheduled';
create index jobs_running on control.jobs (worker, key) where state = 'running';
create index jobs_finished on control.jobs (finished_at) where state in ('succeeded', 'cancelled', 'failed');
create index jobs_failed on control.jobs (id) where state = 'failed';
create index jobs_owner on control.jobs (owner, id) where owner is not null;
create unique index jobs_unique on control.jobs (kind, unique_key)
  where unique_key is not null and state in ('scheduled', 'ready', 'running');

comment on table control.jobs is 'One row per piece of work, from enqueue until it is purged.';
comment on column control.jobs.lane is 'The key, when control.lanes limits it; else empty: the free lane. Kept by the functions.';
comment on column control.jobs.state is
  'scheduled: waits for run_at. ready: may be claimed. running: claimed. succeeded, cancelled, failed: finished.';
comment on column control.jobs.priority is 'Higher runs first.';
comment on column control.jobs.attempt is 'How often the job was claimed; the fencing token of the present claim. Never falls.';
comment on column control.jobs.excused is 'Attempts that do not count against max_attempts: snoozes, releases, retries by command.';
comment on column control.jobs.worker is 'control.workers.id of the claimer, while running.';
comment on column control.jobs.cancelling is 'Somebody asked to cancel the job while it ran.';
comment on column control.jobs.key is 'What the job works on, such as a host; limits of control.lanes apply to it.';
comment on column control.jobs.unique_key is 'At most one job of this kind and unique_key is scheduled, ready or running.';
comment on column control.jobs.error is 'The last error, redacted.';
comment on column control.jobs.owner is 'The user (auth.uid()) who may read this row.';

create table control.lanes (
  key         text collate "C" primary key check (key <> ''),
  max_running integer check (max_running >= 0),
  per_second  double precision check (per_second > 0),
  burst       integer not null default 1 check (burst > 0),
  full_at     timestamptz not null default '-infinity',
  updated_at  timestamptz not null default clock_timestamp()
);
comment on table control.lanes is 'Limits of one key, shared by all workers and counted on the database''s clock.';
comment on column control.lanes.max_running is 'Jobs of this key running at a time; 0 stops the lane; null means no limit.';
comment on column control.lanes.per_second is 'Starts a second on average; null means no limit.';
comment on column control.lanes.burst is 'Starts that may come at once after a pause.';
comment on column control.lanes.full_at is 'When the bucket of starts is full again (generic cell rate algorithm).';

create table control.queues (
  queue  text collate "C" primary key,
  cursor text collate "C" not null default ''
);
comment on table control.queues is 'Where the walk over a queue''s ready lanes goes on, when there are more than one claim visits.';

alter table control.jobs enable row level security;
alter table control.lanes enable row level security;
alter table control.queues enable row level security;
create policy jobs_service on control.jobs for select to service_role using (true);
create policy jobs_own on control.jobs for select to authenticated using (owner = (select auth.uid()));
create policy lanes_service on control.lanes for select to service_role using (true);
create policy queues_service on control.queues for select to service_role using (true);
revoke all on control.jobs, control.lanes, control.queues from public, anon, authenticated, service_role;
grant select on control.jobs to authenticated, service_role;
grant select on control.lanes, control.queues to service_role;
