"""Seeded schedules of all 32 faults and of workers truly killed: whatever happens, every row and every cent is there.

`HEADGATE_STORES_SCHEDULES=1000` runs that many from `HEADGATE_STORES_FIRST` on; by default just enough for each fault.
`python -m tests.faults.stores_storm --first SEED --count 1` runs one of them alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

import pytest

from headgate.db import migrate
from headgate.testing.database import FULL, TestCluster
from tests.faults.stores_storm import ALL, CYCLE, Report, faults_of, ground, weather

SCHEDULES = int(os.environ.get("HEADGATE_STORES_SCHEDULES", str(CYCLE)))
FIRST = int(os.environ.get("HEADGATE_STORES_FIRST", "0"))
TOGETHER = 3
#: Sales vanish on their way into the table.
ROWS_LOST = """
create function public.lose() returns trigger language plpgsql as $$
begin if new.shopify_id % 3 = 0 then return null; end if; return new; end $$;
create trigger lose before insert on public.shop_sales for each row execute function public.lose();
"""
#: Orders that were deleted come back, and none is deleted when Shopify does not have it.
DELETIONS_LOST = """
create or replace function stores.apply_delete(p_connection bigint, p_kind text, p_id bigint) returns boolean
language sql as $$ select false $$;
"""
#: The time at which an order last changed is lost.
CHANGES_LOST = """
create function public.stay() returns trigger language plpgsql as $$
begin new.updated_at := new.created_at; return new; end $$;
create trigger stay before insert or update on public.shop_orders for each row execute function public.stay();
"""


async def storms(cluster: TestCluster, seeds: Iterable[int], patch: str = "") -> list[Report]:
    """Run schedules, a few at a time."""
    await cluster.template(FULL, migrate.built_in_sources())
    turn = asyncio.Semaphore(TOGETHER)

    async with ground(cluster) as of:

        async def one(seed: int) -> Report:
            async with turn:
                return await weather(of, seed, patch=patch)

        return await asyncio.gather(*(one(seed) for seed in seeds))


@pytest.mark.parametrize("start", range(0, CYCLE * 8, CYCLE))
def test_each_cycle_of_schedules_has_every_fault(start: int) -> None:
    assert {fault for seed in range(start, start + CYCLE) for fault in faults_of(seed)} == set(ALL)


async def test_every_row_and_cent_is_there_after_faults_and_kills(cluster: TestCluster) -> None:
    reports = await storms(cluster, range(FIRST, FIRST + SCHEDULES))
    assert [str(report) for report in reports if report.wrong] == []
    assert len(reports) == SCHEDULES and all(report.kills for report in reports)


async def test_what_a_lost_scope_hides_is_not_deleted_and_a_shop_that_comes_back_goes_on(
    cluster: TestCluster,
) -> None:
    reports = await storms(cluster, (27, 31))
    assert [str(report) for report in reports if report.wrong] == []


@pytest.mark.parametrize(
    "patch", [ROWS_LOST, DELETIONS_LOST, CHANGES_LOST], ids=["rows lost", "deletions lost", "changes lost"]
)
async def test_storm_notices_a_product_that_is_broken(cluster: TestCluster, patch: str) -> None:
    seeds = [s for s in range(1000) if "deleted_during_bulk" in faults_of(s)][:3]
    reports = await storms(cluster, seeds, patch)
    assert any(report.wrong for report in reports)
