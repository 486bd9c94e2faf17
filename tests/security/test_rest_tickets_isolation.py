"""The tables of `tickets` through the REST surface: role × table × verb × {own, other, null, forged}."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from headgate.db import Database
from headgate.surface.gateway import create_surface
from headgate.surface.rest.settings import RestSettings
from headgate.testing.database import TestCluster
from tests.rest_client import SECRET, Rest

A = "00000000-0000-0000-0000-00000000000a"
B = "00000000-0000-0000-0000-00000000000b"
PERSONAL = {"alert_rules", "alert_fires"}
ROWS = f"""
insert into public.events (id, external_id, name) values (1, 'e1', 'One');
insert into public.alert_rules (event_id, user_id, kind, threshold, note) values
  (1, '{A}', 'price_below', 100, 'a'), (1, '{B}', 'price_below', 100, 'b');
insert into public.alert_fires (event_id, rule_id, user_id, message, observed_at)
  select 1, id, user_id, 'told ' || note, now() from public.alert_rules;
"""


@pytest.fixture
async def rest(cluster: TestCluster) -> AsyncIterator[Rest]:
    """An anonymous client on a database with every migration and two users' rules."""
    async with cluster.database() as database:
        async with database.connection() as conn:
            await conn.execute(ROWS)
        settings = RestSettings(
            db_uri=database.url, jwt_secret=SECRET, db_pool_size=2, db_channel_enabled=False
        )
        surface = create_surface(settings)
        await surface.start()
        try:
            yield Rest(surface)
        finally:
            await surface.close()


async def leaks(rest: Rest) -> list[str]:
    """Every request that got at what it must not."""
    found = []
    catalog = rest.surface.rest.catalog
    assert catalog is not None
    users = {"anon": rest, "authenticated": rest.as_user("authenticated", sub=A)}
    forged = Rest(
        rest.surface, users["authenticated"].bearer[:-6] + "AAAAAA" if users["authenticated"].bearer else "x"
    )
    for table in catalog.tables.values():
        for role, user in users.items():
            own = table.name == "alert_rules" and role == "authenticated"
            column = next(iter(table.columns))
            replies = {
                "insert": await user.post(f"/{table.name}", {}, Prefer="return=representation"),
                "update": await user.patch(f"/{table.name}", {column: None}),
                "delete": await user.delete(f"/{table.name}?{column}=is.null"),
            }
            found += [
                f"{role} {verb} {table.name}" for verb, r in replies.items() if r.status < 300 and not own
            ]
            read = await user.get(f"/{table.name}?limit=5")
            if role == "anon" and table.name in PERSONAL and read.status < 300:
                found.append(f"anon select {table.name}")
        for verb in ("GET", "POST", "PATCH", "DELETE"):
            reply = await forged.send(verb, f"/{table.name}", data={} if verb in ("POST", "PATCH") else None)
            if reply.status != 401:
                found.append(f"forged {verb} {table.name}")
    return found + await personal_leaks(users["authenticated"])


async def personal_leaks(user: Rest) -> list[str]:
    """What the first user gets of rows that are the second's, or nobody's."""
    found = []
    for table in sorted(PERSONAL):
        seen = (await user.get(f"/{table}?select=user_id")).json()
        if seen != [{"user_id": A}]:
            found.append(f"authenticated select {table} other")
    changed = await user.patch(f"/alert_rules?user_id=eq.{B}", {"note": "x"}, Prefer="return=representation")
    removed = await user.delete(f"/alert_rules?user_id=eq.{B}", Prefer="return=representation")
    found += [
        f"authenticated {verb} other"
        for verb, r in (("update", changed), ("delete", removed))
        if r.json() != []
    ]
    rule = {"event_id": 1, "kind": "price_below", "threshold": 5}
    for whose, owner in (("other", B), ("null", None)):
        if (await user.post("/alert_rules", {**rule, "user_id": owner})).status < 300:
            found.append(f"authenticated insert {whose}")
    if (await user.patch(f"/alert_rules?user_id=eq.{A}", {"user_id": B})).status < 300:
        found.append("authenticated gives away")
    return found


async def test_no_table_leaks_to_any_role(rest: Rest) -> None:
    catalog = rest.surface.rest.catalog
    assert catalog is not None
    assert len(catalog.tables) > 10
    assert await leaks(rest) == []


async def test_a_user_keeps_and_changes_only_own_rules(rest: Rest) -> None:
    user = rest.as_user("authenticated", sub=A)
    made = await user.post(
        "/alert_rules?select=user_id", {"event_id": 1, "kind": "new_listing"}, Prefer="return=representation"
    )
    assert (made.status, made.json()) == (201, [{"user_id": A}])
    assert (await user.delete("/alert_rules", Prefer="return=representation, count=exact")).headers[
        "content-range"
    ] == "*/2"


@pytest.mark.parametrize(
    ("policy", "cell"),
    [
        (
            "alter policy alert_rules_own on public.alert_rules using (true) with check (true)",
            "alert_rules other",
        ),
        ("grant insert on public.polls to authenticated", None),
        ("grant select on public.alert_fires to anon", "anon select alert_fires"),
    ],
)
async def test_a_weakened_policy_or_grant_is_caught(rest: Rest, policy: str, cell: str | None) -> None:
    async with await Database.open(rest.surface.settings.db_uri, max_size=1) as database:
        await database.execute(policy)
    found = await leaks(rest)
    # A grant alone opens nothing, because the table's policies still refuse.
    assert any(cell in one for one in found) if cell else found == []


async def test_schemas_of_the_engine_are_not_served(rest: Rest) -> None:
    for schema in ("control", "stage", "tickets", "auth", "pg_catalog"):
        reply = await rest.as_user("service_role").send("GET", "/jobs", headers={"Accept-Profile": schema})
        assert (reply.status, reply.json()["code"]) == (406, "PGRST106")
