-- Polls, and what they say: spans of equal price and quantity. Big tables are partitioned by time; partitions live in
-- the unexposed schema tickets, and a default partition takes what has no partition yet, so no insert ever fails for it.

create table public.polls (
    event_id bigint not null references public.events (id) on delete cascade,
    observed_at timestamptz not null,
    seq bigint not null,
    received_at timestamptz not null,
    status text not null check (status in ('accepted', 'unchanged', 'rejected', 'failed')),
    source text not null,
    reason text,
    n_listings integer,
    n_tickets integer,
    get_in integer,
    http_status integer,
    latency_ms integer,
    run_id bigint,
    currency text,
    body_hash text,
    primary key (event_id, observed_at, seq)
) partition by range (observed_at);
create table tickets.polls_default partition of public.polls default;
comment on table public.polls is
    'Every attempt to read an event''s listings. accepted and unchanged carry a complete set; rejected and failed '
    'change no price. Of several complete sets at one instant the last by seq counts; the others cover no time and '
    'are kept as rejected with the reason superseded.';
comment on column public.polls.seq is 'From the source and the body''s hash: the same in any order of arrival.';
comment on column public.polls.observed_at is 'In milliseconds, so that durations are exact integers.';
comment on column public.polls.status is 'unchanged: the body equals that of the accepted poll before; it counts the same.';
alter table public.polls enable row level security;
alter table tickets.polls_default enable row level security;
create policy polls_read on public.polls for select to anon, authenticated using (true);
create policy polls_write on public.polls for all to service_role using (true) with check (true);
grant select on public.polls to anon, authenticated;
grant select, insert, update, delete on public.polls to service_role;

create table tickets.spans (
    event_id bigint not null,
    listing bigint not null,
    valid_from timestamptz not null,
    valid_to timestamptz not null,
    section_id integer not null,
    base_cents integer not null,
    aip_cents integer not null,
    qty smallint not null,
    splits smallint not null
) partition by range (valid_to);
create table tickets.spans_default partition of tickets.spans default;
create index spans_event_end on tickets.spans (event_id, valid_to);
comment on table tickets.spans is
    'Ended spans, not packed and not sealed: what late polls have cut. Spans are maximal runs of accepted polls in which a listing had the same base price, all-in '
    'price and sellable quantity; valid_to is the first accepted poll that contradicts it. Read it through '
    'public.listing_spans. No primary key: the index of equal (event, end) keys shrinks to a fifth of a unique one, '
    'and only tickets.promote_poll writes here, holding the event''s row.';
alter table tickets.spans enable row level security;
alter table tickets.spans_default enable row level security;
create policy spans_read on tickets.spans for select to anon, authenticated using (true);
create policy spans_write on tickets.spans for all to service_role using (true) with check (true);
grant select on tickets.spans to anon, authenticated;
grant select, insert, update, delete on tickets.spans to service_role;

create table tickets.packs (
    event_id bigint not null,
    valid_to timestamptz not null,
    listings bigint[] not null,
    froms timestamptz[] not null,
    sections integer[] not null,
    bases integer[] not null,
    aips integer[] not null,
    qtys smallint[] not null,
    splits smallint[] not null,
    primary key (event_id, valid_to)
) partition by range (valid_to);
create table tickets.packs_default partition of tickets.packs default;
comment on table tickets.packs is
    'The spans that one poll ended, as one row: a poll in order writes one heap tuple and one index entry for all of '
    'them, a third of the log and half the space. The oldest comes first. A late poll unpacks those from its instant on into tickets.spans.';
alter table tickets.packs enable row level security;
alter table tickets.packs_default enable row level security;
create policy packs_read on tickets.packs for select to anon, authenticated using (true);
create policy packs_write on tickets.packs for all to service_role using (true) with check (true);
grant select on tickets.packs to anon, authenticated;
grant select, insert, update, delete on tickets.packs to service_role;

create view tickets.ended with (security_invoker = true) as
select s.event_id, s.listing, s.valid_from, s.valid_to, s.section_id, s.base_cents, s.aip_cents, s.qty, s.splits,
       s.valid_from as pack_from
from tickets.spans s
union all
select p.event_id, x.listing, x.valid_from, p.valid_to, x.section_id, x.base_cents, x.aip_cents, x.qty, x.splits,
       p.froms[1]
from tickets.packs p
cross join lateral unnest(p.listings, p.froms, p.sections, p.bases, p.aips, p.qtys, p.splits)
    as x(listing, valid_from, section_id, base_cents, aip_cents, qty, splits);
comment on view tickets.ended is 'Ended spans not yet sealed, loose and packed.';
comment on column tickets.ended.pack_from is
    'No span of the same pack began before: a condition on it spares the unpacking of packs that cannot matter.';
grant select on tickets.ended to anon, authenticated, service_role;

create table public.listing_spans_sealed (
    event_id bigint not null,
    day date not null,
    first_from timestamptz not null,
    spans integer not null,
    times timestamptz[] not null,
    listing_ids bigint[] not null,
    external_ids text[] not null,
    listing_rows text[] not null,
    listing_sections integer[] not null,
    faces integer[] not null,
    seats text[] not null,
    span_listing smallint[] not null,
    span_from smallint[] not null,
    span_to smallint[] not null,
    span_base integer[] not null,
    span_aip integer[] not null,
    span_qty smallint[] not null,
    span_splits smallint[] not null,
    part smallint not null default 0,
    primary key (event_id, day, part)
) partition by range (day);
create table tickets.listing_spans_sealed_default partition of public.listing_spans_sealed default;
comment on table public.listing_spans_sealed is
    'Spans that ended on one UTC day of one event, as arrays: compressed, a third of the rows'' size. Only read through '
    'public.listing_spans. A late poll takes them apart again.';
comment on column public.listing_spans_sealed.times is 'Instants; span_from and span_to point into it from 1.';
comment on column public.listing_spans_sealed.part is 'Days of more listings or spans than a small number can point to are split.';
alter table public.listing_spans_sealed enable row level security;
alter table tickets.listing_spans_sealed_default enable row level security;
create policy listing_spans_sealed_read on public.listing_spans_sealed for select to anon, authenticated using (true);
create policy listing_spans_sealed_write on public.listing_spans_sealed for all to service_role
    using (true) with check (true);
grant select on public.listing_spans_sealed to anon, authenticated;
grant select, insert, update, delete on public.listing_spans_sealed to service_role;

create table tickets.horizon (
    only_row boolean primary key default true check (only_row),
    spans_from timestamptz not null default '-infinity',
    hours_from timestamptz not null default '-infinity'
);
insert into tickets.horizon default values;
comment on table tickets.horizon is
    'What retention has dropped: no poll is taken, and no hour recomputed, from before spans_from. A reference table.';
alter table tickets.horizon enable row level security;
create policy horizon_read on tickets.horizon for select to anon, authenticated using (true);
create policy horizon_write on tickets.horizon for all to service_role using (true) with check (true);
grant select on tickets.horizon to anon, authenticated;
grant select, insert, update, delete on tickets.horizon to service_role;
