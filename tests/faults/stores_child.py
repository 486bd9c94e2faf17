"""The worker that storms kill: a parent that has imported everything forks one process per order, so none starts cold.

An order is a line of JSON on standard input; the answer is a line with the process id. A process is the product's own
worker with the application's jobs and, with `port`, the application's endpoints, so that webhooks reach it. It dies by
its own SIGKILL at a point that the order names, or by somebody else's. No code of the product knows.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import resource
import signal
import socket
import sys
import threading
import time
from random import Random
from typing import Any

import psycopg
import uvicorn
from fastapi import FastAPI

from headgate.apps.stores import api
from headgate.apps.stores.app import app
from headgate.apps.stores.wire import Wire
from headgate.base import log
from headgate.db import Database
from headgate.engine.fetch import Fetcher
from headgate.engine.manifest import Services
from headgate.engine.worker import Limits, Worker
from tests import stores_shop

#: Statements at which a process may die, by what is in their text.
STATEMENTS = {
    "begin": r"stores\.begin_sync",
    "submitting": r"set submitting_at = clock_timestamp",
    "submitted": r"set state = 'submitted'",
    "polled": r"set state = .*remote_status",
    "downloaded": r"set bytes = ",
    "promote": r"promote_batch",
    "finish": r"expected_after = ",
    "apply": r"stores\.apply_objects",
    "delete": r"stores\.apply_delete",
    "refunds": r"stores\.apply_refund_lines",
    "reconcile": r"stores\.reconcile\(",
    "end_run": r"update stores\.sync_runs set state",
    "token": r"insert into stores\.tokens",
    "webhook": r"stores\.take_webhook",
    "webhook_done": r"update stores\.webhook_inbox",
    "redact": r"stores\.redact_customer",
    "settle": r"control\.(settle_job|settle_owned)",
}
#: Exchanges with Shopify at which it may die.
EXCHANGES = {
    "ask": r"graphql\.json",
    "submit": r"bulkOperationRunQuery",
    "download": r"/_bulk/",
    "refresh": r"oauth/access_token",
}
POINTS = (*STATEMENTS, *EXCHANGES)
#: Before it, while it is under way, after its answer but before the commit, and a little later.
WAYS = ("before", "inside", "after", "later")


class Reaper:
    """Counts how often the chosen point is reached and strikes at the `nth` time."""

    def __init__(self, point: str, nth: int, how: str, seed: int) -> None:
        self.pattern = re.compile(STATEMENTS.get(point) or EXCHANGES[point], re.DOTALL)
        self.left, self.how = nth, how
        self.dice = Random(f"{point} {nth} {how} {seed}")
        if point in STATEMENTS:
            self._statements()
        else:
            self._exchanges()

    def strikes(self, text: str) -> bool:
        """Whether this is the moment; `before` does not return."""
        if not self.pattern.search(text):
            return False
        self.left -= 1
        if self.left:
            return False
        if self.how == "before":
            die()
        if self.how in ("inside", "later"):
            low, high = (0.0, 0.004) if self.how == "inside" else (0.004, 0.05)
            threading.Thread(target=die, args=(self.dice.uniform(low, high),), daemon=True).start()
        return True

    def _statements(self) -> None:
        original, reaper = psycopg.AsyncCursor.execute, self

        async def execute(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            text = query if isinstance(query, str) else _text(query)
            struck = reaper.strikes(text)
            result = await original(cursor, query, *args, **kwargs)
            if struck and reaper.how == "after":
                die()
            return result

        psycopg.AsyncCursor.execute = execute  # type: ignore[assignment]

    def _exchanges(self) -> None:
        original, reaper = Wire.send, self

        async def send(wire: Wire, method: str, url: str, **given: Any) -> Any:
            struck = reaper.strikes(f"{url} {(given.get('body') or b'')[:4000].decode('utf-8', 'replace')}")
            answer = await original(wire, method, url, **given)
            if struck and reaper.how == "after":
                die()
            return answer

        Wire.send = send  # type: ignore[method-assign]


def _text(query: Any) -> str:
    if isinstance(query, bytes):
        return query.decode()
    return str(query.as_string(None)) if hasattr(query, "as_string") else str(query)


def die(after_s: float = 0.0) -> None:
    """kill -9 of this process."""
    time.sleep(after_s)
    os.kill(os.getpid(), signal.SIGKILL)


async def serve(services: Services, port: int) -> None:
    """The application's endpoints on a port of loopback that the storm keeps for it."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    http = FastAPI()
    http.include_router(api.router(services))
    config = uvicorn.Config(http, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    await server.serve(sockets=[listener])


async def work(order: dict[str, Any]) -> None:
    """The worker until something ends it."""
    log.configure(level="critical", json=True)
    settings = stores_shop.extras(**order["settings"]) | {"data_dir": order["data_dir"]}
    async with await Database.open(order["url"], max_size=10, application_name=order["name"]) as db:
        given = Services(db=db, fetcher=Fetcher(db, user_agent="test"), app=app, settings=settings)
        handlers = {kind: factory(given) for kind, factory in app.jobs.items()}
        limits = Limits(poll_s=0.1, lease_s=order["lease_s"])
        worker = Worker(db, handlers, concurrency=6, limits=limits, name=order["name"])
        if order.get("kill"):
            Reaper(**order["kill"])
        tasks = [asyncio.create_task(worker.run(asyncio.Event()))]
        if order.get("port"):
            tasks.append(asyncio.create_task(serve(given, order["port"])))
        await asyncio.gather(*tasks)


def child(order: dict[str, Any]) -> None:
    """Work, and leave without the parent's clean-up. `file_bytes`: no file may grow beyond it: the disk is full."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing outlives the storm
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if order.get("file_bytes") is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"], order["file_bytes"]))
    try:
        asyncio.run(work(order))
    finally:
        os._exit(4)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are nobody's to wait for
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.close(0)
            child(json.loads(line))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
