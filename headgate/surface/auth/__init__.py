"""Who is asking: the door to joserfc. Issues nothing to a caller it has not verified."""
