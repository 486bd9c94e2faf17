drop function public.freshness_summary();
drop function public.event_freshness();
drop function tickets.read_freshness(interval);
drop function public.compare_events(bigint[]);
drop function public.event_spark(bigint, integer);
drop function public.screen_events();
