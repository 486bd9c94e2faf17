"""What every object that the migrations make must have, read from the catalog."""

from __future__ import annotations

from headgate.db import Database

# The schemas that the owner of the database made, and `public`.
OURS = """(n.nspname = 'public' or n.nspname not in ('auth', 'extensions', 'supabase_migrations')
  and n.nspowner = (select datdba from pg_database where datname = current_database()))"""


async def offenders(db: Database, query: str) -> list[str]:
    return [row["name"] for row in await db.fetch_all(query.replace("{ours}", OURS))]


async def test_every_public_table_has_primary_key_security_and_comment(database: Database) -> None:
    assert not await offenders(
        database,
        """select c.oid::regclass::text || ': ' || concat_ws(', ',
             case when not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')
               then 'no primary key' end,
             case when not c.relrowsecurity then 'no row-level security' end,
             case when obj_description(c.oid, 'pg_class') is null then 'no comment' end) as name
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
             and (not c.relrowsecurity or obj_description(c.oid, 'pg_class') is null
               or not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p'))""",
    )


async def test_whatever_clients_may_read_is_under_row_level_security(database: Database) -> None:
    assert not await offenders(
        database,
        """select c.oid::regclass::text as name
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where {ours} and c.relkind in ('r', 'p') and not c.relrowsecurity
             and (has_any_column_privilege('anon', c.oid, 'select, insert, update')
               or has_any_column_privilege('authenticated', c.oid, 'select, insert, update'))
             and (has_schema_privilege('anon', n.oid, 'usage')
               or has_schema_privilege('authenticated', n.oid, 'usage'))""",
    )


async def test_views_that_clients_may_read_ask_for_the_callers_rights(database: Database) -> None:
    assert not await offenders(
        database,
        """select c.oid::regclass::text as name
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where {ours} and c.relkind = 'v'
             and (has_any_column_privilege('anon', c.oid, 'select')
               or has_any_column_privilege('authenticated', c.oid, 'select'))
             and not exists (select from unnest(c.reloptions) as o
                             where o in ('security_invoker=true', 'security_invoker=on', 'security_invoker=1'))""",
    )


async def test_policies_name_their_roles(database: Database) -> None:
    assert not await offenders(
        database,
        """select polname || ' on ' || polrelid::regclass as name from pg_policy where 0 = any (polroles)""",
    )


async def test_functions_with_the_owners_rights_are_hidden_and_fix_their_search_path(
    database: Database,
) -> None:
    assert not await offenders(
        database,
        """select p.oid::regprocedure::text as name
           from pg_proc p join pg_namespace n on n.oid = p.pronamespace
           where {ours} and p.prosecdef
             and (n.nspname = 'public'
               or not coalesce(p.proconfig, '{}') && array['search_path=""', 'search_path=pg_catalog'])""",
    )


async def test_clients_may_make_nothing_anywhere(database: Database) -> None:
    assert not await offenders(
        database,
        """select n.nspname::text as name from pg_namespace n
           where {ours} and (has_schema_privilege('anon', n.oid, 'create')
             or has_schema_privilege('authenticated', n.oid, 'create'))""",
    )


async def test_new_tables_are_granted_to_nobody(database: Database) -> None:
    await database.execute("create table public.fresh (n int)")
    for role in ("anon", "authenticated", "service_role"):
        assert (
            await database.fetch_value("select has_table_privilege(%s, 'public.fresh', 'select')", [role])
            is False
        )
