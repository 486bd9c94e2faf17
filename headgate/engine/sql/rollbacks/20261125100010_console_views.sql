drop view console.audit, console.drift, console.hosts, console.schedules, console.workers, console.jobs, console.holds,
  console.findings, console.rejects, console.run_steps, console.runs;
do $$
declare
  v_table text;
begin
  foreach v_table in array array['cursors', 'runs', 'run_steps', 'rejects', 'findings', 'holds', 'jobs', 'workers',
                                 'lanes', 'schedules', 'hosts', 'drift', 'fields'] loop
    execute format('drop policy %I on control.%I', v_table || '_admin', v_table);
  end loop;
  foreach v_table in array array['cursors', 'holds', 'workers', 'lanes', 'schedules', 'hosts', 'drift', 'fields'] loop
    execute format('revoke select on control.%I from authenticated', v_table);
  end loop;
end
$$;
