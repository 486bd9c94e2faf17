drop view public.shop_customer_totals;
