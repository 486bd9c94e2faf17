"""Ticket-market analytics: polls of ticket listings in, series, sales intervals and alerts out."""
