"""A wrong manifest is refused when it is built, with a code and a name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headgate.base.errors import ManifestError
from headgate.engine.manifest import (
    App,
    Check,
    Column,
    Page,
    Parsed,
    Parser,
    Rollup,
    Screen,
    Source,
    SourceContext,
    Table,
)
from headgate.engine.progress import Progress

HERE = Path(__file__).parent


async def fetch(ctx: SourceContext, cursor: Any) -> AsyncIterator[Page]:
    yield Page(last=True)


THINGS = Table(name="public.things", key=("id",), columns={"id": "bigint", "name": "text"})


PARSER = Parser(parse=lambda lines, first: Parsed(rows={}, rest=lines, lines=0), tables="demo.tables")
CHECK = Check(name="c", sql="select 1 where false")


def app(**changes: Any) -> App:
    values: dict[str, Any] = {"name": "demo", "title": "Demo", "folder": HERE, "tables": (THINGS,)}
    return App(**(values | changes))


def test_a_complete_app_finds_its_parts_by_name() -> None:
    source = Source(name="demo.things", fetch=fetch, table="public.things")
    demo = app(sources=(source,))
    assert demo.source("things") is source is demo.source("demo.things")
    assert demo.table("public.things") is THINGS
    assert demo.migrations == HERE / "migrations"


def test_key_columns_are_required_and_paths_default_to_the_name() -> None:
    table = Table(
        name="public.t", key=("id",), columns={"id": "bigint", "venue": Column(type="text", path="venue.id")}
    )
    typed = table.typed()
    assert typed["id"].required and not typed["venue"].required
    assert typed["id"].keys("id") == ("id",)
    assert typed["venue"].keys("venue") == ("venue", "id")
    assert Column(type="text", path=("a.b", "c")).keys("x") == ("a.b", "c")


@pytest.mark.parametrize(
    ("code", "build"),
    [
        ("HG601", lambda: app(name="Demo App")),
        ("HG602", lambda: app(folder=HERE / "missing")),
        ("HG603", lambda: app(tables=(THINGS, THINGS))),
        ("HG604", lambda: app(sources=(Source(name="other.x", fetch=fetch, table="public.things"),))),
        ("HG605", lambda: app(sources=(Source(name="demo.x", fetch=fetch, table="public.nothing"),))),
        ("HG606", lambda: app(jobs={"poll": lambda services: fetch})),
        ("HG607", lambda: app().source("none")),
        ("HG610", lambda: Check(name="no good", sql="select 1")),
        ("HG611", lambda: Check(name="x", sql="select 1", action="explode")),  # type: ignore[arg-type]
        ("HG612", lambda: Check(name="x", sql="select 1;")),
        ("HG620", lambda: Table(name="things", key=("id",), columns={"id": "int"})),
        ("HG621", lambda: Table(name="public.t", key=("id",), columns={})),
        ("HG622", lambda: Table(name="public.t", key=("id",), columns={"id": "int; drop table x"})),
        ("HG622", lambda: Table(name="public.t", key=("id",), columns={"id": "varchar(3)"})),
        ("HG622", lambda: Table(name="public.t", key=("id",), columns={'i"d': "int"})),
        ("HG623", lambda: Table(name="public.t", key=("no",), columns={"id": "int"})),
        ("HG624", lambda: Table(name="public.t", key=("id",), columns={"id": "int"}, version="v")),
        ("HG625", lambda: Table(name="public.t", key=("id",), columns={"id": "int"}, deleted="id")),
        ("HG632", lambda: Rollup(name="r", source="public.a", target="public.b", key={}, values={})),
        ("HG640", lambda: Source(name="things", fetch=fetch, table="public.things")),
        ("HG641", lambda: Source(name="demo.x", fetch=fetch)),
        ("HG641", lambda: Source(name="demo.x", fetch=fetch, promote="demo.put", parser=PARSER)),
        (
            "HG641",
            lambda: Source(
                name="demo.x",
                fetch=fetch,
                promote="d.put",
                prepare="d.prepare",
                parser=PARSER,
                checks=(CHECK,),
            ),
        ),
        ("HG642", lambda: Source(name="demo.x", fetch=fetch, promote="demo.promote", snapshot=True)),
        ("HG650", lambda: Screen(name="x", title="X", module="../x.js")),
    ],
)
def test_a_wrong_description_is_refused_with_its_code(code: str, build: Any) -> None:
    with pytest.raises(ManifestError) as caught:
        build()
    assert caught.value.code == code


def test_progress_is_a_share_only_when_the_whole_is_known() -> None:
    assert Progress(seen=5, expected=None, rate=1.0, eta_s=None).share is None
    assert Progress(seen=5, expected=10, rate=1.0, eta_s=5.0).share == 0.5
    assert Progress(seen=12, expected=10, rate=1.0, eta_s=0.0).share == 1.0
