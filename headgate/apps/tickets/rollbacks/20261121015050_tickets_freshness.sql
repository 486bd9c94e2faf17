drop function tickets.freshness, tickets.event_freshness;
