-- What a request came to: counts, pace, Retry-After and the circuit breaker, in one call per request.

-- A count that fades with a time constant of 300 s; small rests become 0, because float8 raises on underflow.
create function control.faded(p_value double precision, p_elapsed_s double precision) returns double precision
language sql immutable set search_path = '' as $$
  select case when p_elapsed_s >= 3000 or p_value < 1e-6 then 0
              else p_value * exp(-greatest(p_elapsed_s, 0) / 300) end
$$;

-- The pace after a reply: the mean of the last pace and latency / parallel. Only a 200 may quicken it.
create function control.next_delay(
  h control.hosts, p_status integer, p_latency_s double precision, p_throttled boolean
) returns double precision
language sql immutable set search_path = '' as $$
  select case
    when p_throttled then least(60, 2 * greatest(h.delay_s, 1 / h.rate_per_s))
    when p_latency_s is null then h.delay_s
    when p_status = 200 then least(60, (h.delay_s + p_latency_s / h.parallel) / 2)
    else greatest(h.delay_s, least(60, (h.delay_s + p_latency_s / h.parallel) / 2))
  end
$$;

-- Record one outcome of a host and return the breaker's state after it.
-- p_outcome: 'ok' the host works; 'bad' it does not; 'challenge' it sent a page where data was asked for;
-- 'retract' the same, found out after an 'ok' was reported; 'neutral' nothing can be said (cancelled).
-- p_retry_after_s: what the host asked for, already capped. p_throttled: it said "too many" without a time.
create function control.report_host(
  p_host text,
  p_outcome text,
  p_status integer default null,
  p_latency_s double precision default null,
  p_retry_after_s double precision default null,
  p_throttled boolean default false,
  p_probe bigint default null,
  p_bytes bigint default 0,
  p_note text default null
) returns text
language plpgsql set search_path = '' as $$
declare
  h control.hosts;
  n control.hosts;
  t timestamptz;
  is_bad boolean := p_outcome in ('bad', 'challenge', 'retract');
  is_ok boolean := p_outcome = 'ok';
  elapsed double precision;
begin
  if not (is_bad or is_ok or p_outcome = 'neutral') then
    raise exception 'unknown outcome %', p_outcome using errcode = '22023';
  end if;
  loop
    select * into h from control.hosts s where s.host = p_host for update;
    exit when found;
    insert into control.hosts (host) values (p_host) on conflict do nothing;
  end loop;
  t := clock_timestamp();
  n := h;
  elapsed := case when h.recent_at = '-infinity' then 3000 else extract(epoch from t - h.recent_at) end;
  n.recent_at := t;
  n.recent_ok := greatest(0, control.faded(h.recent_ok, elapsed) + is_ok::int - (p_outcome = 'retract')::int);
  n.recent_bad := control.faded(h.recent_bad, elapsed) + is_bad::int;
  n.bad_streak := case
    when p_outcome = 'retract' then h.bad_streak + h.streak_before + 1
    when is_bad then h.bad_streak + 1
    when is_ok then 0
    else h.bad_streak end;
  n.streak_before := case when is_ok then h.bad_streak when is_bad then 0 else h.streak_before end;
  n.delay_s := control.next_delay(h, p_status, p_latency_s, p_throttled);
  if p_retry_after_s is not null then
    n.not_before := greatest(h.not_before, t + make_interval(secs => least(greatest(p_retry_after_s, 0), 3600)));
  end if;
  if h.breaker = 'closed' then
    if is_bad and (h.trial_left > 0 or n.bad_streak >= 5 or (
      n.recent_ok + n.recent_bad > 9 and n.recent_bad >= 0.5 * (n.recent_ok + n.recent_bad)
    )) then
      n.breaker := 'open';
    elsif is_ok and h.trial_left > 0 then
      n.trial_left := h.trial_left - 1;
      n.cooldown_s := case when n.trial_left = 0 then 10 else h.cooldown_s end;
    end if;
  elsif h.breaker = 'half_open' and p_probe = h.probe then
    if is_ok then
      n.breaker := 'closed';
      n.trial_left := 3;
      n.recent_ok := 0;
      n.recent_bad := 0;
    elsif is_bad then
      n.breaker := 'open';
    else
      n.probe_until := t;
    end if;
  end if;
  if n.breaker = 'open' and h.breaker <> 'open' then
    n.cooldown_s := case when h.breaker = 'half_open' or h.trial_left > 0
                         then least(900, h.cooldown_s * 2) else 10 end;
    n.open_until := t + make_interval(secs => n.cooldown_s);
    n.opened := h.opened + 1;
    n.trial_left := 0;
  end if;
  update control.hosts s set
    delay_s = n.delay_s,
    not_before = n.not_before,
    breaker = n.breaker,
    open_until = n.open_until,
    cooldown_s = n.cooldown_s,
    probe_until = n.probe_until,
    trial_left = n.trial_left,
    bad_streak = n.bad_streak,
    streak_before = n.streak_before,
    recent_ok = n.recent_ok,
    recent_bad = n.recent_bad,
    recent_at = n.recent_at,
    opened = n.opened,
    ok = greatest(0, h.ok + is_ok::int - (p_outcome = 'retract')::int),
    bad = h.bad + is_bad::int,
    challenges = h.challenges + (p_outcome in ('challenge', 'retract'))::int,
    throttled = h.throttled + (p_throttled or coalesce(p_status = 429, false))::int,
    bytes = h.bytes + p_bytes,
    last_status = coalesce(p_status, h.last_status),
    last_latency_s = coalesce(p_latency_s, h.last_latency_s),
    last_ok_at = case when is_ok then t else h.last_ok_at end,
    last_bad_at = case when is_bad then t else h.last_bad_at end,
    last_error = case when is_bad then left(p_note, 200) else h.last_error end
  where s.host = p_host;
  return n.breaker;
end
$$;

-- What robots.txt asks for as the least time between requests; 0 takes it back. Capped at 300 s.
create function control.set_crawl_delay(p_host text, p_delay_s double precision) returns void
language sql set search_path = '' as $$
  insert into control.hosts as h (host, crawl_delay_s) values (p_host, least(greatest(p_delay_s, 0), 300))
  on conflict (host) do update set crawl_delay_s = excluded.crawl_delay_s
  where h.crawl_delay_s <> excluded.crawl_delay_s
$$;

revoke execute on function
  control.faded(double precision, double precision),
  control.next_delay(control.hosts, integer, double precision, boolean),
  control.report_host(
    text, text, integer, double precision, double precision, boolean, bigint, bigint, text),
  control.set_crawl_delay(text, double precision)
from public;
