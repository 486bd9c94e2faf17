drop function tickets.evaluate_alerts(integer);
drop function tickets.evaluate_alert(public.alert_rules, timestamptz, text);
drop function tickets.alert_message(text, bigint, bigint, text, integer, bigint, text);
drop function tickets.price_day_ago(bigint, text, integer, timestamptz);
drop function tickets.alert_value(text, bigint, text, integer, timestamptz);
