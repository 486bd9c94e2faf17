drop table public.alert_fires, public.alert_rules;
