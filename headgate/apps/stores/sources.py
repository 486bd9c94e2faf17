"""The application's sources: bulk files, and pages of the Admin API flattened to the lines that bulk files have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from headgate.apps.stores.lines import PARSER
from headgate.engine.manifest import Page, Source, SourceContext


async def _given(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
    """What the run was given as `lines`: a page that somebody fetched already."""
    yield Page(rows=ctx.args["lines"], meta=ctx.args["meta"], last=True)


#: A bulk operation's file, through `headgate.engine.bulk.ingest_file`.
BULK = Source(
    name="stores.bulk",
    fetch=_given,
    promote="stores.promote_batch",
    prepare="stores.prepare_batch",
    parser=PARSER,
    drift=False,
)
