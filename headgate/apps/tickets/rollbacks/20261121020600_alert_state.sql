drop index public.alert_fires_once;
drop index public.alert_rules_event;
alter table public.alert_rules drop constraint alert_rules_threshold_fits;
alter table public.alert_rules drop column last_value;
alter table public.alert_rules drop column seen_at;
