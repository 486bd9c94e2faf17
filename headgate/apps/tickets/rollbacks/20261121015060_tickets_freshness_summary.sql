drop function tickets.freshness_summary;
