"""What clients' roles may call: nothing that writes outside the exposed schema, nothing of the engine at all."""

from __future__ import annotations

import pytest

from headgate.db import Database

_CALLABLE = """
select n.nspname || '.' || p.proname as name
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where has_function_privilege(%(role)s, p.oid, 'execute')
   and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
   and (n.nspname in ('control', 'stage') or (n.nspname = 'tickets' and p.provolatile = 'v'))
 order by 1
"""


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_clients_may_call_no_function_that_writes(database: Database, role: str) -> None:
    assert [row["name"] for row in await database.fetch_all(_CALLABLE, {"role": role})] == []


async def test_every_view_asks_with_the_rights_of_its_caller(database: Database) -> None:
    rows = await database.fetch_all(
        "select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('v', 'm') and n.nspname in ('public', 'control', 'stage', 'tickets')"
        " and not coalesce(c.reloptions::text like '%%security_invoker=%%', false)",
        {},
    )
    assert rows == []


async def test_every_table_clients_may_read_has_row_level_security(database: Database) -> None:
    rows = await database.fetch_all(
        "select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'p') and n.nspname in ('public', 'control', 'stage', 'tickets')"
        " and not c.relrowsecurity and has_table_privilege('anon', c.oid, 'select')"
    )
    assert rows == []


async def test_definer_functions_are_out_of_reach_and_pin_their_search_path(database: Database) -> None:
    rows = await database.fetch_all(
        "select p.oid::regprocedure::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where p.prosecdef and n.nspname !~ '^pg_'"
        " and (n.nspname = 'public' or not coalesce(p.proconfig::text like '%%search_path=%%', false))",
        {},
    )
    assert rows == []
