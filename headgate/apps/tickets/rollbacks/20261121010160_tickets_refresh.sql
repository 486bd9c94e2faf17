drop function tickets.refresh_day(bigint, date);
drop function tickets.day_rows(bigint, date, text, text);
drop function tickets.day_start(date, text);
drop function tickets.merge(public.rollup_hours[]);
drop function tickets.sketch_quantile(smallint[], bigint[], double precision);
drop function tickets.merge_sketches(smallint[], bigint[], smallint[], bigint[]);
drop function tickets.hours(bigint, timestamptz, timestamptz, text, text);
drop function tickets.refresh_hour(bigint, timestamptz);
