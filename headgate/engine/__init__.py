"""Runs, queue, fetch, stage, promote, rollups. Knows no application and never the surface."""
