"""The stores application's manifest: what it syncs, how it is promoted, what runs when. No logic."""

from __future__ import annotations

from pathlib import Path

from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.sources import BULK
from headgate.apps.stores.totals import DAILY, SALES
from headgate.engine.manifest import App

app = App(
    name="stores",
    title="Stores",
    folder=Path(__file__).parent,
    sources=(BULK,),
    tables=(SALES,),
    rollups=(DAILY,),
    settings=StoresSettings,
)
