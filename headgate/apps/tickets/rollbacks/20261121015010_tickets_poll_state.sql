drop table tickets.promises, tickets.sweeps, tickets.poll_state;
