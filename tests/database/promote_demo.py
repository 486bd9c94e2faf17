"""A small application for the promote tests: its tables, its sources, and how to look at what came out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headgate.db import Database
from headgate.engine.manifest import App, Check, Column, Page, Rollup, Source, SourceContext, Table

SCHEMA = """
create table public.demo_items (
    id text primary key, seq bigint, city text, amount numeric check (amount >= 0), qty int, tags text[],
    extra jsonb, at timestamptz, deleted_at timestamptz
);
create table public.demo_items_history (
    id text not null, seq bigint, city text, amount numeric, qty int, tags text[], extra jsonb, at timestamptz,
    valid_from timestamptz not null, valid_to timestamptz, operation text not null, run_id bigint not null
);
create index on public.demo_items_history (id) where valid_to is null;
create table public.demo_cities (city text primary key, items bigint not null, total numeric not null);
create table public.demo_plain (id bigint primary key, name text not null);
"""

ITEMS = Table(
    name="public.demo_items",
    key=("id",),
    columns={
        "id": "text",
        "seq": "bigint",
        "city": Column(type="text", path="place.city"),
        "amount": "numeric",
        "qty": "int",
        "tags": "text[]",
        "extra": "jsonb",
        "at": "timestamptz",
    },
    version="seq",
    history="public.demo_items_history",
    deleted="deleted_at",
)
PLAIN = Table(
    name="public.demo_plain",
    key=("id",),
    columns={"id": "bigint", "name": Column(type="text", required=True)},
)
CITIES = Rollup(
    name="cities",
    source="public.demo_items",
    target="public.demo_cities",
    key={"city": "r.city"},
    values={"items": "count(*)", "total": "coalesce(sum(r.amount), 0)"},
    where="r.deleted_at is null",
)

Fetch = Callable[[SourceContext, Any], AsyncIterator[Page]]


def pages(*given: Page) -> Fetch:
    """A source that yields these pages, whatever its position."""

    async def fetch(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
        for page in given:
            yield page

    return fetch


def counted(chunks: Sequence[Sequence[Mapping[str, Any]]]) -> Fetch:
    """A source that yields chunk n at position n, so a new run goes on where the last one stopped."""

    async def fetch(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
        for number in range(cursor or 0, len(chunks)):
            yield Page(
                rows=chunks[number],
                next=number + 1,
                expected=sum(map(len, chunks)),
                last=number == len(chunks) - 1,
            )

    return fetch


def demo(
    fetch: Fetch,
    *,
    table: str = "public.demo_items",
    snapshot: bool = False,
    checks: Iterable[Check] = (),
    promote: str | None = None,
    prepare: str | None = None,
    max_deleted: float = 0.5,
) -> App:
    """The demo application with one source, `demo.items`."""
    source = Source(
        name="demo.items",
        fetch=fetch,
        table=None if promote else table,
        promote=promote,
        prepare=prepare,
        snapshot=snapshot,
        checks=tuple(checks),
        max_deleted=max_deleted,
    )
    return App(
        name="demo",
        title="Demo",
        folder=Path(__file__).parent,
        sources=(source,),
        tables=(ITEMS, PLAIN),
        rollups=(CITIES,),
    )


def item(
    id_: object, seq: object = 1, city: str = "Oslo", amount: object = "1.50", **more: Any
) -> dict[str, Any]:
    """One row of the source."""
    return {"id": str(id_), "seq": seq, "place": {"city": city}, "amount": amount, "qty": 1, **more}


def jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


async def items(db: Database) -> list[tuple[Any, ...]]:
    """What is in the table, living rows only."""
    rows = await db.fetch_all(
        "select id, seq, city, amount::text as amount from public.demo_items where deleted_at is null order by id"
    )
    return [tuple(row.values()) for row in rows]


async def one(db: Database, query: str, *params: Any) -> Any:
    """A single value."""
    return await db.fetch_value(query, params or None)
