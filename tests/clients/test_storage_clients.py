"""Programs written with the real supabase-js and supabase-py use every method of storage against `headgate up`."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.clients.installed import packages
from tests.clients.test_query_builders import HERE, PROGRAM_S, server

__all__ = ["server"]  # the fixture


async def run_program(*command: str, cwd: Path, least: int) -> None:
    """Run a client program and show its table; what went wrong is the message."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), PROGRAM_S)
    text = output.decode()
    print(text)
    wrong = [line for line in text.splitlines() if re.search(r"^not ok|FAIL$|NEVER CALLED$", line)]
    assert process.returncode == 0, "\n".join(wrong) or text
    told = re.search(r"^(\d+) of (\d+) methods pass$", text, re.MULTILINE)
    assert told is not None
    assert told.group(1) == told.group(2) and int(told.group(2)) >= least


async def test_supabase_js_passes_with_every_storage_method(server: tuple[str, str, str]) -> None:
    folder = await asyncio.to_thread(packages)
    if isinstance(folder, str):
        pytest.skip(folder)
    await asyncio.to_thread(shutil.copy, HERE / "storage.mjs", folder)
    await run_program("node", "storage.mjs", *server, cwd=folder, least=26)


async def test_supabase_py_passes_with_every_storage_method_sync_and_async(
    server: tuple[str, str, str],
) -> None:
    pytest.importorskip("supabase", reason="supabase-py is not installed: it is in the dev requirements")
    await run_program(sys.executable, str(HERE / "storage.py"), *server, cwd=HERE, least=40)
