"""Fixtures for tests against a real PostgreSQL: one server per run, a fresh clone of a template per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from headgate.db import Database
from headgate.testing.database import TestCluster, running_cluster


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
