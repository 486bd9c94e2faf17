drop function tickets.take_poll, tickets.after_poll;
