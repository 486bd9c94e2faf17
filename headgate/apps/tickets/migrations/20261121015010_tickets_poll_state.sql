-- What polling an event needs to remember beside the event itself. Unexposed: the outside sees events.
create table tickets.poll_state (
    event_id            bigint      primary key references public.events (id) on delete cascade,
    base_promise_s      int         not null default 1200 check (base_promise_s > 0),
    fingerprint         text,
    polled_fingerprint  text,
    good_polls          bigint      not null default 0,
    failures            int         not null default 0 check (failures >= 0),
    not_found           int         not null default 0 check (not_found >= 0),
    quarantined_until   timestamptz,
    leased_until        timestamptz,
    missed_sweeps       int         not null default 0 check (missed_sweeps >= 0),
    seen_at             timestamptz,
    updated_at          timestamptz not null default now()
) with (fillfactor = 70);
comment on table tickets.poll_state is 'How polling of each event goes: quarantine, lease, failures in a row, the market''s fingerprint.';
comment on column tickets.poll_state.base_promise_s is
    'The promise without stretching, in seconds of this deployment''s time; events.promise_s is what holds now.';
comment on column tickets.poll_state.fingerprint is
    'Lowest price, median, listings and tickets on the last productions page; a change brings the next poll forward.';
comment on column tickets.poll_state.leased_until is
    'A job for this event is under way until then; afterwards it may be offered again.';
comment on column tickets.poll_state.missed_sweeps is 'Complete sweeps of the catalogue in a row that did not show the event.';
create index poll_state_quarantined on tickets.poll_state (quarantined_until) where quarantined_until is not null;

-- Sweeps of catalogues: when each source was last looked through, and the promise of its host.
create table tickets.sweeps (
    source      text        primary key,
    started_at  timestamptz not null default '-infinity',
    finished_at timestamptz,
    sweep       bigint      not null default 0,
    events      int         not null default 0,
    host        text,
    rate_per_s  double precision,
    stretch     double precision not null default 1 check (stretch >= 1)
);
comment on table tickets.sweeps is 'One row per catalogue source: its sweeps, its host''s rate, and by how much promises are stretched now.';

-- When a promise changed, so that the past is judged by what was promised then.
create table tickets.promises (
    event_id  bigint      not null references public.events (id) on delete cascade,
    since     timestamptz not null,
    promise_s int         not null,
    primary key (event_id, since)
);
comment on table tickets.promises is 'Each event''s promise over time; a row holds until the next one.';

alter table tickets.poll_state enable row level security;
alter table tickets.sweeps enable row level security;
alter table tickets.promises enable row level security;
revoke all on tickets.poll_state, tickets.sweeps, tickets.promises from public, anon, authenticated;
grant select on tickets.poll_state, tickets.sweeps, tickets.promises to service_role;
create policy poll_state_service on tickets.poll_state for select to service_role using (true);
create policy sweeps_service on tickets.sweeps for select to service_role using (true);
create policy promises_service on tickets.promises for select to service_role using (true);
