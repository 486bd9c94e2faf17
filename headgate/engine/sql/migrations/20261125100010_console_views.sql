-- The engine's ledger as the console reads it: administrators see all of it, users the runs and jobs that are theirs.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['cursors', 'runs', 'run_steps', 'rejects', 'findings', 'holds', 'jobs', 'workers',
                                 'lanes', 'schedules', 'hosts', 'drift', 'fields'] loop
    execute format('create policy %I on control.%I for select to authenticated using ((select console_private.is_admin()))',
                   v_table || '_admin', v_table);
    execute format('grant select on control.%I to authenticated', v_table);
  end loop;
end
$$;

create view console.runs with (security_invoker = true) as
  select r.id, r.app, r.source, r.key, r.state, r.args, r.job_id, r.attempt, r.pages, r.seen, r.expected, r.upserted,
         r.unchanged, r.stale, r.rejected, r.deleted, r.held, r.rate, r.error, r.started_at, r.heartbeat_at,
         r.progress_at, r.finished_at,
         case when r.state = 'running' and r.rate > 0 and r.expected > r.seen then (r.expected - r.seen) / r.rate end as eta_s
    from control.runs r;
comment on view console.runs is 'Runs with their progress; eta_s: seconds left at the present rate.';
create view console.run_steps with (security_invoker = true) as
  select s.id, s.run_id, s.number, s.name, s.state, s.seen, s.staged, s.rejected, s.upserted, s.unchanged, s.stale,
         s.deleted, s.bytes, s.staged_at, s.promoted_at
    from control.run_steps s;
comment on view console.run_steps is 'The pages of runs.';
create view console.rejects with (security_invoker = true) as
  select j.id, j.run_id, j.line, j.reason, j.raw, j.raw_bytes, j.at from control.rejects j;
comment on view console.rejects is 'Rows that were not promoted, and why.';
create view console.findings with (security_invoker = true) as
  select f.id, f.run_id, r.source, f.check_name, f.action, f.message, f.finding, f.at
    from control.findings f join control.runs r on r.id = f.run_id;
comment on view console.findings is 'What data-quality checks found.';
create view console.holds with (security_invoker = true) as
  select h.id, h.run_id, h.app, h.source, h.key, h.check_name, h.rows, h.state, h.created_at, h.decided_at, h.decided_by
    from control.holds h;
comment on view console.holds is 'Batches that wait for a person, or did.';
create view console.jobs with (security_invoker = true) as
  select j.id, j.queue, j.kind, j.key, j.state, j.priority, j.run_at, j.attempt, j.excused, j.max_attempts, j.worker,
         j.cancelling, j.args, j.result, j.error_code, j.error, j.created_at, j.started_at, j.finished_at
    from control.jobs j;
comment on view console.jobs is 'The queue.';
create view console.workers with (security_invoker = true) as
  select w.id, w.name, w.queues, w.concurrency, w.running, w.started_at, w.heartbeat_at, w.lease_until, w.stopped_at
    from control.workers w;
comment on view console.workers is 'Worker processes.';
create view console.schedules with (security_invoker = true) as
  select s.name, s.owner_app, s.kind, s.cron, s.every_s, s.timezone, s.enabled, s.next_at, s.last_at, s.skipped
    from control.schedules s;
comment on view console.schedules is 'The timetable.';
create view console.hosts with (security_invoker = true) as
  select h.host, h.rate_per_s, h.breaker, h.open_until, h.not_before, h.requests, h.ok, h.bad, h.throttled, h.bytes,
         h.last_status, h.last_latency_s, h.last_ok_at, h.last_bad_at, h.last_error
    from control.hosts h;
comment on view console.hosts is 'Upstream hosts: limits, breakers, counts.';
create view console.drift with (security_invoker = true) as
  select d.id, d.source, d.path, d.kind, d.type, d.run_id, d.at from control.drift d;
comment on view console.drift is 'Changes of the fields that sources send.';
create view console.audit with (security_invoker = true) as
  select a.id, a.at, a.actor, a.address, a.action, a.subject, a.detail from console_private.audit a;
comment on view console.audit is 'What administrators did through the console.';

revoke all on console.runs, console.run_steps, console.rejects, console.findings, console.holds, console.jobs,
  console.workers, console.schedules, console.hosts, console.drift, console.audit from public, anon;
grant select on console.runs, console.run_steps, console.rejects, console.findings, console.holds, console.jobs,
  console.workers, console.schedules, console.hosts, console.drift, console.audit to authenticated, service_role;
