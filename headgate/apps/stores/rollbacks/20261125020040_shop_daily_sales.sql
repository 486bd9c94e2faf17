drop table public.shop_daily_sales;
drop function stores.currency_digits(text);
