"""What everything stands on: errors, settings, clock, ids, log, metrics. Imports nothing of ours."""
