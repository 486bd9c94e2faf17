drop function control.set_crawl_delay(text, double precision);
drop function control.report_host(
  text, text, integer, double precision, double precision, boolean, bigint, bigint, text);
drop function control.next_delay(control.hosts, integer, double precision, boolean);
drop function control.faded(double precision, double precision);
