"""Fixtures for tests against a real PostgreSQL: one server per run, a fresh clone of a template per test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from headgate.db import Database
from headgate.testing.database import TestCluster, running_cluster

_ROOT = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Temporary folders of this run's own: a second run would close the common one to the server's system user.

    The name is short because a socket's path has room for 107 bytes.
    """
    if "PYTEST_DEBUG_TEMPROOT" not in os.environ:
        made = Path(tempfile.mkdtemp(prefix="hg-"))
        made.chmod(0o755)
        config.stash[_ROOT] = os.environ["PYTEST_DEBUG_TEMPROOT"] = str(made)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take them away again."""
    if made := config.stash.get(_ROOT, None):
        os.environ.pop("PYTEST_DEBUG_TEMPROOT", None)
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[TestCluster]:
    """A temporary PostgreSQL server for the whole run."""
    with running_cluster() as running:
        yield running


@pytest.fixture
async def database(cluster: TestCluster) -> AsyncIterator[Database]:
    """A fresh database with the platform and every migration of the engine and the applications."""
    async with cluster.database() as db:
        yield db


@pytest.fixture
async def bare_database(cluster: TestCluster) -> AsyncIterator[Database]:
    """A fresh database with the platform only."""
    async with cluster.database(bare=True) as db:
        yield db
