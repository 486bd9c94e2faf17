"""Child processes of `headgate up`: started, watched, restarted, stopped. Ends only what it started, by id."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from headgate.base.errors import SettingsError

STOP_GRACE_S = 20.0
_RESTART_DELAYS_S = (0.2, 1.0, 3.0, 10.0)
_STABLE_AFTER_S = 30.0


@contextlib.contextmanager
def sole_stack(folder: Path) -> Iterator[None]:
    """Hold `folder` for one `headgate up` at a time; the kernel lets go when that one dies. Raises HG104."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / "up.lock").open("a")
    except OSError as error:
        raise SettingsError(
            f"The data folder {folder} cannot be used: {error.strerror}.",
            code="HG105",
            hint="Name another with --data-dir.",
        ) from None
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"`headgate up` already runs from {folder}.",
                code="HG104",
                hint="`headgate status` shows it; another one needs its own --data-dir.",
            ) from None
        yield


@dataclass
class Part:
    """One child: its name, its `headgate` arguments and extra environment, and where it listens."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0


class Parts:
    """Runs every part until `stop` is set; a part that ends by itself is started again, ever more slowly."""

    def __init__(self, *, folder: Path, announce: Callable[[str], None]) -> None:
        self._folder = folder
        self._announce = announce
        self._watchers: list[asyncio.Task[None]] = []
        self.parts: list[Part] = []
        self.shared: dict[
            str, str
        ] = {}  # settings without secrets that whoever joins by the folder must have too
        self._stopping = False
        (folder / "logs").mkdir(parents=True, exist_ok=True)

    @property
    def state_file(self) -> Path:
        """Where `headgate status` finds what runs."""
        return self._folder / "up.json"

    def log_file(self, part: Part) -> Path:
        """Where the part's output goes."""
        return self._folder / "logs" / f"{part.name}.log"

    async def start(self, part: Part) -> None:
        """Start `part` and watch it from now on."""
        self.parts.append(part)
        await self._spawn(part)
        self._watchers.append(asyncio.create_task(self._watch(part), name=f"watch {part.name}"))

    async def _spawn(self, part: Part) -> None:
        environment = {**os.environ, **part.environment, "HEADGATE_PARENT_PID": str(os.getpid())}
        with self.log_file(part).open("ab") as log:
            part.process = await self._execute(part, environment, log)
        self.write_state()

    async def _execute(
        self, part: Part, environment: dict[str, str], log: IO[bytes]
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "headgate",
            *part.arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then stops the parts in order
        )

    async def _watch(self, part: Part) -> None:
        while not self._stopping and part.process is not None:
            started = time.monotonic()
            code = await part.process.wait()
            if self._stopping:
                return
            if time.monotonic() - started > _STABLE_AFTER_S:
                part.restarts = 0
            delay = _RESTART_DELAYS_S[min(part.restarts, len(_RESTART_DELAYS_S) - 1)]
            part.restarts += 1
            self._announce(
                f"{part.name} ended (exit {code}); starting it again in {delay:g} s. Its log: {self.log_file(part)}"
            )
            await asyncio.sleep(delay)
            if not self._stopping:
                await self._spawn(part)

    def write_state(self) -> None:
        """Record what runs for `headgate status`, in one atomic step."""
        state: dict[str, Any] = {
            "pid": os.getpid(),
            "environment": self.shared,
            "parts": [
                {
                    "name": p.name,
                    "pid": p.process.pid if p.process else None,
                    "url": p.url,
                    "restarts": p.restarts,
                }
                for p in self.parts
            ],
        }
        fresh = self.state_file.with_suffix(".new")
        fresh.write_text(json.dumps(state, indent=2))
        fresh.replace(self.state_file)

    async def stop(self) -> None:
        """Ask every part to end, last started first; after 20 s end it."""
        self._stopping = True
        for watcher in self._watchers:
            watcher.cancel()
        for part in reversed(self.parts):
            if part.process and part.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    part.process.terminate()
        await asyncio.gather(*(self._end(part) for part in self.parts))
        self.state_file.unlink(missing_ok=True)

    @staticmethod
    async def _end(part: Part) -> None:
        if part.process is None:
            return
        try:
            await asyncio.wait_for(part.process.wait(), STOP_GRACE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                part.process.kill()
            await part.process.wait()


def end_with_parent() -> None:
    """In a part: end when `headgate up` is gone, however it went. Does nothing when started by hand."""
    parent = int(os.environ.get("HEADGATE_PARENT_PID", "0"))
    if not parent:
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), 15)
        time.sleep(STOP_GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
