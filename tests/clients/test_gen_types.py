"""What `headgate gen types` writes is taken by the real compilers, and says what the catalog says."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, ValidationError

from headgate.base.errors import DatabaseError
from headgate.cli.main import cli
from headgate.db.codegen import LANGUAGES, Source, generate, read_source
from headgate.db.codegen.model import Table
from headgate.db.codegen.names import attribute, camel, class_name, docstring, jsdoc, snake
from headgate.db.codegen.python import RESERVED
from headgate.testing.database import TestCluster
from tests.clients.installed import packages

HERE = Path(__file__).parent
PROGRAM = """
import { createClient } from "@supabase/supabase-js"
import type { CompositeTypes, Database, Enums, Tables, TablesInsert, TablesUpdate } from "./database.js"
import { Constants } from "./database.js"

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>) => undefined
same<Enums<"mood">, "sad" | "so-so" | "it's \\"fine\\"">(true)
same<Enums<{ schema: "shop" }, "Odd enum">, "a" | "b">(true)
same<CompositeTypes<"place">["x"], number | null>(true)
same<Tables<"customers">["moods"], Enums<"mood">[] | null>(true)
same<Tables<"customers">["level"], number>(true)
same<Tables<"customers">["matrix"], number[] | null>(true)
same<Tables<"customers">["greeting"], string | null>(true)
same<Tables<"totals">["mood"], Enums<"mood"> | null>(true)
same<Tables<{ schema: "shop" }, "items">["kind"], Enums<{ schema: "shop" }, "Odd enum">>(true)
same<Tables<"Odd name">["with space"], string | null>(true)
same<(typeof Constants)["public"]["Enums"]["mood"][0], "sad">(true)

const client = createClient<Database>("http://x", "y")
export async function use() {
  const { data: line } = await client.from("order_lines")
    .select("sku, orders(note, customers!orders_customer_id_fkey(email))").eq("id", 1).single()
  const note: string | null | undefined = line?.orders?.note
  const email: string | undefined = line?.orders?.customers.email
  const { data: profile } = await client.from("customers").select("id, profiles(bio)").single()
  const bio: string | null | undefined = profile?.profiles?.bio
  const { data: rows } = await client.rpc("find_customers", { wanted: "x" }).select("id, profiles(bio)")
  const id: number | undefined = rows?.[0]?.id
  const { data: stats } = await client.rpc("stats", { since: "2026-01-01" })
  const counted: number | undefined = stats?.[0]?.number
  const { data: items } = await client.schema("shop").from("items").select("kind")
  const kind: "a" | "b" | undefined = items?.[0]?.kind
  const fresh: TablesInsert<"customers"> = { email: "a@b.c", level: 1, kind: "x", birth: null }
  await client.from("customers").insert(fresh)
  await client.from("customers").insert([{ email: "a@b.c", level: 1, kind: "x", mood: "sad" }])
  const change: TablesUpdate<"customers"> = { email: "d@e.f" }
  await client.from("customers").update(change).eq("id", 1).maxAffected(1)
  await client.from("rich").update({ email: "x" }).eq("id", 1)
  return [note, email, bio, id, counted, kind]
}
// @ts-expect-error email is missing
const missing: TablesInsert<"customers"> = { level: 1, kind: "x" }
// @ts-expect-error PostgreSQL always makes the id
const made: TablesInsert<"customers"> = { email: "a", level: 1, kind: "x", id: 1 }
// @ts-expect-error a generated column
const search: TablesUpdate<"customers"> = { search: "x" }
// @ts-expect-error a value of the wrong type
const bad: TablesUpdate<"customers"> = { balance: "much" }
// @ts-expect-error no such value
const feeling: TablesUpdate<"customers"> = { mood: "glad" }
// @ts-expect-error a view of groups takes no rows
const total: TablesInsert<"totals"> = { mood: "sad" }
export const unused = [missing, made, search, bad, feeling, total]
"""
DRIZZLE = """
import * as db from "./tables.js"
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Same<A, B>) => undefined
type Customer = typeof db.customers.$inferSelect
same<Customer["id"], bigint>(true)
same<Customer["balance"], string>(true)
same<Customer["mood"], "sad" | "so-so" | "it's \\"fine\\"">(true)
same<Customer["tags"], string[]>(true)
same<Customer["birth"], string | null>(true)
const fresh: typeof db.customers.$inferInsert = { email: "a", level: "1", kind: "x" }
// @ts-expect-error PostgreSQL always makes the id
const made: typeof db.customers.$inferInsert = { email: "a", level: "1", kind: "x", id: 1n }
// @ts-expect-error email is missing
const missing: typeof db.customers.$inferInsert = { level: "1", kind: "x" }
export const unused = [fresh, made, missing, db.rich, db.shopItems, db.snapshot]
"""


@pytest.fixture
async def database_url(cluster: TestCluster) -> AsyncIterator[str]:
    """A database with every kind of table and name."""
    async with cluster.database(bare=True) as database:
        async with database.connection() as conn:
            await conn.execute((HERE / "awkward.sql").read_text())
        yield database.url


async def generated(language: str, url: str, file: Path) -> Path:
    """The command's output in a file."""
    arguments = [
        "gen",
        "types",
        "--lang",
        language,
        "--schema",
        "public,shop",
        "--database-url",
        url,
        "-o",
        str(file),
    ]
    result = await asyncio.to_thread(CliRunner().invoke, cli, arguments)
    assert result.exit_code == 0, result.output
    return file


