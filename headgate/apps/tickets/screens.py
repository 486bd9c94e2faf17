"""The console's pages of the ticket application."""

from __future__ import annotations

from headgate.engine.manifest import Screen

SCREENS = (
    Screen(name="events", title="Events", module="events.js"),
    Screen(name="screener", title="Screener", module="screener.js"),
    Screen(name="alerts", title="Alerts", module="alerts.js"),
    Screen(name="freshness", title="Freshness", module="freshness.js"),
)
