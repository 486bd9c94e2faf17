drop function tickets.take_back(public.events, timestamptz, timestamptz);
drop function tickets.apply_between(public.events, timestamptz, timestamptz, timestamptz, tickets.offer[]);
drop function tickets.unpack(bigint, timestamptz);
drop function tickets.apply_in_order(public.events, timestamptz, tickets.offer[]);
