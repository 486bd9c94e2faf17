"""The process that dies in the kill tests: a small parent that forks one child per order, so that none starts cold.

An order is a line of JSON on standard input: url, seed, kind, and the point: the how-manieth exchange with
PostgreSQL (`at`, from 1; 0 for none) and what happens there (`how`: before, inside, after the exchange; terminate;
crash). The answer is a line with how the child ended and how many exchanges it had. No code of the product knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Generator
from typing import Any

import psycopg

from headgate.base.errors import HeadgateError
from headgate.db import Connection, Database
from headgate.engine.runs import run_source
from tests.faults.promote_story import source

READ = 1  # psycopg.waiting.Wait.R: everything is sent, the answer is awaited


class Reaper:
    """Counts exchanges of every connection of this process and strikes at the chosen one."""

    def __init__(self, order: dict[str, Any], counter: int) -> None:
        self.at, self.how, self.url = order["at"], order["how"], order["url"]
        self.counter = counter
        self.count = 0
        self.pause = random.Random(f"{order['seed']}/{self.at}/{self.how}").uniform(0, 0.004)

    def install(self) -> None:
        """Wrap the one place where psycopg waits for the server."""
        original = psycopg.AsyncConnection.wait
        reaper = self

        async def wait(conn: Any, gen: Any, *args: Any, **kwargs: Any) -> Any:
            if not reaper.begin(conn):
                return await original(conn, gen, *args, **kwargs)
            result = await original(conn, reaper.watch(gen), *args, **kwargs)
            if reaper.how == "after":
                reaper.die()
            return result

        psycopg.AsyncConnection.wait = wait  # type: ignore[method-assign]

    def begin(self, conn: Any) -> bool:
        """Count an exchange; True when it is the chosen one."""
        self.count += 1
        os.pwrite(self.counter, self.count.to_bytes(4, "big"), 0)
        if self.count != self.at:
            return False
        if self.how == "before":
            self.die()
        if self.how == "terminate":
            self.terminate(conn)
        if self.how == "crash":
            self.crash()
        return True

    def watch(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The exchange itself; dies a moment after the last byte is sent, if asked to."""
        ready: Any = None
        while True:
            try:
                state = gen.send(ready)
            except StopIteration as end:
                if self.how == "inside":  # nothing was awaited, such as for a piece of a COPY
                    self.die()
                return end.value
            if self.how == "inside" and int(state) == READ:
                time.sleep(self.pause)
                self.die()
            ready = yield state

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def terminate(self, conn: Any) -> None:
        """Have the server end this connection's backend."""
        with psycopg.connect(self.url, autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s, 2000)", (conn.info.backend_pid,))

    def crash(self) -> None:
        """kill -9 of a backend: PostgreSQL throws everybody out, recovers, and has emptied what is unlogged."""
        with psycopg.connect(self.url, autocommit=True) as other:
            os.kill(other.info.backend_pid, signal.SIGKILL)
            with contextlib.suppress(psycopg.OperationalError):
                other.execute("select pg_sleep(5)")


class Job:
    """Stands where a worker's job context does; settling twice would show as two rows."""

    class job:
        id, attempt = 1, 1

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def settle(self, conn: Connection, result: Any = None) -> None:
        await conn.execute("insert into public.demo_done values (%s::jsonb)", (json.dumps(result),))


async def work(order: dict[str, Any], counter: int) -> None:
    async with await Database.open(order["url"], max_size=2, application_name="headgate victim") as db:
        Reaper(order, counter).install()
        await run_source(db, source(order["seed"], order["kind"]), "items", job=Job())  # type: ignore[arg-type]


def child(order: dict[str, Any], counter: int) -> None:
    """Run one order and leave without the parent's clean-up; 0 well, 3 an error that the product knows."""
    code = 4
    try:
        asyncio.run(work(order, counter))
        code = 0
    except (HeadgateError, psycopg.Error):
        code = 3
    finally:
        os._exit(code)


def main() -> None:
    counter = os.memfd_create("exchanges")
    for line in sys.stdin:
        os.pwrite(counter, bytes(4), 0)
        pid = os.fork()
        if pid == 0:
            child(json.loads(line), counter)
        _, status = os.waitpid(pid, 0)
        count = int.from_bytes(os.pread(counter, 4, 0), "big")
        answer = {"ended": os.waitstatus_to_exitcode(status), "exchanges": count}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
