"""A real PostgreSQL beside the program: made, started, found again, shared by count, stopped by the last
user.

One home folder holds it: `data/` (the cluster), `lock`, `serving`, `users.json`, `server.log`, `password`. Every change
of state happens under the lock, which the kernel gives back when its holder dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote

from psycopg import sql

from headgate.base import log
from headgate.base.errors import DatabaseError
from headgate.db import binaries, cluster, processes
from headgate.db.binaries import Account, Binaries
from headgate.db.connect import Connection, connect
from headgate.db.processes import Postmaster

ADMIN = "supabase_admin"  # the superuser; the product itself never connects as it
OWNER = "postgres"  # owns the database without being superuser, as on hosted Supabase
DATABASE = "headgate"
_POLL_S = 0.02
_TELL_S = 5.0
_ORPHANS_S = 10.0  # how long server processes may outlive a killed postmaster before they are ended
_log = log.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to run the server. `stall_s`: how long a start may show no progress at all before it is an error.

    `tcp_port` also opens 127.0.0.1 (or `tcp_host`) with passwords (SCRAM); without it only a private socket
    exists. `durable=False` trades crash safety for speed: for tests only. `settings` overrule our server
    settings.
    """

    bin: Path | None = None
    tcp_port: int | None = None
    tcp_host: str = "127.0.0.1"
    durable: bool = True
    stall_s: float = 120.0
    settings: Mapping[str, str] = field(default_factory=dict)


