drop function control.set_host(text, double precision, integer, double precision);
drop function control.take_host_token(text, double precision, double precision, integer);
drop function control.host_allowance(control.hosts);
drop function control.host_gap(control.hosts);
