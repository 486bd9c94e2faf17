drop table public.shop_sales, public.shop_sales_agreements, public.shop_shipping_lines, public.shop_line_items, public.shop_orders;
