"""Programs written with the real supabase-js and supabase-py use every method of storage against `headgate up`."""

from __future__ import annotations

import sys

import pytest

from tests.clients.programs import run_program, run_supabase_js
from tests.clients.test_query_builders import HERE, server

__all__ = ["server"]  # the fixture


async def test_supabase_js_passes_with_every_storage_method(server: tuple[str, str, str]) -> None:
    await run_supabase_js("storage.mjs", *server, least=26)


async def test_supabase_py_passes_with_every_storage_method_sync_and_async(
    server: tuple[str, str, str],
) -> None:
    pytest.importorskip("supabase", reason="supabase-py is not installed: it is in the dev requirements")
    await run_program(sys.executable, str(HERE / "storage.py"), *server, cwd=HERE, least=40)
