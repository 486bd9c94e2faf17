"""The ticket application's manifest: what it collects, how it is promoted, what runs when. No logic."""

from __future__ import annotations

from pathlib import Path

from headgate.apps.tickets import alerts, api, demo, jobs, recording, sources, upkeep
from headgate.apps.tickets.replay import replay
from headgate.apps.tickets.screens import SCREENS
from headgate.apps.tickets.settings import TicketsSettings
from headgate.engine.manifest import App, Source
from headgate.engine.schedule import Schedule

app = App(
    name="tickets",
    title="Ticket markets",
    folder=Path(__file__).parent,
    sources=(
        Source(name="tickets.listings", fetch=sources.vivid_listings, promote="tickets.take_poll"),
        Source(name="tickets.productions", fetch=sources.vivid_productions, promote="tickets.promote_events"),
        Source(
            name="tickets.seatgeek_listings", fetch=sources.seatgeek_listings, promote="tickets.take_poll"
        ),
        Source(
            name="tickets.seatgeek_events", fetch=sources.seatgeek_events, promote="tickets.promote_events"
        ),
        Source(
            name="tickets.ticketmaster", fetch=sources.ticketmaster_events, promote="tickets.promote_events"
        ),
        Source(name="tickets.recording", fetch=recording.recorded, promote="tickets.promote_poll"),
    ),
    jobs={
        "tickets.plan": jobs.plan,
        "tickets.poll": jobs.poll,
        "tickets.productions": jobs.sweep("tickets.productions"),
        "tickets.seatgeek_events": jobs.sweep("tickets.seatgeek_events"),
        "tickets.ticketmaster": jobs.sweep("tickets.ticketmaster"),
        "tickets.demo_history": demo.history,
        alerts.KIND: alerts.handler,
        **upkeep.JOBS,
    },
    schedules=(
        Schedule(name="tickets.plan", kind="tickets.plan", every_s=1.0, priority=10),
        Schedule(name="tickets.seatgeek_events", kind="tickets.seatgeek_events", cron="5 */6 * * *"),
        Schedule(
            name="tickets.ticketmaster",
            kind="tickets.ticketmaster",
            cron="35 */6 * * *",
            key=jobs.TICKETMASTER_LANE,
        ),
        Schedule(name=alerts.KIND, kind=alerts.KIND, every_s=5.0, priority=5),
        *upkeep.SCHEDULES,
    ),
    api=api.router,
    screens=SCREENS,
    settings=TicketsSettings,
    demo=demo.demo,
    replay=replay,
)
