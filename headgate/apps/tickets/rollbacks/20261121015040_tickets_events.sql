drop function tickets.put_event, tickets.end_sweep, tickets.note_moves, tickets.promote_events,
  tickets.page_events;
