-- The forecast of the get-in price: transparent statistics, and the same method's error on held-out history beside it.
create function tickets.theil_sen(p_hours integer[], p_logs double precision[]) returns double precision
language sql immutable set search_path = '' as $$
  select pg_catalog.percentile_cont(0.5) within group (order by (b.y - a.y) / (b.x - a.x))
    from unnest(p_hours, p_logs) as a (x, y)
    join unnest(p_hours, p_logs) as b (x, y) on b.x > a.x
$$;
comment on function tickets.theil_sen is 'The median of the slopes between all pairs of points (Sen 1968); null for fewer than two';

create function tickets.project(p_level double precision, p_slope double precision, p_ahead double precision)
returns double precision
language sql immutable set search_path = '' as $$
  select p_level + p_slope * (1 - power(0.985, p_ahead)) / (1 - 0.985)
$$;
comment on function tickets.project is 'A level and a slope by the hour, p_ahead hours on, the slope damped by 1.5 % each hour (Gardner, McKenzie 1985)';

-- One fit: level and slope of the log price at hour p_at, from the 96 hours before it, in steps of three hours.
create function tickets.fit(p_hours integer[], p_logs double precision[], p_at integer,
  out level double precision, out slope double precision)
language sql immutable set search_path = '' as $$
  with known as (
    select x, y from unnest(p_hours, p_logs) as k (x, y) where x <= p_at and x > p_at - 96
  ), thinned as (
    select max(x) as x, pg_catalog.percentile_cont(0.5) within group (order by y) as y
      from known group by (p_at - x) / 3
  )
  select (select pg_catalog.percentile_cont(0.5) within group (order by y) from known where x > p_at - 3),
         (select tickets.theil_sen(array_agg(x), array_agg(y)) from thinned)
$$;
comment on function tickets.fit is 'Robust level (median of the last three hours) and slope by the hour of log prices before p_at';

create function tickets.backtest(p_hours integer[], p_logs double precision[])
returns table (origin integer, ahead integer, error double precision, price_error double precision, naive_error double precision, actual double precision)
language sql immutable set search_path = '' as $$
  with points as (
    select x, y from unnest(p_hours, p_logs) as k (x, y)
  ), origins as (
    select x as origin, y from points
     where x >= 48 and x % 6 = 0 and x > (select max(x) from points) - 240
  ), fits as materialized (
    select o.origin, o.y, f.level, f.slope from origins o cross join lateral tickets.fit(p_hours, p_logs, o.origin) f
     where f.level is not null and f.slope is not null
  )
  select f.origin, h.ahead, p.y - tickets.project(f.level, f.slope, h.ahead),
         exp(p.y) - exp(tickets.project(f.level, f.slope, h.ahead)), exp(p.y) - exp(f.y), exp(p.y)
    from fits f
    cross join (values (6), (12), (24), (48)) as h (ahead)
    join points p on p.x = f.origin + h.ahead
$$;
comment on function tickets.backtest is 'Errors of the method at 6, 12, 24 and 48 hours from origins six hours apart, each fitted on its past only';

create function public.event_forecast(p_event_id bigint, p_zone text default null, p_hours integer default 72)
returns table (status text, reason text, method text, points jsonb, "interval" double precision, backtest jsonb)
language plpgsql stable security invoker set search_path = '' as $$
declare
  begins timestamptz;
  hours integer[];
  logs double precision[];
  starts timestamptz;
  last_hour integer;
  level double precision;
  slope double precision;
  spread double precision;
  errors record;
  inside double precision;
begin
  select e.starts_at into starts from public.events e where e.id = p_event_id;
  select min(s.timestamp),
         array_agg((extract(epoch from s.timestamp) / 3600)::integer order by s.timestamp),
         array_agg(ln(s.get_in) order by s.timestamp)
    into begins, hours, logs
    from public.event_series(p_event_id, p_zone, null, now() - interval '21 days', null, 'hourly') s
   where s.get_in > 0;
  points := '[]';
  if starts < now() then
    status := 'over';
    return next;
    return;
  end if;
  hours := array(select h - (extract(epoch from begins) / 3600)::integer from unnest(hours) as u (h));
  if coalesce(cardinality(hours), 0) < 72 then
    status := 'not_enough_data';
    reason := pg_catalog.format('it takes 72 observed hours, and there are %s.', coalesce(cardinality(hours), 0));
    return next;
    return;
  end if;
  select count(distinct b.origin) as origins, avg(abs(b.price_error)) as mae, avg(abs(b.naive_error)) as naive_mae,
         100 * avg(abs(b.price_error) / b.actual) as mape,
         pg_catalog.percentile_cont(0.8) within group (order by abs(b.error) / sqrt(b.ahead)) as spread,
         pg_catalog.percentile_cont(0.8) within group (order by abs(b.error) / sqrt(b.ahead))
           filter (where b.origin <= mid.origin) as early_spread
    into errors
    from tickets.backtest(hours, logs) b,
         (select pg_catalog.percentile_disc(0.5) within group (order by m.origin) as origin
            from tickets.backtest(hours, logs) m) mid;
  last_hour := hours[cardinality(hours)];
  select f.level, f.slope into level, slope from tickets.fit(hours, logs, last_hour) f;
  if coalesce(errors.origins, 0) < 4 or level is null or slope is null then
    status := 'not_enough_data';
    reason := 'the observed hours have too many gaps to test the method on them.';
    return next;
    return;
  end if;
  -- Coverage is measured on the later half of the origins, with the spread of the earlier half only.
  select avg((abs(b.error) <= errors.early_spread * sqrt(b.ahead))::integer) into inside
    from tickets.backtest(hours, logs) b
   where b.origin > (select pg_catalog.percentile_disc(0.5) within group (order by m.origin) from tickets.backtest(hours, logs) m);
  spread := greatest(errors.spread, 0.001);
  status := 'ok';
  method := 'Theil–Sen slope of the log get-in price over 96 hours, damped by 1.5 % an hour, from the median of the last three hours; '
    'the interval is the 80 % quantile of its errors on held-out hours, growing with the square root of time.';
  "interval" := 0.8;
  backtest := jsonb_build_object('origins', errors.origins, 'mae', round(errors.mae::numeric, 2), 'mape', round(errors.mape::numeric, 2),
    'naive_mae', round(errors.naive_mae::numeric, 2), 'covered', round(inside::numeric, 3));
  points := (
    select coalesce(jsonb_agg(jsonb_build_object(
             'timestamp', begins + make_interval(hours => last_hour + h),
             'price', round(exp(tickets.project(level, slope, h))::numeric, 2),
             'lo', round(exp(tickets.project(level, slope, h) - spread * sqrt(h))::numeric, 2),
             'hi', round(exp(tickets.project(level, slope, h) + spread * sqrt(h))::numeric, 2)) order by h), '[]')
      from pg_catalog.generate_series(1, least(p_hours, 336)) h
     where begins + make_interval(hours => last_hour + h) <= coalesce(starts, 'infinity')
  );
  return next;
end
$$;
comment on function public.event_forecast is 'The get-in price to come with an interval and its back-test, or an honest reason why there is none';
