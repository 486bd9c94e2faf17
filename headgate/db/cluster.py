"""The files of an embedded cluster: making it, its settings, its socket's place, its log. Starts no
server.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from headgate.base.errors import DatabaseError
from headgate.db.binaries import ROOT_HOME, Account, Binaries, demote, reachable
from headgate.db.connect import Connection
from headgate.db.processes import give_to_owner

_SOCKET_LIMIT = 90  # sun_path holds 104 to 108 bytes; the socket's own name takes 15
_LOG_LIMIT = 20_000_000
_HBA = """# Written by Headgate at each start. The socket lies in a folder that only the owner may enter.
local all all trust
local replication all trust
host all all all scram-sha-256
"""


def create(programs: Binaries, data: Path, account: Account, *, durable: bool) -> None:
    """Make the cluster `data`: checksums, UTF-8, the same order of text on every machine. All or nothing.

    Raises DatabaseError HG237 if initdb fails.
    """
    half = data.with_name(f"{data.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    if account.switch:
        os.chown(half, account.uid, account.gid)
    command = [str(programs.program("initdb")), "-D", str(half), "-U", "supabase_admin", "-A", "trust"]
    command += ["-E", "UTF8", "--data-checksums", "--no-instructions", *_locale(programs.major)]
    command += [] if durable else ["--no-sync"]
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=environment(),
            **demote(account),
        )  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError) as error:
        raise DatabaseError(
            f"initdb could not be run as {account.name}: {error}.",
            code="HG237",
            hint="Run Headgate as an ordinary user, or set HEADGATE_DATABASE_URL.",
        ) from error
    if done.returncode != 0:
        shutil.rmtree(half, ignore_errors=True)
        raise DatabaseError(
            f"initdb could not make a database in {data}: {done.stderr.strip()[-500:]}",
            code="HG237",
            hint="Is there space, and is the folder writable? HEADGATE_DATA_DIR can name another one.",
        )
    with (half / "postgresql.conf").open("a") as file:
        file.write("\ninclude_if_exists = 'headgate.conf'\n# Your own settings go below this line.\n")
    half.rename(data)


def _locale(major: int) -> list[str]:
    if major >= 17:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return ["--locale-provider=libc", "--locale=C.UTF-8"]


def check_version(programs: Binaries, data: Path) -> None:
    """Raise DatabaseError HG238 unless the programs are of the cluster's major version."""
    written = (data / "PG_VERSION").read_text().strip()
    if written != str(programs.major):
        raise DatabaseError(
            f"The cluster in {data} is of PostgreSQL {written}, but the programs are of {programs.major}.",
            code="HG238",
            hint=f"Set HEADGATE_POSTGRES_BIN to PostgreSQL {written}, dump, and restore into a new folder.",
        )


def write_settings(data: Path, account: Account, *, durable: bool, extra: Mapping[str, str]) -> None:
    """Write `headgate.conf` and `pg_hba.conf`. Lines that the operator adds to postgresql.conf overrule
    ours.
    """
    values = {**_settings(durable), **extra}
    lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in values.items()]
    for name, text in (("headgate.conf", "".join(lines)), ("pg_hba.conf", _HBA)):
        path = data / name
        path.write_text("# Written by Headgate at each start.\n" + text)
        path.chmod(0o600)
        if account.switch:
            os.chown(path, account.uid, account.gid)


def _settings(durable: bool) -> dict[str, str]:
    megabytes = _memory_mb()
    settings = {
        "max_connections": "200",
        "shared_buffers": f"{min(1024, max(64, megabytes // 8))}MB",
        "effective_cache_size": f"{max(256, megabytes // 2)}MB",
        "work_mem": "8MB",
        "maintenance_work_mem": "128MB",
        "wal_level": "logical",
        "max_wal_size": "2GB",
        "max_slot_wal_keep_size": "4GB",
        "checkpoint_timeout": "10min",
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "password_encryption": "scram-sha-256",
        "unix_socket_permissions": "0700",
        "log_startup_progress_interval": "5s",
        "log_line_prefix": "%m [%p] %q%u@%d %a ",
        "logging_collector": "off",
        "autovacuum_naptime": "15s",
    }
    if _small_shared_memory():
        settings["min_dynamic_shared_memory"] = "64MB"
    if not durable:
        settings |= {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "128MB",
            "autovacuum_naptime": "1min",
        }
    return settings


