drop function control.return_quota(text, integer, timestamptz);
drop function control.take_quota(text, integer, bigint);
drop table control.quotas;
