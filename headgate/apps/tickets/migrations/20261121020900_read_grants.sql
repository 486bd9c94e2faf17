-- Who may call the read functions: everybody, by name, whatever the database grants by default.
grant execute on function public.event_meta(bigint, timestamptz, timestamptz)
  to anon, authenticated, service_role;
grant execute on function public.events_meta(bigint[])
  to anon, authenticated, service_role;
grant execute on function public.trend_meta(numeric[])
  to anon, authenticated, service_role;
grant execute on function public.list_events(boolean, text)
  to anon, authenticated, service_role;
grant execute on function public.event_zones(bigint)
  to anon, authenticated, service_role;
grant execute on function public.event_snapshot(bigint)
  to anon, authenticated, service_role;
grant execute on function public.event_listings(bigint, integer)
  to anon, authenticated, service_role;
grant execute on function public.event_heatmap(bigint, text)
  to anon, authenticated, service_role;
grant execute on function public.get_latest_prices(bigint, text)
  to anon, authenticated, service_role;
grant execute on function public.event_series(bigint, text, text, timestamptz, timestamptz, text)
  to anon, authenticated, service_role;
grant execute on function public.get_price_trends(bigint, text, timestamptz, timestamptz, text)
  to anon, authenticated, service_role;
grant execute on function public.get_group_prices(bigint, text, timestamptz, timestamptz, text, integer)
  to anon, authenticated, service_role;
grant execute on function public.get_ticket_counts(bigint, text, timestamptz, timestamptz, text)
  to anon, authenticated, service_role;
grant execute on function public.event_polls(bigint, timestamptz, integer)
  to anon, authenticated, service_role;
grant execute on function public.event_percentiles(bigint, text, timestamptz, timestamptz)
  to anon, authenticated, service_role;
grant execute on function public.screen_events()
  to anon, authenticated, service_role;
grant execute on function public.event_spark(bigint, integer)
  to anon, authenticated, service_role;
grant execute on function public.compare_events(bigint[])
  to anon, authenticated, service_role;
grant execute on function public.event_freshness()
  to anon, authenticated, service_role;
grant execute on function public.freshness_summary()
  to anon, authenticated, service_role;
grant execute on function public.sold_meta(bigint, text, timestamptz, timestamptz)
  to anon, authenticated, service_role;
grant execute on function public.event_velocity(bigint, text, integer)
  to anon, authenticated, service_role;
grant execute on function public.event_exits(bigint, text, timestamptz, timestamptz, integer, integer)
  to anon, authenticated, service_role;
grant execute on function public.event_forecast(bigint, text, integer)
  to anon, authenticated, service_role;
grant execute on function tickets.major(bigint)
  to anon, authenticated, service_role;
grant execute on function tickets.major(integer)
  to anon, authenticated, service_role;
grant execute on function tickets.percent(numeric, numeric)
  to anon, authenticated, service_role;
grant execute on function tickets.covered_s(bigint, timestamptz, timestamptz)
  to anon, authenticated, service_role;
grant execute on function tickets.split_list(smallint)
  to anon, authenticated, service_role;
grant execute on function tickets.sketch_quantiles(smallint[], bigint[], double precision[])
  to anon, authenticated, service_role;
grant execute on function tickets.buckets(bigint, text, text, timestamptz, timestamptz, text)
  to anon, authenticated, service_role;
grant execute on function tickets.read_freshness(interval)
  to anon, authenticated, service_role;
grant execute on function tickets.theil_sen(integer[], double precision[])
  to anon, authenticated, service_role;
grant execute on function tickets.project(double precision, double precision, double precision)
  to anon, authenticated, service_role;
grant execute on function tickets.fit(integer[], double precision[], integer)
  to anon, authenticated, service_role;
grant execute on function tickets.backtest(integer[], double precision[])
  to anon, authenticated, service_role;
