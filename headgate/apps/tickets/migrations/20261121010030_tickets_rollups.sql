-- Rollups: additive integers per event and hour or day, for the whole event, each zone and each section.
--
-- level = listing_ms / covered_ms; average price = aip_ms / listing_ms. Time that no accepted poll covers adds
-- nothing and is never filled. Hours are venue hours, days venue days.

create table public.rollup_hours (
    event_id bigint not null,
    scope text not null check (scope in ('event', 'zone', 'section')),
    scope_id text not null,
    hour timestamptz not null,
    covered_ms bigint not null,
    listing_ms bigint not null,
    ticket_ms bigint not null,
    aip_ms bigint not null,
    sold_lo_cents bigint not null,
    sold_hi_cents bigint not null,
    through_at timestamptz not null,
    polls integer not null,
    min_aip integer,
    max_aip integer,
    min_pair integer,
    min_four integer,
    open_get_in integer,
    close_get_in integer,
    entered integer not null,
    exited integer not null,
    exited_tickets integer not null,
    frozen integer not null,
    price_up integer not null,
    price_down integer not null,
    sold_lo integer not null,
    sold_hi integer not null,
    sold_lo_tickets integer not null,
    sold_hi_tickets integer not null,
    sketch_keys smallint[],
    sketch_ms bigint[],
    primary key (event_id, scope, scope_id, hour)
) partition by range (hour);
create table tickets.rollup_hours_default partition of public.rollup_hours default;
comment on table public.rollup_hours is
    'Clean hours of events and zones (those of sections are packed in rollup_hour_sections). Read through '
    'tickets.hours(), which puts live figures in the place of hours listed in rollup_dirty.';
comment on column public.rollup_hours.scope_id is 'Empty for the event; the zone''s name; the section''s name.';
comment on column public.rollup_hours.covered_ms is 'Milliseconds that accepted polls cover: each up to the next, 30 minutes at most.';
comment on column public.rollup_hours.listing_ms is 'Listings × covered milliseconds.';
comment on column public.rollup_hours.ticket_ms is 'Tickets × covered milliseconds.';
comment on column public.rollup_hours.aip_ms is 'All-in cents of each listing × its covered milliseconds.';
comment on column public.rollup_hours.min_pair is 'Cheapest all-in price per ticket of a listing that sells exactly two.';
comment on column public.rollup_hours.open_get_in is 'Cheapest at the first covered instant that has a listing.';
comment on column public.rollup_hours.exited is 'Listings gone, naively.';
comment on column public.rollup_hours.exited_tickets is 'Tickets of listings gone, and of listings that shrank.';
comment on column public.rollup_hours.frozen is 'Listings gone when nothing can be inferred: cap-like or outage-like drop, doors open.';
comment on column public.rollup_hours.price_up is 'Changes of the base price; fees that flap do not count.';
comment on column public.rollup_hours.sold_lo is
    'Listings gone for two complete polls at least with no relist that matches. sold_lo ≤ sold_hi ≤ exited.';
comment on column public.rollup_hours.sold_hi is 'Listings gone, frozen ones left out.';
comment on column public.rollup_hours.sold_lo_cents is 'At the listing''s last all-in price.';
comment on column public.rollup_hours.sketch_keys is
    'Buckets of a log sketch (α = 1 %) over all-in cents, ascending; sketch_ms has their listing milliseconds. Sketches '
    'merge by adding. Null for sections, whose percentiles come from the spans.';
alter table public.rollup_hours enable row level security;
alter table tickets.rollup_hours_default enable row level security;
create policy rollup_hours_read on public.rollup_hours for select to anon, authenticated using (true);
create policy rollup_hours_write on public.rollup_hours for all to service_role using (true) with check (true);
grant select on public.rollup_hours to anon, authenticated;
grant select, insert, update, delete on public.rollup_hours to service_role;

create type tickets.section_hour as (
    scope_id text,
    listing_ms bigint,
    ticket_ms bigint,
    aip_ms bigint,
    sold_lo_cents bigint,
    sold_hi_cents bigint,
    min_aip integer,
    max_aip integer,
    min_pair integer,
    min_four integer,
    open_get_in integer,
    close_get_in integer,
    entered integer,
    exited integer,
    exited_tickets integer,
    frozen integer,
    price_up integer,
    price_down integer,
    sold_lo integer,
    sold_hi integer,
    sold_lo_tickets integer,
    sold_hi_tickets integer
);
create table public.rollup_hour_sections (
    event_id bigint not null,
    hour timestamptz not null,
    sections tickets.section_hour[] not null,
    primary key (event_id, hour)
) partition by range (hour);
create table tickets.rollup_hour_sections_default partition of public.rollup_hour_sections default;
comment on table public.rollup_hour_sections is
    'The sections of one event and hour in one compressed value: as rows they would weigh more than the spans.';
alter table public.rollup_hour_sections enable row level security;
alter table tickets.rollup_hour_sections_default enable row level security;
create policy rollup_hour_sections_read on public.rollup_hour_sections for select to anon, authenticated using (true);
create policy rollup_hour_sections_write on public.rollup_hour_sections for all to service_role
    using (true) with check (true);
grant select on public.rollup_hour_sections to anon, authenticated;
grant select, insert, update, delete on public.rollup_hour_sections to service_role;

create table public.rollup_days (
    event_id bigint not null,
    scope text not null check (scope in ('event', 'zone', 'section')),
    scope_id text not null,
    day date not null,
    covered_ms bigint not null,
    listing_ms bigint not null,
    ticket_ms bigint not null,
    aip_ms bigint not null,
    sold_lo_cents bigint not null,
    sold_hi_cents bigint not null,
    through_at timestamptz not null,
    polls integer not null,
    min_aip integer,
    max_aip integer,
    min_pair integer,
    min_four integer,
    open_get_in integer,
    close_get_in integer,
    entered integer not null,
    exited integer not null,
    exited_tickets integer not null,
    frozen integer not null,
    price_up integer not null,
    price_down integer not null,
    sold_lo integer not null,
    sold_hi integer not null,
    sold_lo_tickets integer not null,
    sold_hi_tickets integer not null,
    sketch_keys smallint[],
    sketch_ms bigint[],
    primary key (event_id, scope, scope_id, day)
);
comment on table public.rollup_days is 'A venue day: the exact merge of its hours (same columns). Kept for ever.';
alter table public.rollup_days enable row level security;
create policy rollup_days_read on public.rollup_days for select to anon, authenticated using (true);
create policy rollup_days_write on public.rollup_days for all to service_role using (true) with check (true);
grant select on public.rollup_days to anon, authenticated;
grant select, insert, update, delete on public.rollup_days to service_role;

create table public.rollup_dirty (
    event_id bigint not null,
    hour timestamptz not null,
    since timestamptz not null,
    primary key (event_id, hour)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
comment on table public.rollup_dirty is
    'Hours whose rollups are out of date, marked by the transaction that made them so. The refresher removes a row only '
    'if since is what it was when the recomputation began.';
alter table public.rollup_dirty enable row level security;
create policy rollup_dirty_read on public.rollup_dirty for select to anon, authenticated using (true);
create policy rollup_dirty_write on public.rollup_dirty for all to service_role using (true) with check (true);
grant select on public.rollup_dirty to anon, authenticated;
grant select, insert, update, delete on public.rollup_dirty to service_role;
