drop function control.return_attempt(bytea, integer, double precision);
drop function control.take_attempt(bytea, integer, double precision);
drop table control.auth_attempts;
