drop function public.change_alert(bigint, numeric, boolean, text);
drop function public.create_alert(bigint, text, numeric, text, integer, text);
drop function public.list_alert_fires();
drop function public.list_alerts();
