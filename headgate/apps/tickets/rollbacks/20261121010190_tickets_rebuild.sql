drop function tickets.state(bigint);
drop function tickets.remap_zones(bigint);
drop function tickets.rebuild_event(bigint);
drop function tickets.dirty_all(bigint, timestamptz);
drop function tickets.first_poll(bigint);