def _memory_mb() -> int:
    """The memory of this machine, or of its control group if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(limit).read_text()))
    return total // 2**20


def _small_shared_memory() -> bool:
    """True where /dev/shm is as small as containers have it: too small for parallel queries."""
    try:
        found = os.statvfs("/dev/shm")  # noqa: S108 - looked at, not written
    except OSError:
        return False
    return found.f_frsize * found.f_blocks < 256 * 2**20


def socket_folder(home: Path, data: Path, account: Account) -> Path:
    """A folder for the socket: short enough for the system, and private. Beside the data where that works."""
    mark = hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:12]
    places = [home / "run"]
    if account.switch:
        places.append(ROOT_HOME / f"run-{mark}")
    places.append(Path(tempfile.gettempdir()) / f"headgate-{account.uid}-{mark}")
    places.append(Path("/tmp") / f"headgate-{account.uid}-{mark}")  # noqa: S108 - made 0700 and checked below
    for place in places:
        if len(str(place).encode()) > _SOCKET_LIMIT or not reachable(place, account):
            continue
        with contextlib.suppress(OSError):
            return _private(place, account)
    raise DatabaseError(
        f"No folder for the database's socket is short and private enough (tried {places[-1]}).",
        code="HG239",
        hint="Set HEADGATE_DATA_DIR to a shorter path.",
    )


def _private(place: Path, account: Account) -> Path:
    """`place` as a folder that only `account` may enter; an OSError if it is somebody else's."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account.switch and place.lstat().st_uid == 0:
        os.chown(place, account.uid, account.gid)
    found = place.lstat()
    if place.is_symlink() or found.st_uid != account.uid:
        raise PermissionError(place)
    place.chmod(0o700)
    return place


def free_port(host: str) -> int:
    """A TCP port of `host` that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def environment() -> dict[str, str]:
    """The environment for PostgreSQL's programs: ours without PG* variables, and with neutral language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def open_log(home: Path) -> BinaryIO:
    """`server.log` to append to; a large one becomes `server.log.1` first."""
    path = home / "server.log"
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    file = path.open("ab")
    give_to_owner(path)
    return file


def log_tail(home: Path, lines: int = 5) -> list[str]:
    """The last lines of `server.log`."""
    with contextlib.suppress(OSError), (home / "server.log").open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 8000))
        return file.read().decode(errors="replace").splitlines()[-lines:]
    return []


def last_log_line(home: Path) -> str:
    """The last line of `server.log`, or an empty text."""
    return next(iter(log_tail(home, 1)), "")


_CAUSES = (
    ("could not bind", "The TCP port is in use: choose another one."),
    ("No space left", "Free some space on the disk."),
    ("shared memory", "The machine gives too little shared memory; lower shared_buffers in postgresql.conf."),
    ("logical replication slot", "wal_level was lowered; remove that line from postgresql.conf."),
    ("Permission denied", "The folder must belong to the user that runs PostgreSQL."),
)


def start_failed(home: Path) -> DatabaseError:
    """HG235 with the last words of the log and, if they are known, what to do."""
    tail = log_tail(home, 8)
    hint = next((hint for mark, hint in _CAUSES if any(mark in line for line in tail)), "")
    worst = next((line for line in reversed(tail) if "FATAL" in line or "PANIC" in line), "")
    return DatabaseError(
        f"PostgreSQL did not start: {(worst or (tail[-1] if tail else 'it wrote no log')).strip()}",
        code="HG235",
        details={"log": tail},
        hint=f"{hint} Its log is {home / 'server.log'}.".strip(),
    )


async def bootstrap(conn: Connection, owner: str, database: str) -> None:
    """The role that owns everything of ours without being superuser, and its database; each only if
    missing.
    """
    if not await (await conn.execute("select 1 from pg_roles where rolname = %s", [owner])).fetchone():
        await conn.execute(f'create role "{owner}" login createdb createrole replication bypassrls')
        await conn.execute(f'grant pg_monitor, pg_signal_backend to "{owner}"')
    if not await (await conn.execute("select 1 from pg_database where datname = %s", [database])).fetchone():
        await conn.execute(f'create database "{database}" owner "{owner}"')
