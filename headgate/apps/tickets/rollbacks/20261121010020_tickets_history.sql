drop view tickets.ended;
drop table tickets.horizon, public.listing_spans_sealed, tickets.packs, tickets.spans, public.polls;
