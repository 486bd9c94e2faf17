"""Processes that render images: a few at a time, each killed when it takes too long, and ended when idle."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any

import orjson

from headgate.surface.storage.errors import StorageError

_PROGRAM = Path(__file__).with_name("painter.py")
_MEMORY = 1_500_000_000  # bytes of addresses; the image libraries map some 300 MB themselves
_IDLE_S = 60.0
_JOBS_MAX = 200  # then a fresh process, so that nothing grows for ever
_WAITING_MAX = 100


class _Painter:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.jobs = 0

    @classmethod
    async def start(cls) -> _Painter:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(_PROGRAM), str(_MEMORY),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        return cls(process)

    async def work(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """What came of the job; None if the process ended over it."""
        pipe_in, pipe_out = self.process.stdin, self.process.stdout
        assert pipe_in is not None and pipe_out is not None  # noqa: S101 - both are pipes
        self.jobs += 1
        with contextlib.suppress(ConnectionError):
            pipe_in.write(orjson.dumps(job) + b"\n")
            await pipe_in.drain()
        line = await pipe_out.readline()
        return orjson.loads(line) if line else None

    async def kill(self) -> None:
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        transport = getattr(self.process, "_transport", None)
        if transport is not None:
            transport.close()


class Painters:
    """Up to `count` processes; jobs beyond them wait their turn."""

    def __init__(self, *, count: int, timeout_s: float) -> None:
        self._turns = asyncio.Semaphore(count)
        self._timeout_s = timeout_s
        self._idle: list[_Painter] = []
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def render(self, job: dict[str, Any]) -> dict[str, Any]:
        """Render; the answer of the process. Raises StorageError for an image that cannot be rendered."""
        if self._waiting >= _WAITING_MAX:
            raise StorageError(
                429,
                "SlowDown",
                "Too many images wait to be transformed",
                http=429,
                headers=[("retry-after", "5")],
            )
        self._waiting += 1
        try:
            async with self._turns:
                return await self._one(job)
        finally:
            self._waiting -= 1

    async def _one(self, job: dict[str, Any]) -> dict[str, Any]:
        painter = self._idle.pop() if self._idle else await _Painter.start()
        good = False
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await painter.work({**job, "seconds": self._timeout_s})
            good = answer is not None and not answer.get("last") and painter.jobs < _JOBS_MAX
        except TimeoutError:
            raise _refused("The image takes too long to be transformed") from None
        finally:
            if good:
                self._idle.append(painter)
                self._end_later()
            else:
                await painter.kill()
        if answer is None:
            raise _refused("The image cannot be transformed within the limits")
        if not answer["ok"]:
            raise _refused(str(answer["reason"]))
        return answer

    def _end_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_IDLE_S, self._end_idle)

    def _end_idle(self) -> None:
        idle, self._idle = self._idle, []
        for painter in idle:
            task = asyncio.create_task(painter.kill())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End every process."""
        if self._timer is not None:
            self._timer.cancel()
        self._end_idle()
        await asyncio.gather(*self._ending, return_exceptions=True)


def _refused(message: str) -> StorageError:
    return StorageError(422, "InvalidImage", message)
