drop function public.event_forecast(bigint, text, integer);
drop function tickets.backtest(integer[], double precision[]);
drop function tickets.fit(integer[], double precision[], integer);
drop function tickets.project(double precision, double precision, double precision);
drop function tickets.theil_sen(integer[], double precision[]);
