drop function tickets.offers_at(bigint, timestamptz);
drop function tickets.name_offers(public.events, tickets.offer[]);
drop function tickets.zone_of(text, text, text, text);
drop function tickets.fault_of(public.events, tickets.offer[], jsonb);
drop function tickets.count_of(jsonb, text);
drop function tickets.read_offers(bigint);
drop function tickets.split_bits(integer[]);
drop function tickets.number_of(text);
drop type tickets.offer;
