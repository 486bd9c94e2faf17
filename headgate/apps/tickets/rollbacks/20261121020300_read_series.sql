drop function public.event_percentiles(bigint, text, timestamptz, timestamptz);
drop function public.event_polls(bigint, timestamptz, integer);
drop function public.get_ticket_counts(bigint, text, timestamptz, timestamptz, text);
drop function public.get_group_prices(bigint, text, timestamptz, timestamptz, text, integer);
drop function public.get_price_trends(bigint, text, timestamptz, timestamptz, text);
drop function public.event_series(bigint, text, text, timestamptz, timestamptz, text);
drop function tickets.ahead_s(timestamptz, timestamptz, double precision);
drop function tickets.buckets(bigint, text, text, timestamptz, timestamptz, text);
drop function tickets.sketch_quantiles(smallint[], bigint[], double precision[]);