class EmbeddedServer:
    """One user's hold on the server of a home folder. Get it with `open`, give it back with `close`."""

    def __init__(self, home: Path, options: Options) -> None:
        self.home = home.absolute()
        self._options = options
        self._data = self.home / "data"
        self._references = processes.References(self.home / "users.json")
        self._child: subprocess.Popen[bytes] | None = None
        self._reaper: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._open = False
        self._postmaster: Postmaster | None = None

    @classmethod
    async def open(cls, home: Path, options: Options | None = None, *, watch: bool = True) -> Self:
        """Start the server of `home`, or join the one that runs. Makes the cluster the first time.

        `watch`: restart it if it dies while we use it. Raises DatabaseError HG230–HG239.
        """
        server = cls(home, options or Options())
        await server._join()
        if watch:
            server._watch = asyncio.create_task(server._keep_alive())
        return server

    async def close(self) -> None:
        """Leave. The last user stops the server; users that were killed do not count."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError, RuntimeError):
                await self._watch
            self._watch = None
        if not self._open:
            return
        self._open = False
        async with self._locked():
            self._references.remove()
            if not self._references.live():
                await self._stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self._running().pid

    def url(self, dbname: str = DATABASE, user: str = OWNER) -> str:
        """The URL over the private socket; it needs no password because only we may enter the socket's
        folder.
        """
        running = self._running()
        folder = quote(running.socket_dir, safe="")
        return f"postgresql://{user}@/{quote(dbname)}?host={folder}&port={running.port}"

    def admin_url(self, dbname: str = DATABASE) -> str:
        """The URL of the superuser, for the platform and for tests."""
        return self.url(dbname, ADMIN)

    def tcp_url(self, dbname: str = DATABASE) -> str:
        """The URL over TCP, with the generated password. Raises DatabaseError HG234 if TCP is not open."""
        running = self._running()
        if not running.host:
            raise DatabaseError(
                "The embedded PostgreSQL listens on no TCP port.",
                code="HG234",
                hint="Start it with a TCP port.",
            )
        password = (self.home / "password").read_text().strip()
        host = "127.0.0.1" if running.host in ("*", "0.0.0.0") else running.host  # noqa: S104 - compared, not bound
        return f"postgresql://{OWNER}:{quote(password)}@{host}:{running.port}/{quote(dbname)}"

    def _running(self) -> Postmaster:
        if self._postmaster is None:
            raise DatabaseError(
                "The embedded PostgreSQL is not open.", code="HG235", hint="Call open() first."
            )
        return self._postmaster

    # --- joining

    async def _join(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            binaries.account_for(self._data)
            os.close(os.open(self.home / "lock", os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise DatabaseError(
                f"The folder {self.home} cannot be written: {error.strerror}.",
                code="HG232",
                hint="Run as its owner, or set HEADGATE_DATA_DIR to a folder of your own.",
            ) from error
        async with self._locked():
            await self._ensure()
            self._references.add()
            self._open = True

    async def _ensure(self) -> None:
        """Under the lock: a server that answers, found or started."""
        account = binaries.account_for(self._data)
        programs = await asyncio.to_thread(binaries.find, self._options.bin)
        real = binaries.reachable_data(self._data, account)
        found = processes.read_postmaster(real)
        if found is not None and processes.is_postmaster(found, real):
            if not _socket_lost(found) and (self._fits(found) or self._references.live()):
                await self._until_ready(real)
                self._check_tcp()
                return
            await self._stop()
        await self._clear_remains(real)
        programs = binaries.reachable_binaries(programs, account)
        if not (real / "PG_VERSION").exists():
            await asyncio.to_thread(cluster.create, programs, real, account, durable=self._options.durable)
        cluster.check_version(programs, real)
        await self._start(programs, real, account)
        await self._until_ready(real)
        await self._bootstrap()

    def _fits(self, found: Postmaster) -> bool:
        wanted = self._options.tcp_port
        return wanted is None or (bool(found.host) and wanted in (0, found.port))

    def _check_tcp(self) -> None:
        if not self._fits(self._running()):
            raise DatabaseError(
                f"The embedded PostgreSQL in {self.home} runs already, without TCP port"
                f" {self._options.tcp_port}.",
                code="HG234",
                hint="Stop its other users first, or leave the port out.",
            )

    async def _start(self, programs: Binaries, real: Path, account: Account) -> None:
        sockets = cluster.socket_folder(self.home, real, account)
        port = self._options.tcp_port or 5432
        if self._options.tcp_port == 0:
            port = cluster.free_port(self._options.tcp_host)
        cluster.write_settings(real, account, durable=self._options.durable, extra=self._options.settings)
        listen = self._options.tcp_host if self._options.tcp_port is not None else ""
        command = [str(programs.program("postgres")), "-D", str(real), "-k", str(sockets), "-p", str(port)]
        command += ["-c", f"listen_addresses={listen}"]
        serving = processes.try_lock(self.home / "serving")
        if serving is None:
            raise self._served_elsewhere()
        try:
            with cluster.open_log(self.home) as output:
                child = await asyncio.to_thread(
                    lambda: subprocess.Popen(  # noqa: S603 - our own arguments
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        cwd="/",
                        env=cluster.environment(),
                        start_new_session=True,
                        pass_fds=[serving],  # held by every server process until the last has ended
                        **binaries.demote(account),  # type: ignore[call-overload]
                    )
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise DatabaseError(
                f"PostgreSQL could not be started as {account.name}: {error}.",
                code="HG235",
                hint="Run Headgate as an ordinary user, or set HEADGATE_DATABASE_URL.",
            ) from error
        finally:
            processes.unlock(serving)
        self._child = child
        self._reaper = await asyncio.to_thread(processes.start_reaper, self.home, real, child.pid)

    async def _until_ready(self, real: Path) -> None:
        """Wait as long as there is progress, however long recovery takes; then connect for real."""
        began = told = moved = time.monotonic()
        done = -1
        while True:
            found = processes.read_postmaster(real)
            if found is not None and found.ready and processes.is_postmaster(found, real):
                self._postmaster = found
                conn = await connect(self.admin_url("postgres"), application_name="headgate start")
                await conn.close()
                return
            if self._start_failed(found, real):
                raise cluster.start_failed(self.home)
            now = time.monotonic()
            if now - told >= _TELL_S:
                told = now
                work = processes.work_done(real)
                moved, done = (now, work) if work != done else (moved, done)
                last = cluster.last_log_line(self.home)
                _log.warning("postgres.starting", seconds=round(now - began), data=str(real), last_line=last)
            if now - moved > self._options.stall_s:
                raise DatabaseError(
                    f"PostgreSQL in {real} has been starting for {now - began:.0f} s and makes no progress.",
                    code="HG236",
                    details={"last_line": cluster.last_log_line(self.home)},
                    hint=f"Read {self.home / 'server.log'}; it goes on starting, so trying again"
                    f" later may do.",
                )
            await asyncio.sleep(_POLL_S if now - began < 1 else 0.1)

    def _start_failed(self, found: Postmaster | None, real: Path) -> bool:
        if self._child is not None:
            return self._child.poll() is not None
        return found is None or not processes.is_postmaster(found, real)

    async def _bootstrap(self) -> None:
        """The owner role, the database, and the password for TCP; each only if missing."""
        async with await connect(self.admin_url("postgres"), application_name="headgate bootstrap") as conn:
            await cluster.bootstrap(conn, OWNER, DATABASE)
            if self._options.tcp_port is not None:
                await self._set_password(conn)

    async def _set_password(self, conn: Connection) -> None:
        path = self.home / "password"
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
            processes.give_to_owner(path)
        secret = path.read_text().strip().encode()
        verifier = conn.pgconn.encrypt_password(secret, OWNER.encode(), b"scram-sha-256").decode()
        await conn.execute(
            sql.SQL("alter role {} password {}").format(sql.Identifier(OWNER), sql.Literal(verifier))
        )

    # --- remains of earlier lives

    async def _clear_remains(self, real: Path) -> None:
        """After a crash: wait for orphaned server processes to end, then drop what names a process that is
        not ours.
        """
        began = time.monotonic()
        while (orphans := processes.working_in(real)) or processes.is_locked(self.home / "serving"):
            waited = time.monotonic() - began
            if waited > _ORPHANS_S and orphans:
                _log.warning("postgres.orphans_killed", pids=orphans, data=str(real))
                for pid in orphans:
                    processes.end(pid, signal.SIGKILL)
            elif waited > _ORPHANS_S:
                raise self._served_elsewhere()
            await asyncio.sleep(0.05 if waited < _ORPHANS_S else 0.5)
        stale = processes.read_postmaster(real)
        if stale is not None:
            (Path(stale.socket_dir) / f".s.PGSQL.{stale.port}.lock").unlink(missing_ok=True)
            _log.info("postgres.stale_pid_removed", pid=stale.pid, data=str(real))
        (real / "postmaster.pid").unlink(missing_ok=True)

    def _served_elsewhere(self) -> DatabaseError:
        return DatabaseError(
            f"The database in {self.home} is served by a process that cannot be seen from here.",
            code="HG233",
            hint="Another container shares this folder: stop it, or let it use a folder of its own.",
        )

    async def _stop(self) -> None:
        """Under the lock: a fast shutdown (sessions end, everything is on disk), however long its checkpoint
        takes.
        """
        real = self._data.resolve()
        found = processes.read_postmaster(real)
        if found is not None and processes.is_postmaster(found, real):
            processes.end(found.pid, signal.SIGINT)
            began = told = time.monotonic()
            while processes.start_mark(found.pid) is not None:
                if self._child is not None:
                    self._child.poll()
                if time.monotonic() - told > _TELL_S:
                    told = time.monotonic()
                    _log.warning("postgres.stopping", seconds=round(told - began), data=str(real))
                await asyncio.sleep(_POLL_S)
            _remove_if_empty(found.socket_dir)
        await self._forget_children()

    async def _forget_children(self) -> None:
        """Collect the dead server and its reaper, if it was we who started them."""
        if self._reaper is not None:
            self._reaper.kill()
        for child in (self._child, self._reaper):
            if child is not None:
                await asyncio.to_thread(child.wait)
        self._child = self._reaper = None

    # --- keeping it alive

    async def _keep_alive(self) -> None:
        """Restart the server if it dies while we hold it. The socket's place stays, so pools come back."""
        while True:
            await asyncio.sleep(0.5)
            if self._child is not None:
                self._child.poll()
            if processes.start_mark(self._running().pid) is None:
                try:
                    await self._revive()
                except DatabaseError as error:
                    _log.error("postgres.not_restarted", error=str(error))
                    await asyncio.sleep(5)

    async def _revive(self) -> None:
        _log.warning("postgres.died", pid=self._running().pid, home=str(self.home))
        async with self._locked():
            await self._forget_children()
            await self._ensure()

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        path = self.home / "lock"
        told = time.monotonic()
        while (descriptor := processes.try_lock(path)) is None:
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                _log.warning(
                    "postgres.waiting", why="another process starts or stops it", home=str(self.home)
                )
            await asyncio.sleep(_POLL_S)
        try:
            yield
        finally:
            processes.unlock(descriptor)


def _socket_lost(found: Postmaster) -> bool:
    """True if somebody removed the socket of a running server: then nobody can reach it any more."""
    return found.ready and not (Path(found.socket_dir) / f".s.PGSQL.{found.port}").exists()


def _remove_if_empty(folder: str) -> None:
    with contextlib.suppress(OSError):
        Path(folder).rmdir()
