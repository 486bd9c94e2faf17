"""Realtime: database changes, broadcast and presence over websockets, as Supabase's clients speak it."""
