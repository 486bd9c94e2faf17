"""Applications shipped with Headgate: one folder of one shape each."""
