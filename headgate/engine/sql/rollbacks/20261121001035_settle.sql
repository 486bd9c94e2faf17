drop function control.settle_owned;
drop function control.settle_jobs;
drop function control.settle_job;
drop function control.backoff_s;
drop function control.fence_job;
