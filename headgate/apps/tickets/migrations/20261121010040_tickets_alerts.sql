-- Alert rules of users and what they fired.

create table public.alert_rules (
    id bigint generated always as identity,
    event_id bigint not null references public.events (id) on delete cascade,
    user_id uuid not null default auth.uid(),
    kind text not null
        check (kind in ('price_below', 'price_drop_pct', 'inventory_below', 'new_listing', 'back_in_stock')),
    threshold bigint check (threshold > 0),
    zone text,
    group_size smallint not null default 1 check (group_size in (1, 2, 4)),
    note text,
    active boolean not null default true,
    armed boolean not null default true,
    created_at timestamptz not null default now(),
    fired_at timestamptz,
    primary key (event_id, id)
);
create index alert_rules_user on public.alert_rules (user_id);
create index alert_rules_id on public.alert_rules (id);
comment on table public.alert_rules is 'What users want to be told. A rule fires once and arms again when its condition is over.';
comment on column public.alert_rules.threshold is
    'price_below: all-in cents; price_drop_pct: hundredths of a percent; inventory_below: tickets; others: null.';
alter table public.alert_rules enable row level security;
create policy alert_rules_own on public.alert_rules for all to authenticated
    using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy alert_rules_service on public.alert_rules for all to service_role using (true) with check (true);
grant select, insert, update, delete on public.alert_rules to authenticated, service_role;

create table public.alert_fires (
    id bigint generated always as identity,
    event_id bigint not null,
    rule_id bigint not null,
    user_id uuid not null,
    value bigint,
    threshold bigint,
    message text not null,
    observed_at timestamptz not null,
    fired_at timestamptz not null default now(),
    primary key (event_id, id),
    foreign key (event_id, rule_id) references public.alert_rules (event_id, id) on delete cascade
);
create index alert_fires_user on public.alert_fires (user_id);
create index alert_fires_rule on public.alert_fires (event_id, rule_id);
comment on table public.alert_fires is 'Each time a rule''s condition was met: at which poll, with which value (units as in alert_rules.threshold).';
alter table public.alert_fires enable row level security;
create policy alert_fires_own on public.alert_fires for select to authenticated using (user_id = (select auth.uid()));
create policy alert_fires_service on public.alert_fires for all to service_role using (true) with check (true);
grant select on public.alert_fires to authenticated;
grant select, insert, update, delete on public.alert_fires to service_role;
