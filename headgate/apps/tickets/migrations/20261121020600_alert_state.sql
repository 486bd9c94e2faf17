-- What evaluation needs to remember about a rule, and the guarantee that a rule fires once for a poll.
alter table public.alert_rules add column seen_at timestamptz not null default now();
alter table public.alert_rules add column last_value bigint;
comment on column public.alert_rules.seen_at is 'The poll that the rule was last held against; only newer ones count.';
comment on column public.alert_rules.last_value is 'What the rule looked at, as of seen_at; units as in threshold.';
alter table public.alert_rules add constraint alert_rules_threshold_fits check (
  (kind in ('new_listing', 'back_in_stock')) = (threshold is null)
  and (kind <> 'price_drop_pct' or threshold < 10000)
);
create index alert_rules_event on public.alert_rules (event_id) where active;
create unique index alert_fires_once on public.alert_fires (event_id, rule_id, observed_at);
