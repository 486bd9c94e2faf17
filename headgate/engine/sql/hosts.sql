-- Named queries of limits.py, robots.py and record.py.

-- name: take
select granted, wait_s, breaker, probe
from control.take_host_token(%(host)s, %(wait_s)s, %(probe_s)s, %(cost)s);

-- name: confirm
select greatest(0, extract(epoch from greatest(
         not_before, case breaker when 'open' then open_until when 'half_open' then probe_until else '-infinity' end
       ) - clock_timestamp()))::double precision as wait_s, breaker
from control.hosts where host = %(host)s;

-- name: report
select control.report_host(
  %(host)s, %(outcome)s, %(status)s, %(latency_s)s, %(retry_after_s)s,
  %(throttled)s, %(probe)s, %(bytes)s, %(note)s) as breaker;

-- name: set_host
select control.set_host(%(host)s, %(rate_per_s)s, %(burst)s, %(parallel)s);

-- name: set_crawl_delay
select control.set_crawl_delay(%(host)s, %(delay_s)s);

-- name: status
select host, rate_per_s, burst, crawl_delay_s, delay_s, breaker, cooldown_s, requests, ok, bad, challenges,
       throttled, opened, bytes, last_status, last_latency_s, last_ok_at, last_bad_at, last_error,
       greatest(0, extract(epoch from not_before - clock_timestamp()))::double precision as held_s,
       case when breaker = 'open'
            then greatest(0, extract(epoch from open_until - clock_timestamp()))::double precision else 0
       end as open_s
from control.hosts
order by host;

-- name: robots
select verdict, body, status, fetched_at, extract(epoch from expires_at - now())::double precision as left_s
from control.robots
where origin = %(origin)s and expires_at > now();

-- name: stale_robots
select verdict, body from control.robots where origin = %(origin)s and verdict = 'rules';

-- name: keep_robots
insert into control.robots (origin, fetched_at, expires_at, status, verdict, body)
values (%(origin)s, now(), now() + make_interval(secs => %(ttl_s)s), %(status)s, %(verdict)s, %(body)s)
on conflict (origin) do update set
  fetched_at = excluded.fetched_at, expires_at = excluded.expires_at, status = excluded.status,
  verdict = excluded.verdict, body = excluded.body;

-- name: keep_body
insert into control.bodies (body_hash, body, size, expires_at)
values (%(hash)s, %(body)s, %(size)s, now() + make_interval(days => %(days)s))
on conflict (body_hash) do update set expires_at = greatest(bodies.expires_at, excluded.expires_at);

-- name: keep_reply
insert into control.replies (host, url, status, headers, body_hash, elapsed_s, fetched_at, expires_at)
values (%(host)s, %(url)s, %(status)s, %(headers)s, %(hash)s, %(elapsed_s)s, %(fetched_at)s,
        now() + make_interval(days => %(days)s));

-- name: replies
select r.url, r.status, r.headers, r.elapsed_s, r.fetched_at, b.body
from control.replies r join control.bodies b using (body_hash)
where r.host = %(host)s and r.fetched_at >= %(since)s
order by r.fetched_at, r.id
limit %(limit)s;

-- name: sweep
select control.sweep_replies(%(limit)s) as swept;
