drop function control.work;
drop function control.claim_jobs;
drop function control.open_lanes;
drop function control.ready_lanes;
