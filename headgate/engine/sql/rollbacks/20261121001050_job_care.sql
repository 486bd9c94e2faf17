drop function control.purge_jobs;
drop function control.retry_job;
drop function control.cancel_job;
drop function control.stop_worker;
drop function control.recover_jobs;
