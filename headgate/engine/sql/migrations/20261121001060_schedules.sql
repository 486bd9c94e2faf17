-- The timetable. Cron expressions are read by the engine; the database keeps the next tick and fires each once.
create table control.schedules (
  name       text collate "C" primary key,
  owner_app  text not null default '',
  kind       text not null,
  args       jsonb not null default '{}',
  queue      text not null default 'default',
  key        text,
  priority   integer not null default 0,
  cron       text,
  every_s    double precision check (every_s > 0),
  timezone   text not null default 'UTC',
  enabled    boolean not null default true,
  next_at    timestamptz not null,
  last_at    timestamptz,
  last_job   bigint,
  skipped    bigint not null default 0,
  check ((cron is null) <> (every_s is null))
);
create index schedules_due on control.schedules (next_at) where enabled;
comment on table control.schedules is 'What to enqueue when; any worker ticks, each tick is fired once.';
comment on column control.schedules.owner_app is 'The application that declares the schedule; its others are removed when it syncs.';
comment on column control.schedules.last_job is 'The job of the last tick; null when the one before was still waiting or running.';
comment on column control.schedules.skipped is 'Ticks that added no job because the one before was still waiting or running.';
alter table control.schedules enable row level security;
create policy schedules_service on control.schedules for select to service_role using (true);
revoke all on control.schedules from public, anon, authenticated, service_role;
grant select on control.schedules to service_role;

-- Compare and swap: fires only if the tick p_due is still the next one, so each tick is fired once however many ask.
-- At most one job of a schedule waits or runs.
create function control.fire_schedule(p_name text, p_due timestamptz, p_next timestamptz)
returns boolean language plpgsql set search_path = '' as $$
declare
  v_schedule control.schedules;
  v_job bigint;
begin
  update control.schedules s set next_at = p_next, last_at = p_due
   where s.name = p_name and s.enabled and s.next_at = p_due and p_due <= clock_timestamp()
  returning s.* into v_schedule;
  if not found then
    return false;
  end if;
  v_job := control.enqueue_job(v_schedule.kind, v_schedule.args, v_schedule.queue, v_schedule.key,
                               'schedule:' || p_name, v_schedule.priority, p_due);
  update control.schedules s set last_job = v_job, skipped = s.skipped + case when v_job is null then 1 else 0 end
   where s.name = p_name;
  return true;
end
$$;
comment on function control.fire_schedule is 'Enqueues the tick p_due and moves on to p_next; false when it was fired already.';

create function control.put_schedule(p_schedule jsonb, p_next timestamptz) returns void
language plpgsql set search_path = '' as $$
begin
  insert into control.schedules as s (name, owner_app, kind, args, queue, key, priority, cron, every_s, timezone, next_at)
  select n.name, n.owner_app, n.kind, n.args, n.queue, n.key, n.priority, n.cron, n.every_s, n.timezone, p_next
    from jsonb_to_record(p_schedule) as n(name text, owner_app text, kind text, args jsonb, queue text, key text,
           priority integer, cron text, every_s double precision, timezone text)
  on conflict (name) do update
     set owner_app = excluded.owner_app, kind = excluded.kind, args = excluded.args, queue = excluded.queue,
         key = excluded.key, priority = excluded.priority, cron = excluded.cron, every_s = excluded.every_s,
         timezone = excluded.timezone,
         next_at = case when (s.cron, s.every_s, s.timezone) is distinct from
                             (excluded.cron, excluded.every_s, excluded.timezone)
                        then excluded.next_at else s.next_at end;
end
$$;
comment on function control.put_schedule is 'Adds or changes a schedule; the next tick moves only when its times changed.';

create function control.drop_schedules(p_owner_app text, p_keep text[]) returns integer
language plpgsql set search_path = '' as $$
declare
  v_count integer;
begin
  delete from control.schedules s where s.owner_app = p_owner_app and s.name <> all (p_keep);
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
comment on function control.drop_schedules is 'Removes an application''s schedules that are not in p_keep; gives how many.';
revoke all on function control.fire_schedule, control.put_schedule, control.drop_schedules from public;
