drop function control.set_lane;
drop function control.enqueue_jobs;
drop function control.enqueue_job;
