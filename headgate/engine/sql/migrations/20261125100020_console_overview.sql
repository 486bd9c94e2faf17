-- The overview in one answer, and what administrators may do to jobs and the timetable.
create function console_private.overview() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_hour constant timestamptz := date_trunc('hour', now());
begin
  perform console_private.require_admin();
  return jsonb_build_object(
    'at', clock_timestamp(),
    'database', jsonb_build_object('version', current_setting('server_version'), 'name', current_database(),
      'bytes', pg_catalog.pg_database_size(current_database()), 'started_at', pg_catalog.pg_postmaster_start_time(),
      'connections', (select count(*) from pg_catalog.pg_stat_activity where datname = current_database()),
      'max_connections', current_setting('max_connections')::int),
    'jobs', (select coalesce(jsonb_object_agg(x.state, x.n), '{}') from (
      select j.state, count(*) as n from control.jobs j
       where j.state in ('scheduled', 'ready', 'running', 'failed') group by 1
      union all
      select 'done_1h', count(*) from control.jobs j
       where j.state in ('succeeded', 'cancelled', 'failed') and j.finished_at > now() - interval '1 hour') x),
    'workers', (select coalesce(jsonb_agg(jsonb_build_object('id', w.id, 'name', w.name, 'running', w.running,
        'concurrency', w.concurrency, 'heartbeat_at', w.heartbeat_at, 'alive', w.lease_until > clock_timestamp())
        order by w.id), '[]')
      from control.workers w where w.stopped_at is null and w.lease_until > clock_timestamp() - interval '1 hour'),
    'sources', (select coalesce(jsonb_agg(to_jsonb(s) order by s.app, s.source), '[]') from (
      select c.app, c.source, max(c.updated_at) as updated_at, count(*) as keys, max(d.done) as runs_24h,
             max(d.failed) as failed_24h, max(d.seen) as rows_24h, max(d.rejected) as rejected_24h
        from control.cursors c left join lateral (
          select count(*) as done, count(*) filter (where r.state in ('failed', 'abandoned')) as failed,
                 sum(r.seen) as seen, sum(r.rejected) as rejected
            from control.runs r where r.source = c.source and r.finished_at > now() - interval '24 hours') d on true
       group by c.app, c.source) s),
    'hours', (select jsonb_agg(jsonb_build_object('at', h.at, 'rows', coalesce(d.seen, 0), 'runs', coalesce(d.runs, 0),
        'failed', coalesce(d.failed, 0)) order by h.at)
      from generate_series(v_hour - interval '23 hours', v_hour, interval '1 hour') h(at)
      left join (select date_trunc('hour', r.finished_at) as at, sum(r.seen) as seen, count(*) as runs,
                        count(*) filter (where r.state in ('failed', 'abandoned')) as failed
                   from control.runs r where r.finished_at >= v_hour - interval '23 hours' group by 1) d on d.at = h.at),
    'running', (select coalesce(jsonb_agg(to_jsonb(x) order by x.id desc), '[]') from (
      select r.id, r.app, r.source, r.key, r.seen, r.expected, r.rate, r.rejected, r.started_at, r.heartbeat_at,
             case when r.rate > 0 and r.expected > r.seen then (r.expected - r.seen) / r.rate end as eta_s
        from control.runs r where r.state = 'running' order by r.id desc limit 20) x),
    'problems', (select coalesce(jsonb_agg(to_jsonb(x) order by x.at desc), '[]') from (
      (select 'job' as what, j.id, j.kind as subject, coalesce(j.error_code || ': ', '') || coalesce(j.error, '') as message,
              j.finished_at as at from control.jobs j where j.state = 'failed' order by j.id desc limit 8)
      union all
      (select 'check', f.run_id, f.check_name, f.message, f.at from control.findings f order by f.id desc limit 4)
      union all
      (select 'hold', h.run_id, h.source, h.rows || ' rows wait for a decision', h.created_at
         from control.holds h where h.state = 'waiting' order by h.id desc limit 4)
      union all
      (select 'host', 0, h.host, 'circuit breaker ' || replace(h.breaker, '_', ' ') || coalesce(': ' || h.last_error, ''),
              coalesce(h.last_bad_at, now()) from control.hosts h where h.breaker <> 'closed' limit 4)) x));
end
$$;
comment on function console_private.overview is 'Health, freshness, running work and problems as one object; administrators only.';

create function console.overview() returns jsonb language sql stable set search_path = ''
as $$ select console_private.overview() $$;
comment on function console.overview is 'Health, freshness, running work and problems as one object; administrators only.';

create function console_private.act_on_job(p_job bigint, p_action text) returns text
language plpgsql security definer set search_path = '' as $$
declare
  v_state text;
begin
  perform console_private.require_admin();
  if p_action = 'retry' then
    v_state := control.retry_job(p_job);
  elsif p_action = 'cancel' then
    v_state := control.cancel_job(p_job);
  else
    raise invalid_parameter_value using message = 'A job can be retried or cancelled';
  end if;
  if v_state is null then
    raise exception using errcode = 'PT404', message = 'There is no job ' || p_job;
  end if;
  perform console_private.record(p_action || ' job', p_job::text, jsonb_build_object('state', v_state));
  return v_state;
end
$$;
comment on function console_private.act_on_job is 'Retries or cancels a job; gives its state.';
create function console.act_on_job(job bigint, action text) returns text language sql set search_path = ''
as $$ select console_private.act_on_job(job, action) $$;
comment on function console.act_on_job is 'Retries or cancels a job; gives its state. Administrators only.';

create function console_private.switch_schedule(p_name text, p_enabled boolean) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  perform console_private.require_admin();
  update control.schedules s set enabled = p_enabled where s.name = p_name;
  if not found then
    raise exception using errcode = 'PT404', message = 'There is no schedule ' || p_name;
  end if;
  perform console_private.record(case when p_enabled then 'start schedule' else 'stop schedule' end, p_name);
  return p_enabled;
end
$$;
comment on function console_private.switch_schedule is 'Starts or stops a line of the timetable.';
create function console.switch_schedule(name text, enabled boolean) returns boolean language sql set search_path = ''
as $$ select console_private.switch_schedule(name, enabled) $$;
comment on function console.switch_schedule is 'Starts or stops a line of the timetable. Administrators only.';

revoke all on function console_private.overview, console.overview, console_private.act_on_job, console.act_on_job,
  console_private.switch_schedule, console.switch_schedule from public;
grant execute on function console_private.overview, console.overview, console_private.act_on_job, console.act_on_job,
  console_private.switch_schedule, console.switch_schedule to authenticated, service_role;
