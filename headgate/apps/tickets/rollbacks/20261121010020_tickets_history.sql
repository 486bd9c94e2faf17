drop table tickets.horizon, public.listing_spans_sealed, tickets.spans, public.polls;
