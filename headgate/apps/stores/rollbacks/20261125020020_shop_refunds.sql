drop table public.shop_transactions, public.shop_refund_lines, public.shop_refunds;
