drop function stores.put_shipping_lines(bigint, bigint, bigint);
drop function stores.put_line_items(bigint, bigint, bigint);
drop function stores.put_agreements(bigint, bigint, bigint);
drop function stores.put_orders(bigint, bigint, bigint);
