revoke execute on function public.event_meta(bigint, timestamptz, timestamptz)
  from anon, authenticated, service_role;
revoke execute on function public.events_meta(bigint[])
  from anon, authenticated, service_role;
revoke execute on function public.trend_meta(numeric[])
  from anon, authenticated, service_role;
revoke execute on function public.list_events(boolean, text)
  from anon, authenticated, service_role;
revoke execute on function public.event_zones(bigint)
  from anon, authenticated, service_role;
revoke execute on function public.event_snapshot(bigint)
  from anon, authenticated, service_role;
revoke execute on function public.event_listings(bigint, integer)
  from anon, authenticated, service_role;
revoke execute on function public.event_heatmap(bigint, text)
  from anon, authenticated, service_role;
revoke execute on function public.get_latest_prices(bigint, text)
  from anon, authenticated, service_role;
revoke execute on function public.event_series(bigint, text, text, timestamptz, timestamptz, text)
  from anon, authenticated, service_role;
revoke execute on function public.get_price_trends(bigint, text, timestamptz, timestamptz, text)
  from anon, authenticated, service_role;
revoke execute on function public.get_group_prices(bigint, text, timestamptz, timestamptz, text, integer)
  from anon, authenticated, service_role;
revoke execute on function public.get_ticket_counts(bigint, text, timestamptz, timestamptz, text)
  from anon, authenticated, service_role;
revoke execute on function public.event_polls(bigint, timestamptz, integer)
  from anon, authenticated, service_role;
revoke execute on function public.event_percentiles(bigint, text, timestamptz, timestamptz)
  from anon, authenticated, service_role;
revoke execute on function public.screen_events()
  from anon, authenticated, service_role;
revoke execute on function public.event_spark(bigint, integer)
  from anon, authenticated, service_role;
revoke execute on function public.compare_events(bigint[])
  from anon, authenticated, service_role;
revoke execute on function public.event_freshness()
  from anon, authenticated, service_role;
revoke execute on function public.freshness_summary()
  from anon, authenticated, service_role;
revoke execute on function public.sold_meta(bigint, text, timestamptz, timestamptz)
  from anon, authenticated, service_role;
revoke execute on function public.event_velocity(bigint, text, integer)
  from anon, authenticated, service_role;
revoke execute on function public.event_exits(bigint, text, timestamptz, timestamptz, integer, integer)
  from anon, authenticated, service_role;
revoke execute on function public.event_forecast(bigint, text, integer)
  from anon, authenticated, service_role;
revoke execute on function tickets.major(bigint)
  from anon, authenticated, service_role;
revoke execute on function tickets.major(integer)
  from anon, authenticated, service_role;
revoke execute on function tickets.percent(numeric, numeric)
  from anon, authenticated, service_role;
revoke execute on function tickets.covered_s(bigint, timestamptz, timestamptz)
  from anon, authenticated, service_role;
revoke execute on function tickets.split_list(smallint)
  from anon, authenticated, service_role;
revoke execute on function tickets.sketch_quantiles(smallint[], bigint[], double precision[])
  from anon, authenticated, service_role;
revoke execute on function tickets.buckets(bigint, text, text, timestamptz, timestamptz, text)
  from anon, authenticated, service_role;
revoke execute on function tickets.read_freshness(interval)
  from anon, authenticated, service_role;
revoke execute on function tickets.theil_sen(integer[], double precision[])
  from anon, authenticated, service_role;
revoke execute on function tickets.project(double precision, double precision, double precision)
  from anon, authenticated, service_role;
revoke execute on function tickets.fit(integer[], double precision[], integer)
  from anon, authenticated, service_role;
revoke execute on function tickets.backtest(integer[], double precision[])
  from anon, authenticated, service_role;
