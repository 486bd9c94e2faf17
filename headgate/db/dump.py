"""The schema of a database as text that can be compared: the same schema gives the same text."""

from __future__ import annotations

import asyncio
import re
import subprocess

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from headgate.base import log
from headgate.base.errors import DatabaseError
from headgate.db import address, cluster
from headgate.db.binaries import Binaries

_VARYING = re.compile(r"^(--.*|\\(un)?restrict .*|SET .*|SELECT pg_catalog\.set_config.*|)\n", re.MULTILINE)
RECORD = "supabase_migrations"  # the runner's own record is no part of the schema that it makes


async def schema(url: str, programs: Binaries) -> str:
    """Every object of the database with owner and grants, in a stable order, without what varies from run to run.

    `programs` must be of the server's major version or newer. Raises DatabaseError HG213 if pg_dump fails.
    """
    parts = conninfo_to_dict(address.read(url).conninfo)
    secret = {
        "PGPASSWORD": str(parts.pop("password", ""))
    }  # others can read a command line, not an environment
    command = [str(programs.program("pg_dump")), "--schema-only", f"--exclude-schema={RECORD}"]
    command += ["--dbname", make_conninfo("", **parts)]
    done = await asyncio.to_thread(
        lambda: subprocess.run(  # noqa: S603 - our own arguments
            command, capture_output=True, text=True, check=False, env=cluster.environment() | secret
        )
    )
    if done.returncode != 0:
        raise DatabaseError(
            f"pg_dump could not read the schema: {log.redact(done.stderr.strip())[-300:]}",
            code="HG213",
            hint="Are its version and the server's the same?",
        )
    return _VARYING.sub("", done.stdout)
