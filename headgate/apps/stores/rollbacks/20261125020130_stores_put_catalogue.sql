drop function stores.put_levels(bigint, bigint, bigint);
drop function stores.put_variants(bigint, bigint, bigint);
drop function stores.put_products(bigint, bigint, bigint);
drop function stores.put_customers(bigint, bigint, bigint);
