"""Verified before promoted: a file that does not agree with Shopify's word brings no row while it can be had again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from headgate.apps.stores import ingest, paging
from headgate.apps.stores.bulk_jobs import ATTEMPTS
from headgate.apps.stores.client import Denied, Shopify
from headgate.db import Database
from tests.stores_sync import Synced, shop

ENTITIES = ("customers", "orders", "products")
#: Every state that an operation comes to, with what there is at that moment of its kind of objects. Recent orders are
#: read by another way, so that of orders only older ones count.
NOTES = """
create table public.noted (
    id bigint generated always as identity, operation bigint, entity text, state text, lines bigint, rows bigint,
    verified boolean
);
create function public.note() returns trigger language plpgsql as $$
begin
    insert into public.noted (operation, entity, state, lines, rows, verified)
    select new.id, new.entity, new.state, new.lines,
           case new.entity when 'customers' then (select count(*) from public.shop_customers)
                           when 'products' then (select count(*) from public.shop_products)
                           else (select count(*) from public.shop_orders o
                                 where o.updated_at < now() - interval '4 days') end,
           (select m.verified from public.shop_milestones m
            where m.connection_id = new.connection_id and m.label = new.entity);
    return null;
end $$;
create trigger note after insert or update of state on stores.bulk_operations
for each row execute function public.note();
"""
PATH = ["queued", "submitted", "running_remote", "downloading", "staged", "verified", "promoted", "completed"]


async def noted(db: Database, entity: str) -> list[dict[str, Any]]:
    return await db.fetch_all("select * from public.noted where entity = %s order by id", [entity])


async def operations(db: Database) -> dict[str, dict[str, Any]]:
    rows = await db.fetch_all("select * from stores.bulk_operations order by id")
    return {row["entity"]: row for row in rows}


async def ingested(db: Database) -> int:
    """How many times a file was promoted, whole or in part."""
    return int(await db.fetch_value("select count(*) from control.runs where source = 'stores.bulk'"))


async def synced_to_the_end(synced: Synced) -> None:
    await synced.begin()
    await synced.settled()


async def test_an_operation_goes_its_way_and_is_verified_before_anything_is_promoted(
    database: Database,
) -> None:
    await database.execute(NOTES)
    async with shop(database) as synced:
        synced.outlet.bulk.seconds = 0.5
        await synced_to_the_end(synced)
        assert await synced.differences() == []
    for entity in ENTITIES:
        notes = await noted(database, entity)
        states = [one["state"] for one in notes]
        assert [s for s, before in zip(states, ["", *states], strict=False) if s != before] == PATH
        for one in notes:
            promoted = one["state"] in ("promoted", "completed")
            assert (one["lines"] > 0, one["rows"] > 0) == (promoted, promoted), one
            if one["state"] == "staged":
                assert not one["verified"]
            if one["state"] in ("promoted", "completed"):  # the milestone moves right after the state
                assert one["verified"]


FAULTS = {
    "within a line": ("truncated_jsonl", {}),
    "at a newline": ("truncated_jsonl", {"at_newline": True}),
    "part of a failed operation": ("failed_with_partial", {}),
    "part that appears late": ("failed_with_partial", {"late": 2}),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda name: name.replace(" ", "-"))
async def test_a_file_that_does_not_agree_brings_nothing_while_it_can_be_had_again(
    database: Database, fault: str
) -> None:
    name, options = FAULTS[fault]
    await database.execute(NOTES)
    async with shop(database) as synced:
        synced.simulator.faults.order(name, count=3, **options)
        await synced_to_the_end(synced)
        assert await synced.differences() == []
        assert set((await synced.milestones()).values()) == {"completed"}
    for entity, operation in (await operations(database)).items():
        assert (operation["attempts"], operation["state"]) == (2, "completed")
        again = [one for one in await noted(database, entity) if one["state"] == "retrying"]
        assert again and all((one["lines"], one["rows"], one["verified"]) == (0, 0, False) for one in again)
    assert await ingested(database) == 3


async def test_on_the_last_try_what_is_there_is_promoted_and_what_is_missing_is_said(
    database: Database,
) -> None:
    await database.execute(NOTES)
    async with shop(database) as synced:
        synced.simulator.faults.order("truncated_jsonl", count=3 * ATTEMPTS, at_newline=True)
        await synced_to_the_end(synced)
        milestones = await synced.milestones()
        for entity, operation in (await operations(database)).items():
            notes = await noted(database, entity)
            assert {one["rows"] for one in notes if one["state"] == "retrying"} == {0}
            assert (operation["attempts"], operation["state"]) == (ATTEMPTS, "partial")
            assert "verified" not in {one["state"] for one in notes}
            assert notes[-1]["rows"] > 0 and 0 < operation["lines"] < operation["object_count"]
            assert {"bytes", "objects"} <= {one["what"] for one in operation["missing"]}
            assert milestones[entity] == "partial"
        assert await ingested(database) == 3
        assert await database.fetch_value("select state from stores.sync_runs") == "partial"
        # nothing of that stands in the way of the next sync
        await synced_to_the_end(synced)
        assert await synced.differences() == []
        assert set((await synced.milestones()).values()) == {"completed"}


@pytest.mark.parametrize("fault", ["malformed_line", "orphan"])
async def test_spoilt_lines_are_told_and_the_rest_is_there(database: Database, fault: str) -> None:
    async with shop(database) as synced:
        synced.simulator.faults.order(fault, count=None)
        await synced_to_the_end(synced)
        spoilt = (await operations(database))["orders"]
        assert (spoilt["attempts"], spoilt["state"]) == (ATTEMPTS, "partial")
        assert {one["what"] for one in spoilt["missing"]} & {"unreadable", "orphans"}
        assert spoilt["lines"] == spoilt["object_count"] - 1


@pytest.mark.parametrize("fault", ["child_before_parent", "duplicate_line"])
async def test_lines_in_any_order_or_twice_are_whole_at_once(database: Database, fault: str) -> None:
    async with shop(database) as synced:
        synced.simulator.faults.order(fault, count=3)
        await synced_to_the_end(synced)
        copies = int(fault == "duplicate_line")
        for one in (await operations(database)).values():
            assert (one["attempts"], one["state"], one["duplicates"]) == (1, "completed", copies)
            assert one["lines"] == one["object_count"] + copies
        assert await synced.differences() == []


async def test_children_that_come_without_their_id_are_asked_for_again(database: Database) -> None:
    async with shop(database) as synced:
        synced.simulator.faults.order("child_without_id", count=3)
        await synced_to_the_end(synced)
        rows = await operations(database)
        assert {o["state"] for o in rows.values()} == {"completed"} and rows["orders"]["attempts"] == 2
        assert await synced.differences() == []


@pytest.fixture(params=["before verified", "before promoted", "before the end"])
def death(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Each operation's job ends once, between two of its steps; the list of where it did."""
    died: list[str] = []
    reach, conclude = ingest.Work.reach, ingest.conclude

    async def reached(work: ingest.Work, state: str, *rest: Any, **given: Any) -> None:
        at = f"{work.operation['entity']} {state}"
        if request.param == f"before {state}" and at not in died:
            died.append(at)
            raise ConnectionResetError("killed")
        await reach(work, state, *rest, **given)

    async def concluded(work: ingest.Work, *rest: Any, **given: Any) -> None:
        at = f"{work.operation['entity']} end"
        if request.param == "before the end" and at not in died:
            died.append(at)
            raise ConnectionResetError("killed")
        await conclude(work, *rest, **given)

    monkeypatch.setattr(ingest.Work, "reach", reached)
    monkeypatch.setattr(ingest, "conclude", concluded)
    yield died


