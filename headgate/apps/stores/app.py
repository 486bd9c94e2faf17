"""The stores application's manifest: what it syncs, how it is promoted, what runs when. No logic."""

from __future__ import annotations

from pathlib import Path

from headgate.apps.stores import api, bulk_jobs, changes, demo, ingest, privacy, rereads, upkeep, webhook_jobs
from headgate.apps.stores.means import connected
from headgate.apps.stores.screens import SCREENS
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.sources import BULK
from headgate.apps.stores.totals import DAILY, SALES
from headgate.engine.manifest import App
from headgate.engine.schedule import Schedule

SYNC = {
    **bulk_jobs.JOBS,
    "stores.ingest": ingest.ingest,
    **upkeep.JOBS,
    **rereads.JOBS,
    demo.KIND: demo.connect,
}

app = App(
    name="stores",
    title="Stores",
    folder=Path(__file__).parent,
    sources=(BULK,),
    tables=(SALES,),
    rollups=(DAILY,),
    jobs={
        **{kind: connected(factory) for kind, factory in SYNC.items()},
        "stores.webhook_apply": webhook_jobs.webhook_apply(changes.apply),
        "stores.webhooks_repair": webhook_jobs.webhooks_repair,
        "stores.inbox_care": webhook_jobs.inbox_care,
        privacy.KIND: privacy.gdpr,
    },
    schedules=(
        Schedule(name="stores.incremental", kind="stores.incremental", every_s=300.0),
        Schedule(name="stores.reconcile", kind="stores.reconcile", cron="20 3 * * *"),
        Schedule(name="stores.webhooks_repair", kind="stores.webhooks_repair", cron="17 * * * *"),
        Schedule(name="stores.inbox_care", kind="stores.inbox_care", every_s=60.0, at_start=True),
    ),
    api=api.router,
    screens=SCREENS,
    settings=StoresSettings,
    demo=demo.demo,
)
