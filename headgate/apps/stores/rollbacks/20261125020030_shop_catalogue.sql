drop table public.shop_inventory_levels, public.shop_variants, public.shop_products, public.shop_customers;
