-- One row per upstream host: its rate limit (GCRA), its pace (AutoThrottle), its circuit breaker and its counts.
-- Every decision is taken under the row's lock on the database's clock, so all workers share one limit.
create schema if not exists control;

create table control.hosts (
  host text primary key check (host = lower(host) and host !~ '[/@[:space:]]' and length(host) between 1 and 261),
  rate_per_s double precision not null default 1 check (rate_per_s > 0 and rate_per_s <= 10000),
  burst integer not null default 1 check (burst between 1 and 10000),
  parallel double precision not null default 8 check (parallel between 0.1 and 1000),
  crawl_delay_s double precision not null default 0 check (crawl_delay_s between 0 and 300),
  delay_s double precision not null default 0 check (delay_s between 0 and 60),
  tat timestamptz not null default '-infinity',
  not_before timestamptz not null default '-infinity',
  breaker text not null default 'closed' check (breaker in ('closed', 'open', 'half_open')),
  open_until timestamptz not null default '-infinity',
  cooldown_s double precision not null default 10 check (cooldown_s between 1 and 900),
  probe bigint not null default 0,
  probe_until timestamptz not null default '-infinity',
  trial_left integer not null default 0 check (trial_left >= 0),
  bad_streak integer not null default 0 check (bad_streak >= 0),
  streak_before integer not null default 0 check (streak_before >= 0),
  recent_ok double precision not null default 0,
  recent_bad double precision not null default 0,
  recent_at timestamptz not null default '-infinity',
  requests bigint not null default 0,
  ok bigint not null default 0,
  bad bigint not null default 0,
  challenges bigint not null default 0,
  throttled bigint not null default 0,
  opened bigint not null default 0,
  bytes bigint not null default 0,
  last_status integer,
  last_latency_s double precision,
  last_ok_at timestamptz,
  last_bad_at timestamptz,
  last_error text check (length(last_error) <= 200)
) with (fillfactor = 50);

comment on table control.hosts is 'One upstream host: rate limit, pace, circuit breaker, counts. Shared by all workers.';
comment on column control.hosts.tat is 'Theoretical arrival time of GCRA: when the next request would be exactly on time.';
comment on column control.hosts.not_before is 'No request before this time, because the host said so (Retry-After).';
comment on column control.hosts.parallel is 'How many requests AutoThrottle wants in flight: pace = latency / parallel.';
comment on column control.hosts.delay_s is 'Least seconds between requests by AutoThrottle.';
comment on column control.hosts.trial_left is 'Good replies still needed before a closed breaker is trusted again.';
comment on column control.hosts.streak_before is 'bad_streak as it was before the last good reply, in case that reply is taken back.';
comment on column control.hosts.recent_at is 'When recent_ok and recent_bad were last brought up to date; they fade with a time constant of 300 s.';

alter table control.hosts enable row level security;
