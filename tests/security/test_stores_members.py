"""Members of brands: owners invite, proven addresses accept, nobody else sees or changes anything; an owner stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from headgate.apps.stores.app import app
from headgate.apps.stores.webhook_jobs import inbox_care
from headgate.db import Database, errors
from headgate.engine.manifest import Services
from tests import stores_shop, workers
from tests.console_site import make_user
from tests.database.test_stores_commands import operator
from tests.security.test_stores_isolation import attempt

PEOPLE = ("owner", "admin", "viewer", "guest", "stranger")


@dataclass
class Place:
    """A brand with an owner, an admin and a viewer; a guest without a brand; a stranger who owns another."""

    db: Database
    http: httpx.AsyncClient
    brand: UUID
    other: UUID
    people: dict[str, UUID] = field(default_factory=dict)

    async def call(self, who: str, name: str, **given: Any) -> httpx.Response:
        """One function over REST, as supabase-js calls it."""
        headers = stores_shop.bearer(self.people[who])
        given = {key: str(value) if isinstance(value, UUID) else value for key, value in given.items()}
        return await self.http.post(f"/rest/v1/rpc/{name}", json=given, headers=headers)

    async def told(self, who: str, name: str, **given: Any) -> Any:
        """The same, which has to succeed."""
        answer = await self.call(who, name, **given)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def roles(self) -> dict[str, str]:
        """Who is a member of the brand, in truth."""
        rows = await self.db.fetch_all(
            "select user_id, role from stores.brand_members where brand_id = %s", [self.brand]
        )
        names = {number: name for name, number in self.people.items()}
        return {names[row["user_id"]]: row["role"] for row in rows}

    async def invited(self) -> list[str]:
        """Which addresses are invited to the brand, in truth."""
        rows = await self.db.fetch_all(
            "select email from stores.brand_invitations where brand_id = %s order by 1", [self.brand]
        )
        return [row["email"] for row in rows]


@pytest.fixture
async def place(database: Database) -> AsyncIterator[Place]:
    people = {name: await make_user(database, f"{name}@example.com") for name in PEOPLE}
    brand = await stores_shop.brand(database, people["owner"])
    other = await stores_shop.brand(database, people["stranger"], name="Other")
    for role in ("admin", "viewer"):
        await database.execute(
            "insert into stores.brand_members values (%s, %s, %s)", (brand, people[role], role)
        )
    async with stores_shop.serving(database) as http:
        yield Place(database, http, brand, other, people)


async def test_an_owner_invites_and_the_holder_of_the_address_accepts(place: Place) -> None:
    (made,) = await place.told("owner", "stores_invite", p_brand=place.brand, p_email=" Guest@Example.com ")
    assert (made["email"], made["role"]) == ("guest@example.com", "viewer")
    listed = await place.told("owner", "stores_members", p_brand=place.brand)
    assert [(one["email"], one["role"], one["state"]) for one in listed] == [
        ("admin@example.com", "admin", "member"),
        ("owner@example.com", "owner", "member"),
        ("viewer@example.com", "viewer", "member"),
        ("guest@example.com", "viewer", "invited"),
    ]
    assert "guest" not in await place.roles(), "an invitation is no membership"
    (mine,) = await place.told("guest", "stores_my_invitations")
    assert (mine["brand"], mine["role"], mine["invited_by"]) == ("Acme", "viewer", "owner@example.com")
    assert await place.told("stranger", "stores_my_invitations") == []
    assert (
        await place.call("stranger", "stores_answer_invitation", p_brand=place.brand, p_accept=True)
    ).status_code == 404
    given = {"p_brand": place.brand, "p_accept": True}
    assert await place.told("guest", "stores_answer_invitation", **given) == "viewer"
    assert (await place.roles())["guest"] == "viewer" and await place.invited() == []
    assert (await place.call("guest", "stores_answer_invitation", **given)).status_code == 404, "good once"
    brands = await place.http.get("/rest/v1/shop_brands", headers=stores_shop.bearer(place.people["guest"]))
    assert [(one["name"], one["role"]) for one in brands.json()] == [("Acme", "viewer")]
    again = await place.call("owner", "stores_invite", p_brand=place.brand, p_email="guest@example.com")
    assert (again.status_code, again.json()["code"]) == (409, "PT409")


async def test_declining_withdrawing_and_age_end_an_invitation(place: Place) -> None:
    async def invite() -> None:
        await place.told("owner", "stores_invite", p_brand=place.brand, p_email="guest@example.com")

    await invite()
    given = {"p_brand": place.brand, "p_accept": False}
    assert await place.told("guest", "stores_answer_invitation", **given) is None
    assert "guest" not in await place.roles() and await place.invited() == []
    await invite()
    gone = {"p_brand": place.brand, "p_email": "guest@example.com"}
    await place.told("owner", "stores_withdraw_invitation", **gone)
    assert (await place.call("owner", "stores_withdraw_invitation", **gone)).status_code == 404
    await invite()
    await place.db.execute("update stores.brand_invitations set expires_at = now() - interval '1 second'")
    assert await place.told("guest", "stores_my_invitations") == []
    given["p_accept"] = True
    assert (await place.call("guest", "stores_answer_invitation", **given)).status_code == 404
    listed = await place.told("owner", "stores_members", p_brand=place.brand)
    assert listed[-1]["state"] == "expired"
    await invite()
    assert len(await place.told("guest", "stores_my_invitations")) == 1, "inviting again renews it"


async def test_addresses_that_never_answered_are_forgotten(database: Database, tmp_path: Path) -> None:
    brand = await stores_shop.brand(database, uuid4())
    for days in (-1, 29, 31):
        await database.execute(
            "insert into stores.brand_invitations (brand_id, email, expires_at)"
            " values (%(b)s, %(d)s || '@example.com', now() - make_interval(days => %(d)s))",
            {"b": brand, "d": days},
        )
    settings = {**stores_shop.extras(), "data_dir": tmp_path}
    services = Services(db=database, fetcher=None, app=app, settings=settings)
    async with workers.working(database, {"stores.inbox_care": inbox_care(services)}):
        await workers.until(database, await workers.add(database, "stores.inbox_care"), "succeeded")
    rows = await database.fetch_all("select email from stores.brand_invitations order by 1")
    assert [row["email"] for row in rows] == ["-1@example.com", "29@example.com"]


async def test_only_a_proven_address_accepts(place: Place) -> None:
    for change in (
        "email_confirmed_at = null",
        "deleted_at = now()",
        "is_sso_user = true",
        "is_anonymous = true",
        "email = 'else@example.com'",
    ):
        await place.db.execute(
            "insert into stores.brand_invitations (brand_id, email) values (%s, 'guest@example.com')"
            " on conflict do nothing",
            [place.brand],
        )
        before = await place.db.fetch_one("select * from auth.users where id = %s", [place.people["guest"]])
        assert before is not None
        await place.db.execute(f"update auth.users set {change} where id = %s", [place.people["guest"]])
        assert await place.told("guest", "stores_my_invitations") == [], change
        answer = await place.call("guest", "stores_answer_invitation", p_brand=place.brand, p_accept=True)
        assert answer.status_code == 404, change
        column = change.split(" ")[0]
        await place.db.execute(
            f"update auth.users set {column} = %s where id = %s", [before[column], place.people["guest"]]
        )
    forged = stores_shop.token(place.people["stranger"], email="guest@example.com")
    headers = {"Authorization": f"Bearer {forged}"}
    told = await place.http.post("/rest/v1/rpc/stores_my_invitations", json={}, headers=headers)
    assert told.json() == [], "the claim of a token proves no address"
    assert "guest" not in await place.roles()


async def test_an_address_that_signs_up_later_finds_its_invitation(place: Place) -> None:
    known = await place.call("owner", "stores_invite", p_brand=place.brand, p_email="guest@example.com")
    unknown = await place.call("owner", "stores_invite", p_brand=place.brand, p_email="new@example.com")
    assert known.status_code == unknown.status_code == 200
    shapes = [set(one.json()[0]) for one in (known, unknown)]
    assert shapes[0] == shapes[1]
    rows = await place.told("owner", "stores_members", p_brand=place.brand)
    told = [{**row, "email": "", "since": "", "expires_at": ""} for row in rows if row["state"] == "invited"]
    assert len(told) == 2 and told[0] == told[1], "nothing tells an address with an account from one without"
    place.people["new"] = await make_user(place.db, "new@example.com")
    assert await place.told("new", "stores_answer_invitation", p_brand=place.brand, p_accept=True) == "viewer"


@pytest.mark.parametrize("who", ["admin", "viewer", "guest", "stranger"])
async def test_who_is_no_owner_sees_and_changes_nothing(place: Place, who: str) -> None:
    await place.told("owner", "stores_invite", p_brand=place.brand, p_email="new@example.com")
    before = (await place.roles(), await place.invited())
    member = who in ("admin", "viewer")
    listed = await place.told(who, "stores_members", p_brand=place.brand)
    assert [one["email"] for one in listed] == ([f"{who}@example.com"] if member else [])
    for name, given in (
        ("stores_invite", {"p_email": f"{who}@example.com", "p_role": "owner"}),
        ("stores_invite", {"p_email": "not an address"}),
        ("stores_withdraw_invitation", {"p_email": "new@example.com"}),
        ("stores_set_member_role", {"p_user": place.people[who], "p_role": "owner"}),
        ("stores_set_member_role", {"p_user": place.people["owner"], "p_role": "viewer"}),
        ("stores_remove_member", {"p_user": place.people["owner"]}),
    ):
        answer = await place.call(who, name, p_brand=place.brand, **given)
        assert answer.status_code == (403 if member else 404), (name, answer.text)
        assert "owner@example.com" not in answer.text
    claims = {"role": "authenticated", "sub": str(place.people[who])}
    mine = (place.brand, place.people[who])
    for text, params in (
        ("insert into stores.brand_members values (%s, %s, 'owner')", mine),
        ("insert into stores.brand_invitations (brand_id, email, invited_by) values (%s, 'x@example.com', %s)", mine),
    ):  # fmt: skip
        assert await attempt(place.db, claims, text, *params) is None, text
    for text in (
        "update stores.brand_members set role = 'owner' where brand_id = %s returning 1",
        "update stores.brand_invitations set role = 'owner' where brand_id = %s returning 1",
        "delete from stores.brand_invitations where brand_id = %s returning 1",
        "select 1 from stores.brand_invitations where brand_id = %s",
    ):
        assert await attempt(place.db, claims, text, place.brand) == [], text
    others = "delete from stores.brand_members where brand_id = %s and user_id <> %s returning 1"
    assert await attempt(place.db, claims, others, *mine) == []
    emails = "select 1 from stores.addresses_of(%s) a where a.user_id <> %s"
    assert await attempt(place.db, claims, emails, *mine) == []
    assert await attempt(place.db, claims, "select email from auth.users") is None
    assert (await place.roles(), await place.invited()) == before


async def test_nobody_is_told_anything_without_signing_in(place: Place) -> None:
    for name in ("stores_members", "stores_invite", "stores_my_invitations", "stores_answer_invitation"):
        answer = await place.http.post(f"/rest/v1/rpc/{name}", json={"p_brand": str(place.brand)})
        assert answer.status_code in (401, 404), name
    for table in ("brand_members", "brand_invitations"):
        for claims in ({"role": "anon"}, {"role": "authenticated"}):
            rows = await attempt(place.db, claims, f"select 1 from stores.{table}")
            assert not rows, (table, claims)


async def test_an_owner_changes_roles_and_members_leave(place: Place) -> None:
    change = {"p_brand": place.brand, "p_user": place.people["viewer"], "p_role": "owner"}
    await place.told("owner", "stores_set_member_role", **change)
    assert (await place.roles())["viewer"] == "owner"
    for role in ("god", None):
        answer = await place.call("owner", "stores_set_member_role", **{**change, "p_role": role})
        assert answer.status_code == 400, answer.text
    await place.told("admin", "stores_remove_member", p_brand=place.brand, p_user=place.people["admin"])
    assert "admin" not in await place.roles(), "whoever wants to leave may"
    nobody = await place.call("owner", "stores_remove_member", p_brand=place.brand, p_user=uuid4())
    assert nobody.status_code == 404
    await place.told("viewer", "stores_invite", p_brand=place.brand, p_email="new@example.com")
    await place.told("owner", "stores_invite", p_brand=place.brand, p_email="guest@example.com")
    await place.told("owner", "stores_remove_member", p_brand=place.brand, p_user=place.people["viewer"])
    assert await place.roles() == {"owner": "owner"}
    assert await place.invited() == ["guest@example.com"], "invitations of a former owner are void"


async def test_the_last_owner_stays(place: Place) -> None:
    me = {"p_brand": place.brand, "p_user": place.people["owner"]}
    for name, given in (
        ("stores_remove_member", me),
        ("stores_set_member_role", {**me, "p_role": "viewer"}),
    ):
        answer = await place.call("owner", name, **given)
        assert (answer.status_code, answer.json()["message"]) == (409, "This is the last owner of the brand.")
    dead = uuid4()  # an owner whose account is gone cannot sign in, and so does not count
    await place.db.execute("insert into stores.brand_members values (%s, %s, 'owner')", (place.brand, dead))
    assert (await place.call("owner", "stores_remove_member", **me)).status_code == 409
    listed = await place.told("owner", "stores_members", p_brand=place.brand)
    assert [one["state"] for one in listed if one["user_id"] == str(dead)] == ["gone"]
    await place.told("owner", "stores_remove_member", p_brand=place.brand, p_user=dead)
    assert (await place.roles())["owner"] == "owner"
    await place.db.execute("delete from stores.brands where id = %s", [place.brand])
    assert await place.roles() == {}, "a brand goes with all its members"


async def test_two_owners_who_remove_one_another_at_once_leave_one(place: Place) -> None:
    await place.db.execute(
        "update stores.brand_members set role = 'owner' where user_id = %s", [place.people["admin"]]
    )
    for _ in range(3):
        answers = await asyncio.gather(
            place.call("owner", "stores_remove_member", p_brand=place.brand, p_user=place.people["admin"]),
            place.call("admin", "stores_remove_member", p_brand=place.brand, p_user=place.people["owner"]),
        )
        owners = [name for name, role in (await place.roles()).items() if role == "owner"]
        assert len(owners) == 1, answers
        for name in {"owner", "admin"} - set(owners):
            await place.db.execute(
                "insert into stores.brand_members values (%s, %s, 'owner')", (place.brand, place.people[name])
            )


async def test_what_is_no_address_and_too_many_are_refused(place: Place) -> None:
    for email in ("", "guest", "a b@example.com", "@example.com", "a@b@c", "x" * 400 + "@example.com", None):
        answer = await place.call("owner", "stores_invite", p_brand=place.brand, p_email=email)
        assert (answer.status_code, answer.json()["code"]) == (400, "PT400"), email
    given = {"p_brand": place.brand, "p_email": "new@example.com"}
    assert (await place.call("owner", "stores_invite", p_role="god", **given)).status_code == 400
    await place.db.execute(
        "insert into stores.brand_invitations (brand_id, email)"
        " select %s, n || '@example.com' from generate_series(1, 100) n",
        [place.brand],
    )
    full = await place.call("owner", "stores_invite", **given)
    assert (full.status_code, full.json()["message"]) == (409, "There are 100 invitations already.")
    again = await place.call("owner", "stores_invite", p_brand=place.brand, p_email="7@example.com")
    assert again.status_code == 200, "one that is there is renewed"


async def test_weakened_policy_is_caught(place: Place) -> None:
    await place.db.execute("drop policy brand_members_change_owned on stores.brand_members")
    await place.db.execute(
        "create policy brand_members_change_owned on stores.brand_members for update to authenticated using (true)"
    )
    with pytest.raises(AssertionError):
        await test_who_is_no_owner_sees_and_changes_nothing(place, "viewer")


async def test_an_operator_adds_invites_lists_and_removes(place: Place, tmp_path: Path) -> None:
    here = operator(place.db, tmp_path)
    by = ("stores", "members", "--brand", "Acme")
    assert "Acme, Other" not in (await here.types(*by)).out
    assert (await here.types(*by, "--add", "Guest@example.com")).out == "Guest@example.com: member, viewer\n"
    invited = await here.types(*by, "--add", "new@example.com", "--role", "admin")
    assert invited.out == "new@example.com: invited, admin\n"
    shown = (await here.types("stores", "members")).out
    assert "stranger@example.com" in shown and "new@example.com" in shown
    assert "stranger@example.com" not in (await here.types(*by)).out
    assert (await here.types(*by, "--remove", "guest@example.com")).out == "guest@example.com: removed\n"
    assert "guest" not in await place.roles()
    assert "last owner" in await here.refused("HG122", *by, "--remove", "owner@example.com")
    assert "last owner" in await here.refused("HG122", *by, "--add", "owner@example.com")
    await here.refused("HG119", "stores", "members", "--add", "guest@example.com")
    await here.refused("HG120", *by, "--remove", "nobody@example.com")
    await here.refused("HG120", *by, "--add", "nobody")
    await here.refused("HG120", "stores", "members", "--brand", "None")


async def test_the_tables_refuse_what_no_function_would_write(place: Place) -> None:
    for email in ("Upper@example.com", "no address"):
        with pytest.raises(errors.CheckViolation):
            await place.db.execute(
                "insert into stores.brand_invitations (brand_id, email) values (%s, %s)", (place.brand, email)
            )
