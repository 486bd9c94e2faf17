drop function stores.take_up(bigint, double precision);
