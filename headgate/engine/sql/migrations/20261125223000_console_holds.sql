-- Held batches in the console: administrators look at the rows, then discard them or have a worker release them.
-- A release runs the application's own promote, so it is a job; the hold remembers which.
alter table control.holds add column release_job bigint;
comment on column control.holds.release_job is 'The job that releases, or last tried to release, this batch.';

create policy held_rows_admin on control.held_rows for select to authenticated
  using ((select console_private.is_admin()));
grant select on control.held_rows to authenticated;

create or replace view console.holds with (security_invoker = true) as
  select h.id, h.run_id, h.app, h.source, h.key, h.check_name, h.rows, h.state, h.created_at, h.decided_at, h.decided_by,
         h.release_job, j.state as release_state, j.error_code as release_error_code, j.error as release_error
    from control.holds h left join control.jobs j on j.id = h.release_job;
comment on view console.holds is 'Batches that wait for a person, or did; release_*: the job that releases one.';
create view console.held_rows with (security_invoker = true) as
  select r.hold_id, r.line, r.doc from control.held_rows r;
comment on view console.held_rows is 'The rows of batches that wait for a decision, as they were staged.';
revoke all on console.held_rows from public, anon;
grant select on console.held_rows to authenticated, service_role;

-- The row of the hold is locked, so of two administrators the second one gets the first one's answer. A release that is
-- under way and a discard meet in control.hold_decide: whoever commits first decides, the other changes nothing.
create function console_private.act_on_hold(p_hold bigint, p_action text) returns text
language plpgsql security definer set search_path = '' as $$
declare
  v_by constant text := coalesce(auth.email(), auth.uid()::text, 'service_role');
  v_done text := case p_action when 'release' then 'released' when 'discard' then 'discarded' end;
  v_hold control.holds;
  v_job bigint;
begin
  perform console_private.require_admin();
  if v_done is null then
    raise invalid_parameter_value using message = 'A held batch can be released or discarded';
  end if;
  select * into v_hold from control.holds h where h.id = p_hold for update;
  if not found then
    raise exception using errcode = 'PT404', message = 'There is no held batch ' || p_hold;
  end if;
  if v_hold.state = v_done then
    return v_done;
  end if;
  if v_hold.state <> 'waiting' then
    raise exception using errcode = 'HG505', message = format('The batch was %s already', v_hold.state),
      hint = format('%s decided.', coalesce(v_hold.decided_by, 'Somebody else'));
  end if;
  select j.id into v_job from control.jobs j
   where j.id = v_hold.release_job and j.state in ('scheduled', 'ready', 'running');
  if p_action = 'discard' then
    perform control.hold_decide(p_hold, 'discarded', v_by);
    perform control.cancel_job(v_job) where v_job is not null;
  elsif v_job is not null then
    return 'releasing';
  else
    v_job := control.enqueue_job('engine.release_hold', jsonb_build_object('hold', p_hold, 'by', v_by),
      p_unique => 'hold ' || p_hold, p_priority => 5, p_max_attempts => 3);
    update control.holds h set release_job = coalesce(v_job, h.release_job) where h.id = p_hold;
    v_done := 'releasing';
  end if;
  perform console_private.record(p_action || ' held batch', p_hold::text, jsonb_build_object('source', v_hold.source,
    'key', v_hold.key, 'run', v_hold.run_id, 'rows', v_hold.rows, 'job', v_job));
  return v_done;
end
$$;
comment on function console_private.act_on_hold is 'Discards a held batch (discarded), or has a worker release it (releasing, then released).';
create function console.act_on_hold(hold bigint, action text) returns text language sql set search_path = ''
as $$ select console_private.act_on_hold(hold, action) $$;
comment on function console.act_on_hold is 'Discards a held batch, or has a worker release it; gives discarded, releasing or released. Administrators only.';
revoke all on function console_private.act_on_hold, console.act_on_hold from public;
grant execute on function console_private.act_on_hold, console.act_on_hold to authenticated, service_role;
