-- Holding every active rule against the newest accepted poll of its event. One transaction, each rule locked while
-- it is looked at, one firing for a rule and a poll: so any number of evaluators fire each thing exactly once.
create function tickets.alert_value(
  p_kind text, p_event_id bigint, p_zone text, p_group_size integer, p_since timestamptz
) returns bigint
language sql stable security invoker set search_path = '' as $$
  select case
    when p_kind in ('inventory_below', 'back_in_stock') then coalesce(sum(o.qty), 0)
    when p_kind = 'new_listing' then
      min(o.aip_cents) filter (where o.valid_from > p_since and not exists (
        select from tickets.ended c
         where c.event_id = p_event_id and c.valid_to > p_since and c.listing = o.listing and c.valid_to = o.valid_from))
    else min(o.aip_cents) filter (where p_group_size = 1 or o.splits & (1 << (p_group_size - 1)) <> 0)
  end
  from public.listings_open o
  join public.sections s on s.event_id = o.event_id and s.section_id = o.section_id
  where o.event_id = p_event_id and (p_zone is null or s.zone = p_zone)
$$;
comment on function tickets.alert_value is 'What a rule looks at: cents, or a number of tickets; null when there is none.';

create function tickets.price_day_ago(p_event_id bigint, p_zone text, p_group_size integer, p_at timestamptz)
returns bigint
language sql stable security invoker set search_path = '' as $$
  select case p_group_size when 2 then r.min_pair when 4 then r.min_four else r.close_get_in end
    from public.rollup_hours r
   where r.event_id = p_event_id and r.scope = case when p_zone is null then 'event' else 'zone' end
     and r.scope_id = coalesce(p_zone, '')
     and r.hour between p_at - interval '28 hours' and p_at - interval '24 hours'
   order by r.hour desc limit 1
$$;
comment on function tickets.price_day_ago is 'The cheapest price in cents of a group of this size a day before p_at; null if unknown.';

create function tickets.alert_message(
  p_kind text, p_value bigint, p_threshold bigint, p_zone text, p_group_size integer, p_before bigint, p_currency text
) returns text
language sql immutable set search_path = '' as $$
  select case p_kind
    when 'price_below' then pg_catalog.format('%s%s at %s %s, below %s', w.who, w.place, tickets.major(p_value), p_currency, tickets.major(p_threshold))
    when 'price_drop_pct' then pg_catalog.format('%s%s fell from %s to %s %s in a day', w.who, w.place, tickets.major(p_before), tickets.major(p_value), p_currency)
    when 'inventory_below' then pg_catalog.format('%s tickets left%s, below %s', p_value, w.place, p_threshold)
    when 'new_listing' then pg_catalog.format('New listing%s from %s %s', w.place, tickets.major(p_value), p_currency)
    else pg_catalog.format('%s tickets back on sale%s', p_value, w.place)
  end
  from (select case p_group_size when 2 then 'A pair' when 4 then 'Four together' else 'The cheapest ticket' end as who,
               coalesce(' in ' || p_zone, '') as place) w
$$;
comment on function tickets.alert_message is 'One sentence for a person.';

create function tickets.evaluate_alert(p_rule public.alert_rules, p_polled_at timestamptz, p_currency text) returns boolean
language plpgsql security invoker set search_path = '' as $$
declare
  value bigint := tickets.alert_value(p_rule.kind, p_rule.event_id, p_rule.zone, p_rule.group_size, p_rule.seen_at);
  before bigint;
  repeats constant boolean := p_rule.kind in ('new_listing', 'back_in_stock');
  holds boolean;
begin
  if p_rule.kind = 'price_drop_pct' then
    before := tickets.price_day_ago(p_rule.event_id, p_rule.zone, p_rule.group_size, p_polled_at);
  end if;
  holds := coalesce(case p_rule.kind
    when 'price_below' then value < p_rule.threshold
    when 'price_drop_pct' then value * 10000 <= before * (10000 - p_rule.threshold)
    when 'inventory_below' then value < p_rule.threshold
    when 'new_listing' then value is not null
    else p_rule.last_value = 0 and value > 0
  end, false);
  update public.alert_rules r
     set seen_at = p_polled_at, last_value = value, armed = repeats or not holds,
         fired_at = case when holds and p_rule.armed then now() else r.fired_at end
   where r.event_id = p_rule.event_id and r.id = p_rule.id;
  if not (holds and p_rule.armed) then
    return false;
  end if;
  insert into public.alert_fires (event_id, rule_id, user_id, value, threshold, message, observed_at)
  values (p_rule.event_id, p_rule.id, p_rule.user_id, value, p_rule.threshold,
          tickets.alert_message(p_rule.kind, value, p_rule.threshold, p_rule.zone, p_rule.group_size, before, p_currency),
          p_polled_at)
  on conflict (event_id, rule_id, observed_at) do nothing;
  return found;
end
$$;
comment on function tickets.evaluate_alert is 'Hold one locked rule against the poll of p_polled_at; true when it fired.';

create function tickets.evaluate_alerts(p_limit integer default 1000) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
  due record;
  fired integer := 0;
begin
  for due in
    select r as rule, l.observed_at, e.currency
      from public.alert_rules r
      join public.event_latest l on l.event_id = r.event_id
      join public.events e on e.id = r.event_id
     where r.active and l.observed_at > r.seen_at
     order by r.seen_at
     limit p_limit
       for update of r skip locked
  loop
    if tickets.evaluate_alert(due.rule, due.observed_at, due.currency) then
      fired := fired + 1;
      perform pg_catalog.pg_notify('tickets_changed', (due.rule).event_id::text);
    end if;
  end loop;
  return fired;
end
$$;
comment on function tickets.evaluate_alerts is 'Fire the rules whose condition holds at a newer poll; returns how many fired.';
revoke all on function tickets.alert_value(text, bigint, text, integer, timestamptz),
  tickets.price_day_ago(bigint, text, integer, timestamptz),
  tickets.evaluate_alert(public.alert_rules, timestamptz, text), tickets.evaluate_alerts(integer) from public;
grant execute on function tickets.alert_value(text, bigint, text, integer, timestamptz),
  tickets.price_day_ago(bigint, text, integer, timestamptz),
  tickets.evaluate_alert(public.alert_rules, timestamptz, text), tickets.evaluate_alerts(integer) to service_role;