async def test_a_job_that_ends_between_two_steps_counts_and_promotes_once(
    database: Database, death: list[str]
) -> None:
    await database.execute(NOTES)
    async with shop(database) as synced:
        await synced_to_the_end(synced)
        assert await synced.differences() == []
    assert len(death) == 3
    place = {state: number for number, state in enumerate(PATH)}
    for entity, one in (await operations(database)).items():
        assert (one["state"], one["attempts"], one["missing"]) == ("completed", 1, [])
        assert (one["lines"], one["roots"]) == (one["object_count"], one["root_object_count"])
        states = [place[note["state"]] for note in await noted(database, entity)]
        staged = states[states.index(place["staged"]) :]
        assert all(a <= b for a, b in pairwise(staged)), "an operation never goes back"


async def test_a_count_that_is_refused_afterwards_keeps_nothing_from_being_promoted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = paging.count, []

    async def count(shopify: Shopify, entity: str) -> int:
        if entity in asked:
            raise Denied("no scope")
        asked.append(entity)
        return await real(shopify, entity)

    monkeypatch.setattr(paging, "count", count)
    async with shop(database) as synced:
        await synced_to_the_end(synced)
        assert await synced.differences() == []
        for operation in (await operations(database)).values():
            assert (operation["state"], operation["attempts"]) == ("partial", 1)
            assert [one["what"] for one in operation["missing"]] == ["count"]
