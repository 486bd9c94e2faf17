drop function tickets.unseal(bigint, timestamptz);
drop function tickets.seal(date, integer);
drop function tickets.drop_ended_listings(bigint);
drop function tickets.seal_day(bigint, date);
drop function tickets.utc_day(timestamptz);
drop view public.listing_spans;
