-- The rate limit: taking a slot, and setting a host's rate.

-- The least time between two requests, rounded up to a whole microsecond so that rounding never exceeds the rate.
create function control.host_gap(h control.hosts) returns interval
language sql immutable set search_path = '' as $$
  select make_interval(secs => ceil(greatest(1 / h.rate_per_s, h.crawl_delay_s, h.delay_s) * 1e6) / 1e6)
$$;

-- How far ahead of the even pace a burst may run; none at all where robots.txt asks for a crawl-delay.
create function control.host_allowance(h control.hosts) returns interval
language sql immutable set search_path = '' as $$
  select case when h.crawl_delay_s > 0 then interval '0' else control.host_gap(h) * (h.burst - 1) end
$$;

-- Take one slot of a host. granted: a request may be sent after sleeping wait_s (0 unless p_wait_s allows more).
-- Not granted: nothing was taken, and asking again makes sense after wait_s. probe is not null for the single
-- request that decides whether an open breaker closes; it must be reported with that number.
-- p_cost 0 asks leave without using up a slot (robots.txt).
create function control.take_host_token(
  p_host text,
  p_wait_s double precision default 0,
  p_probe_s double precision default 60,
  p_cost integer default 1,
  out granted boolean,
  out wait_s double precision,
  out breaker text,
  out probe bigint
) language plpgsql set search_path = '' as $$
declare
  h control.hosts;
  t timestamptz;
  gap interval;
  v_tat timestamptz;
  ready timestamptz;
begin
  loop
    select * into h from control.hosts s where s.host = p_host for update;
    exit when found;
    insert into control.hosts (host) values (p_host) on conflict do nothing;
  end loop;
  t := clock_timestamp();
  gap := control.host_gap(h);
  -- A database clock that was set back must not close a host for as long as it was wrong.
  v_tat := least(h.tat, t + interval '1 hour' + gap * h.burst);
  ready := greatest(t, least(h.not_before, t + interval '1 hour'));
  if p_cost > 0 then
    ready := greatest(ready, v_tat - control.host_allowance(h));
  end if;
  if h.breaker <> 'closed' then
    ready := greatest(ready, case h.breaker
      when 'open' then least(h.open_until, t + make_interval(secs => h.cooldown_s))
      else least(h.probe_until, t + interval '1 hour') end);
  end if;
  wait_s := extract(epoch from ready - t);
  breaker := h.breaker;
  granted := wait_s <= case when h.breaker = 'closed' then greatest(0, least(p_wait_s, 600)) else 0 end;
  if not granted then
    if h.breaker = 'half_open' then
      -- The probe is usually back long before its lease ends; ask again soon, but not all the time.
      wait_s := least(wait_s, greatest(2, h.cooldown_s / 4));
    end if;
    return;
  end if;
  if h.breaker <> 'closed' then
    breaker := 'half_open';
    probe := h.probe + 1;
  end if;
  update control.hosts s set
    tat = case when p_cost > 0 then greatest(v_tat, ready) + gap else h.tat end,
    requests = h.requests + 1,
    breaker = take_host_token.breaker,
    probe = coalesce(take_host_token.probe, h.probe),
    probe_until = case when take_host_token.probe is null then h.probe_until
                       else t + make_interval(secs => least(greatest(p_probe_s, 1), 3600)) end
  where s.host = p_host;
end
$$;

-- Set a host's rate. Slots already promised beyond the new pace are forgotten.
create function control.set_host(
  p_host text, p_rate_per_s double precision, p_burst integer, p_parallel double precision default null
) returns void
language sql set search_path = '' as $$
  insert into control.hosts as h (host, rate_per_s, burst, parallel)
  values (p_host, p_rate_per_s, p_burst, coalesce(p_parallel, 8))
  on conflict (host) do update set
    rate_per_s = excluded.rate_per_s,
    burst = excluded.burst,
    parallel = coalesce(p_parallel, h.parallel),
    tat = least(h.tat, clock_timestamp() + make_interval(secs => p_burst / p_rate_per_s))
  where (h.rate_per_s, h.burst, h.parallel)
    is distinct from (excluded.rate_per_s, excluded.burst, coalesce(p_parallel, h.parallel))
$$;

revoke execute on function
  control.host_gap(control.hosts),
  control.host_allowance(control.hosts),
  control.take_host_token(text, double precision, double precision, integer),
  control.set_host(text, double precision, integer, double precision)
from public;
