drop function tickets.put_back, tickets.sweep_due, tickets.retire_past, tickets.take_due, tickets.set_promises, tickets.phase,
  tickets.poll_interval_s, tickets.base_promise_s;