async def run(*command: str, cwd: Path) -> None:
    """A compiler that must be content."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode == 0, output.decode()[-6000:]


async def test_typescript_and_drizzle_pass_the_strict_compiler(database_url: str, tmp_path: Path) -> None:
    folder = await asyncio.to_thread(packages)
    if isinstance(folder, str):
        pytest.skip(folder)
    modules = folder / "node_modules"
    await generated("typescript", database_url, tmp_path / "database.ts")
    await generated("drizzle", database_url, tmp_path / "tables.ts")
    (tmp_path / "program.ts").write_text(PROGRAM)
    (tmp_path / "drizzle.ts").write_text(DRIZZLE)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(modules)
    options = {
        "strict": True, "noEmit": True, "module": "nodenext", "moduleResolution": "nodenext", "target": "es2022",
        "skipLibCheck": True, "types": ["node"],
    }  # fmt: skip
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options}))
    await run(str(modules / ".bin/tsc"), "-p", ".", cwd=tmp_path)


def loaded(file: Path, name: str) -> Any:
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


CUSTOMER = {
    "id": 1, "email": "a@b.c", "name": None, "mood": "sad", "moods": ["so-so"], "balance": 1.25,
    "made_at": "2026-01-01T00:00:00.123456+00:00", "birth": "2000-02-29", "wakes": "07:00:00.5",
    "tz_wakes": "07:00:00+01", "waits": "1 mon 02:00:00", "token": "00000000-0000-0000-0000-00000000000a",
    "avatar": "\\x00", "settings": {"a": [1]}, "raw": None, "tags": ["x"], "matrix": [1, 2],
    "home": {"x": 1.5, "y": None, "note": None}, "level": 3, "kind": "k",
    "address": "10.0.0.1", "seen": "[1,3)", "seen_all": "{[1,3)}", "search": "'x':1", "flags": "1010", "code": "c",
    "small": 1, "ratio": 0.5, "exact": 0.25, "price": "$1.00", "letter": "a  ", "nothing": None,
    "local": "2026-01-01T00:00:00", "mac": "08:00:2b:01:02:03", "doc": "<a/>",
}  # fmt: skip


async def test_pydantic_models_are_typed_strictly_and_read_rows(database_url: str, tmp_path: Path) -> None:
    file = await generated("pydantic", database_url, tmp_path / "rows.py")
    use = tmp_path / "use.py"
    use.write_text(
        "from rows import CustomersInsert, CustomersRow, CustomersUpdate, OddNameInsert\n"
        "from decimal import Decimal\n"
        "def read(row: CustomersRow) -> tuple[Decimal, str | None]:\n"
        "    return row.balance, row.name\n"
        "insert = CustomersInsert(email='a', level=1, kind='k', mood='sad')\n"
        "odd = OddNameInsert(class_=1)\n"
        "change = CustomersUpdate(balance=Decimal('1.5'))\n"
        "bad = CustomersInsert(level=1, kind='k')  # type: ignore[call-arg]\n"
        "worse = CustomersUpdate(mood='glad')  # type: ignore[arg-type]\n"
    )
    await run(sys.executable, "-m", "mypy", "--strict", "--config-file=", str(file), str(use), cwd=tmp_path)
    rows = loaded(file, "generated_rows")
    row = rows.CustomersRow.model_validate_json(json.dumps(CUSTOMER))
    assert (row.balance, row.made_at.microsecond, row.home.x, row.matrix) == (
        Decimal("1.25"),
        123456,
        1.5,
        [1, 2],
    )
    with pytest.raises(ValidationError):
        rows.CustomersRow.model_validate({**CUSTOMER, "mood": "glad"})
    assert rows.CustomersRow.__doc__.startswith('People who "buy".')


async def test_pydantic_changes_send_only_what_was_given_under_the_columns_names(
    database_url: str, tmp_path: Path
) -> None:
    rows = loaded(await generated("pydantic", database_url, tmp_path / "rows.py"), "generated_changes")
    insert = rows.CustomersInsert(email="a", level=1, kind="k", birth=None)
    assert insert.payload() == {"email": "a", "level": 1, "kind": "k", "birth": None}
    assert not {"id", "search"} & set(rows.CustomersInsert.model_fields)
    for wrong in ({"id": 1}, {"mood": None}, {"email": None}, {"email": "x" * 81}):
        with pytest.raises(ValidationError):
            rows.CustomersUpdate(**wrong)
    odd = rows.OddNameInsert(**{"class": 1, "json": "j"}, import_="i")
    assert odd.payload() == {"class": 1, "json": "j", "import": "i"}
    assert {"class_", "json_", "f_hidden", "quo_te", "f_1st"} <= set(rows.OddNameRow.model_fields)


def comparable(table: Table) -> Table:
    """A table without the numbers that differ from database to database."""
    return replace(table, columns=tuple(replace(c, type=0) for c in table.columns))


def types_of(source: Source) -> dict[str, Any]:
    """Enums and domains without numbers; checks of a domain are one or several."""
    found = [*source.of_kind("e"), *source.of_kind("d")]
    return {
        f"{t.schema}.{t.name}": (t.labels, t.declared, t.not_null, t.default, len(t.checks) > 0)
        for t in found
    }


async def test_sqlalchemy_models_make_the_same_tables_again(
    cluster: TestCluster, database_url: str, tmp_path: Path
) -> None:
    sqlalchemy = pytest.importorskip(
        "sqlalchemy", reason="SQLAlchemy is not installed: it is in the dev requirements"
    )
    file = await generated("sqlalchemy", database_url, tmp_path / "tables.py")
    await run(sys.executable, "-m", "mypy", "--strict", "--config-file=", str(file), cwd=tmp_path)
    tables = loaded(file, "generated_tables")

    def create(url: str) -> None:
        engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
        tables.Base.metadata.create_all(engine)
        engine.dispose()

    async with cluster.database(bare=True) as fresh:
        async with fresh.connection() as conn:  # what SQLAlchemy has no word for
            await conn.execute(
                "create schema shop; create type public.place as (x float8, y float8, note text)"
            )
            await conn.execute(
                "create function public.next_code() returns text language sql as $$select 'x'$$"
            )
        await asyncio.to_thread(create, fresh.url)
        wanted, got = [await read_source(url, ("public", "shop")) for url in (database_url, fresh.url)]
    for one in wanted.tables(views=False):
        again = got.table(one.qname)
        assert again is not None, one.name
        assert comparable(again) == comparable(one)
    assert len(list(got.tables())) == len(list(wanted.tables(views=False)))
    assert types_of(got) == types_of(wanted)
    assert got.sequences == wanted.sequences


async def test_sqlalchemy_models_query_and_write(database_url: str, tmp_path: Path) -> None:
    sqlalchemy = pytest.importorskip(
        "sqlalchemy", reason="SQLAlchemy is not installed: it is in the dev requirements"
    )
    tables = loaded(await generated("sqlalchemy", database_url, tmp_path / "tables.py"), "generated_queries")

    def work() -> tuple[Any, ...]:
        from sqlalchemy.orm import Session

        engine = sqlalchemy.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://", 1))
        with Session(engine) as session:
            session.add(tables.Customers(email="a@b.c", level=5, kind="k", mood="sad", tags=["x"]))
            session.add(tables.OddName(class_=4))
            session.commit()
            found = session.scalars(sqlalchemy.select(tables.Customers)).one()
            doubled = session.scalars(sqlalchemy.select(tables.OddName.doubled)).one()
            seen = session.execute(sqlalchemy.select(tables.Rich.c.id)).all()
            return found.balance, found.mood, found.settings, doubled, seen

    assert await asyncio.to_thread(work) == (Decimal("0.00"), "sad", {"a:b": "50%"}, 8, [])


async def test_the_same_catalog_gives_the_same_text_and_the_applications_tables_compile(
    cluster: TestCluster, tmp_path: Path
) -> None:
    async with cluster.database() as database:
        sources = [await read_source(database.url, ("public", "control")) for _ in range(2)]
    for language in LANGUAGES:
        first, second = (generate(language, source) for source in sources)
        assert first == second
        if language in ("pydantic", "sqlalchemy"):
            loaded_from = tmp_path / f"{language}_of_apps.py"
            loaded_from.write_text(first)
            loaded(loaded_from, f"apps_{language}")


async def test_a_schema_that_is_not_there_is_named(database_url: str) -> None:
    with pytest.raises(DatabaseError, match="no schema 'nowhere'") as caught:
        await read_source(database_url, ("public", "nowhere"))
    assert caught.value.code == "HG214"


def test_names_that_models_of_pydantic_have_are_reserved() -> None:
    own = {name for name in dir(BaseModel) if not name.startswith(("_", "model_"))}
    assert own <= RESERVED


def test_names_become_identifiers() -> None:
    assert (
        class_name("odd name-2") == "OddName2"
        and class_name("1st") == "T1st"
        and class_name("é") == "Unnamed"
    )
    assert camel("Odd_name") == "oddName" and snake("Odd Name") == "odd_name" and snake("class") == "class_"
    taken: set[str] = set()
    assert [attribute(n, taken, ()) for n in ("a b", "a_b", "class", "1", "")] == [
        "a_b",
        "a_b_",
        "class_",
        "f_1",
        "f_",
    ]
    assert (
        docstring('say "no"') == '"""say "no" """'
        and jsdoc("a */ b") == ["/** a * / b */"]
        and jsdoc(" ") == []
    )
