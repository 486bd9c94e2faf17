drop function stores.redact_shop(bigint);
drop function stores.redact_customer(bigint, bigint, bigint[]);
drop function stores.collect_customer(bigint, bigint, bigint[]);
drop function stores.orders_of_customer(bigint, bigint, bigint[]);
drop function stores.kept_tables();
