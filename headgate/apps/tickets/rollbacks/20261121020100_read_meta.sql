drop function public.trend_meta(numeric[]);
drop function public.events_meta(bigint[]);
drop function public.event_meta(bigint, timestamptz, timestamptz);
drop function tickets.covered_s(bigint, timestamptz, timestamptz);
drop function tickets.percent(numeric, numeric);
drop function tickets.major(integer);
drop function tickets.major(bigint);
