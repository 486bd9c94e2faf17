drop function public.get_latest_prices(bigint, text);
drop function public.event_heatmap(bigint, text);
drop function public.event_listings(bigint, integer);
drop function public.event_snapshot(bigint);
drop function public.event_zones(bigint);
drop function public.list_events(boolean, text);
drop function tickets.split_list(smallint);
