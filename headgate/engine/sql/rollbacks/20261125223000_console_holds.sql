drop function console.act_on_hold;
drop function console_private.act_on_hold;
drop view console.held_rows;
drop view console.holds;
create view console.holds with (security_invoker = true) as
  select h.id, h.run_id, h.app, h.source, h.key, h.check_name, h.rows, h.state, h.created_at, h.decided_at, h.decided_by
    from control.holds h;
comment on view console.holds is 'Batches that wait for a person, or did.';
revoke all on console.holds from public, anon;
grant select on console.holds to authenticated, service_role;
revoke select on control.held_rows from authenticated;
drop policy held_rows_admin on control.held_rows;
alter table control.holds drop column release_job;
