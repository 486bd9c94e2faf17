-- Back to what PostgreSQL grants by itself.
grant execute on function control.abandon_runs, control.apply_batch, control.apply_merge, control.apply_range, control.backfill_adopt,
  control.backfill_settle, control.backfill_take, control.cast_problem, control.clear_stage, control.hold_batch,
  control.hold_decide, control.hold_restage, control.json_problem, control.nothing_missing,
  control.plus, control.reject_lines, control.promote_begin, control.promote_finish, control.prune_runs, control.record_drift,
  control.run_beat, control.run_discard_stage, control.run_end, control.run_notify, control.run_start,
  control.step_lost, control.step_staged, control.sweep, control.text_array to public;
revoke execute on function control.abandon_runs, control.apply_batch, control.apply_merge, control.apply_range, control.backfill_adopt,
  control.backfill_settle, control.backfill_take, control.cast_problem, control.clear_stage, control.hold_batch,
  control.hold_decide, control.hold_restage, control.json_problem, control.nothing_missing,
  control.plus, control.reject_lines, control.promote_begin, control.promote_finish, control.prune_runs, control.record_drift,
  control.run_beat, control.run_discard_stage, control.run_end, control.run_notify, control.run_start,
  control.step_lost, control.step_staged, control.sweep, control.text_array from service_role;
