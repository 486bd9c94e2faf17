"""Ending of background tasks."""

from __future__ import annotations

import asyncio
from typing import Any


async def ended(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel the tasks and wait until they have ended; None is passed over.

    Raises what a task failed with; a cancellation of the caller itself goes through, unlike with
    `suppress(CancelledError)` around an await.
    """
    given = [task for task in tasks if task is not None]
    for task in given:
        task.cancel()
    if given:
        await asyncio.wait(given)
    for task in given:
        if not task.cancelled():
            task.result()
