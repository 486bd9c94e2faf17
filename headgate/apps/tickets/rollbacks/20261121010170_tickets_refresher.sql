drop view public.daily_analytics, public.aggregated_analytics;
drop function tickets.days(bigint, date, date, text, text);
drop function tickets.refresh_rollups(integer);
