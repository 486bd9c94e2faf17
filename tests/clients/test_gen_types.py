"""What `headgate gen types` writes is accepted by the real compilers: tsc, mypy, pydantic, SQLAlchemy."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headgate.cli.main import cli
from headgate.testing.database import TestCluster
from tests.clients.installed import packages
from tests.database.rest_fixture import SCHEMA

AWKWARD = """
create type public.mood as enum ('sad', 'so-so', 'it''s fine');
create domain public.positive as int check (value > 0);
create table public."Odd name" (
  "class" int primary key, "with space" text, "1st" numeric(8, 2), feeling public.mood not null default 'sad',
  moods public.mood[], amount public.positive, made timestamptz not null default now(), raw bytea, span int4range,
  doubled int generated always as ("class" * 2) stored, id bigint generated always as identity);
create table public.odd_name_2 (a int primary key, b int);
create table public.odd_name (
  id int primary key references public."Odd name", other int references public.odd_name_2);
"""
PROGRAM = """
import { createClient } from "@supabase/supabase-js"
import type { Database, Tables, TablesInsert, TablesUpdate, Enums } from "./database.js"
const client = createClient<Database>("http://x", "y")
const row: Tables<"projects"> = { id: 1, name: "n", client_id: null, budget: 1.5, data: {}, made_at: "" }
const fresh: TablesInsert<"projects"> = { id: 1, name: "n" }
const change: TablesUpdate<"projects"> = { name: "m" }
const mood: Enums<"mood"> = "so-so"
export async function use() {
  const { data } = await client.from("projects").select("id, clients(name), tasks(id)").single()
  const name: string | undefined = data?.clients?.name
  const first: number | undefined = data?.tasks[0]?.id
  const { data: sum } = await client.rpc("add", { a: 1 })
  const total: number | null = sum
  await client.from("projects").insert(fresh)
  await client.from("projects").update(change).eq("id", 1)
  return [name, first, total, row, mood]
}
// @ts-expect-error a column that is not there
const wrong: TablesInsert<"projects"> = { id: 1, name: "n", nope: 1 }
// @ts-expect-error a value of the wrong type
const bad: TablesUpdate<"projects"> = { budget: "much" }
export const unused = [wrong, bad]
"""


@pytest.fixture
async def database_url(cluster: TestCluster) -> Any:
    async with cluster.database(bare=True) as database:
        async with database.connection() as conn:
            await conn.execute(SCHEMA.read_text())
            await conn.execute(AWKWARD)
        yield database.url


async def generated(language: str, url: str, file: Path) -> Path:
    """The command's output in a file."""
    arguments = ["gen", "types", "--lang", language, "--database-url", url, "-o", str(file)]
    result = await asyncio.to_thread(CliRunner().invoke, cli, arguments)
    assert result.exit_code == 0, result.output
    return file


async def run(*command: str, cwd: Path) -> None:
    """A compiler that must be content."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, output.decode()[-4000:]


async def test_typescript_and_drizzle_compile(database_url: str, tmp_path: Path) -> None:
    folder = await asyncio.to_thread(packages)
    if isinstance(folder, str):
        pytest.skip(folder)
    modules = folder / "node_modules"
    await generated("typescript", database_url, tmp_path / "database.ts")
    await generated("drizzle", database_url, tmp_path / "tables.ts")
    (tmp_path / "program.ts").write_text(PROGRAM)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(modules)
    options = {
        "strict": True, "noEmit": True, "module": "nodenext", "moduleResolution": "nodenext", "target": "es2022",
        "skipLibCheck": True, "types": [],
    }  # fmt: skip
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options}))
    await run(str(modules / ".bin/tsc"), "-p", ".", cwd=tmp_path)


def loaded(file: Path, name: str) -> Any:
    """The module in a file."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


async def test_pydantic_models_read_rows(database_url: str, tmp_path: Path) -> None:
    file = await generated("python", database_url, tmp_path / "rows.py")
    await run(sys.executable, "-m", "mypy", "--strict", "--config-file=", str(file), cwd=tmp_path)
    rows = loaded(file, "generated_rows")
    row = rows.PublicProjects.model_validate(
        {
            "id": 1,
            "name": "n",
            "client_id": None,
            "budget": 1.5,
            "data": {},
            "made_at": "2026-01-01T00:00:00Z",
        }
    )
    assert (row.id, row.client_id, row.made_at.year) == (1, None, 2026)


async def test_sqlalchemy_classes_query_the_database(database_url: str, tmp_path: Path) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
    file = await generated("sqlalchemy", database_url, tmp_path / "tables.py")
    await run(sys.executable, "-m", "mypy", "--strict", "--config-file=", str(file), cwd=tmp_path)
    tables = loaded(file, "generated_tables")
    engine = sqlalchemy.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://", 1))

    def read() -> list[str]:
        from sqlalchemy.orm import Session

        with Session(engine) as session:
            return [p.name for p in session.query(tables.Projects).order_by(tables.Projects.id)]

    assert (await asyncio.to_thread(read))[0] == "Windows 7"
    engine.dispose()
