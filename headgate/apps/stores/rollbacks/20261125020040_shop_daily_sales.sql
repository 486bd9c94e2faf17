drop table public.shop_daily_sales;
