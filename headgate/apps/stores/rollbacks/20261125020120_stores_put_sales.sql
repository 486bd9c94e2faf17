drop function stores.put_transactions(bigint, bigint, bigint);
drop function stores.put_refund_lines(bigint, bigint, bigint);
drop function stores.put_refunds(bigint, bigint, bigint);
drop function stores.put_sales(bigint, bigint, bigint);
