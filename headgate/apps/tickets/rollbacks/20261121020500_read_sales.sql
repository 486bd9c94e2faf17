drop function public.event_exits(bigint, text, timestamptz, timestamptz, integer, integer);
drop function public.event_velocity(bigint, text, integer);
drop function public.sold_meta(bigint, text, timestamptz, timestamptz);
