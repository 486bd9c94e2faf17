drop function tickets.accept_poll(public.events, timestamptz, bigint, text, tickets.offer[], boolean);
drop function tickets.promote_poll(bigint, bigint, jsonb);
drop function tickets.note_freeze(public.events);
drop function tickets.set_latest(public.events, timestamptz, bigint, tickets.offer[]);
drop function tickets.record_poll(bigint, timestamptz, bigint, bigint, jsonb, jsonb);
drop function tickets.mark_dirty(bigint, text, timestamptz[]);
drop function tickets.freeze_of(public.events);
