"""A seeded source and what must be in the database after each of its pages. Both sides of the kill tests read it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

from headgate.engine.manifest import App, Page
from tests.database.promote_demo import demo, item

CITIES = ("Oslo", "Rome", "Lima")

#: A promote function that is not idempotent: a page applied twice, or half, shows in the sums.
FUNCTION = """
create table public.demo_sums (one int primary key default 1, rows bigint not null, total bigint not null);
insert into public.demo_sums values (1, 0, 0);
create table public.demo_pages (page int not null, run bigint not null);
create table public.demo_done (run jsonb not null);
create function public.demo_add(p_batch bigint, p_run bigint, p_meta jsonb) returns jsonb language plpgsql as $$
declare v_rows bigint; v_total bigint;
begin
    select count(*), coalesce(sum((doc ->> 'seq')::bigint), 0) into v_rows, v_total
    from stage.rows where batch_id = p_batch and line > 0;
    insert into public.demo_pages values ((p_meta ->> 'page')::int, p_run);
    update public.demo_sums set rows = rows + v_rows, total = total + v_total;
    return jsonb_build_object('upserted', v_rows);
end $$;
"""


def story(seed: int, size: int = 4) -> list[list[dict[str, Any]]]:
    """The pages of a seed: new rows, changes, repeats, older versions, duplicates, and now and then a bad row."""
    dice = random.Random(seed)
    pages = []
    for _ in range(size):
        rows = [
            item(dice.randrange(8), dice.randrange(12), dice.choice(CITIES), f"{dice.randrange(50)}.50")
            for _ in range(dice.randrange(2, 7))
        ]
        if dice.random() < 0.4:
            rows.insert(dice.randrange(len(rows)), item(9, amount="a lot"))
        pages.append(rows)
    return pages


def source(seed: int, kind: str) -> App:
    """The application whose source tells the story from its position on; `kind`: table or function."""
    pages = story(seed)

    async def fetch(ctx: Any, cursor: Any) -> AsyncIterator[Page]:
        for number in range(cursor or 0, len(pages)):
            yield Page(
                rows=pages[number], next=number + 1, meta={"page": number}, last=number == len(pages) - 1
            )

    return demo(fetch, promote="public.demo_add" if kind == "function" else None)


class Truth:
    """The database after the first `done` pages of the story, computed without one."""

    def __init__(self, pages: Sequence[Sequence[dict[str, Any]]], done: int) -> None:
        self.rows: dict[str, tuple[int, str, str]] = {}
        self.versions = 0
        self.dirty: set[str] = set()
        self.seen = sum(len(page) for page in pages[:done])
        self.total = sum(row["seq"] for page in pages[:done] for row in page)
        for page in pages[:done]:
            self._apply(page)

    def _apply(self, page: Sequence[dict[str, Any]]) -> None:
        newest: dict[str, dict[str, Any]] = {}
        for row in page:
            if row["amount"] != "a lot" and row["seq"] >= newest.get(row["id"], row)["seq"]:
                newest[row["id"]] = row
        for key, row in newest.items():
            value = (row["seq"], row["place"]["city"], row["amount"])
            before = self.rows.get(key)
            if before is not None and (before[0] > value[0] or before == value):
                continue
            self.dirty |= {value[1]} | ({before[1]} if before else set())
            self.rows[key] = value
            self.versions += 1
