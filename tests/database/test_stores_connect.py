"""Connecting shops: the whole OAuth dance with a simulated Shopify, and every way in which it may be abused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import pytest

from headgate.apps.stores import webhook_jobs
from headgate.apps.stores.app import app
from headgate.apps.stores.simulator import ShopOptions, Simulator, running
from headgate.apps.stores.tokens import NotConnected, Tokens
from headgate.apps.stores.topics import SUBSCRIBED
from headgate.apps.stores.wire import Wire
from headgate.db import Database
from headgate.engine.fetch_errors import TimedOut
from headgate.engine.manifest import Services
from tests import stores_shop as shop
from tests import workers

DOMAIN = "acme.myshopify.com"


@dataclass
class Dance:
    """The server, the simulated Shopify, a brand and its owner."""

    db: Database
    client: httpx.AsyncClient
    simulator: Simulator
    url: str
    owner: UUID
    brand: UUID

    @property
    def extras(self) -> dict[str, Any]:
        """Settings for jobs and tokens."""
        return shop.extras(simulator_url=self.url)

    async def begin(self, **wish: Any) -> httpx.Response:
        """Ask for a connection as the owner."""
        body = {"brand_id": str(self.brand), "shop": DOMAIN, **wish}
        return await self.client.post("/api/stores/connect", json=body, headers=shop.bearer(self.owner))

    async def approve(self, address: str) -> str:
        """The merchant approves; where Shopify sends the browser."""
        async with httpx.AsyncClient() as merchant:
            answer = await merchant.get(address)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def connect(self, **wish: Any) -> httpx.Response:
        """The whole dance in one browser."""
        begun = await self.begin(**wish)
        assert begun.status_code == 200, begun.text
        return await self.client.get(await self.approve(shop.decoded(begun)["data"]["url"]))

    async def connections(self) -> list[dict[str, Any]]:
        """Every connection."""
        return await self.db.fetch_all("select * from stores.connections order by id")


@contextlib.asynccontextmanager
async def dancing(db: Database, **given: Any) -> AsyncIterator[Dance]:
    """Everything ready to connect a shop."""
    simulator = Simulator([ShopOptions(domain=DOMAIN, orders=3)], apps={shop.CLIENT_ID: shop.CLIENT_SECRET})
    async with running(simulator) as url, shop.serving(db, **{"simulator_url": url, **given}) as client:
        owner = shop.someone()
        yield Dance(db, client, simulator, url, owner, await shop.brand(db, owner))


async def test_shop_connects_and_its_sync_begins(database: Database) -> None:
    async with dancing(database) as dance:
        answer = await dance.connect()
        assert answer.status_code == 303
        assert answer.headers["location"] == "/console/#/stores/progress"
        (made,) = await dance.connections()
        assert (made["brand_id"], made["shop_domain"], made["state"]) == (dance.brand, DOMAIN, "connected")
        assert (made["currency"], made["time_zone"]) == ("USD", "America/New_York")
        assert made["coverage"]["orders"] == "all" and "read_all_orders" in made["scopes"]
        assert made["connected_by"] == dance.owner
        kept = await shop.stored_token(database)
        assert kept is not None and kept["access"] in dance.simulator.outlet.oauth.tokens and kept["refresh"]
        kinds = await database.fetch_all("select kind, args from control.jobs order by kind")
        assert [job["kind"] for job in kinds] == ["stores.recent_sync", "stores.webhooks_repair"]
        assert all(job["args"] == {"connection_id": made["id"]} for job in kinds)


async def test_missing_read_all_orders_is_said_in_the_coverage(database: Database) -> None:
    async with dancing(database) as dance:
        dance.simulator.outlet.oauth.withheld = frozenset({"read_all_orders"})
        assert (await dance.connect()).status_code == 303
        (made,) = await dance.connections()
        assert made["coverage"]["orders"] == "60_days" and "read_all_orders" in made["coverage"]["reason"]


async def test_state_is_good_once_for_one_shop_in_one_browser_and_not_for_long(database: Database) -> None:
    async with dancing(database) as dance:
        back = await dance.approve(shop.decoded(await dance.begin())["data"]["url"])
        async with httpx.AsyncClient() as stranger:
            assert (await stranger.get(back)).status_code == 400, "another browser has not the cookie"
        assert await dance.connections() == []
        assert (await dance.client.get(back)).status_code == 303
        assert (await dance.client.get(back)).status_code == 400, "used up"
        begun = shop.decoded(await dance.begin())["data"]["url"]
        query = {name: values[0] for name, values in parse_qs(urlsplit(begun).query).items()}
        other = shop.signed(
            {"code": "x", "shop": "other.myshopify.com", "state": query["state"], "timestamp": "1"}
        )
        assert (await dance.client.get(f"/api/stores/callback?{other}")).status_code == 400, "another shop"
        await database.execute("update stores.oauth_states set expires_at = now() - interval '1 second'")
        assert (await dance.client.get(await dance.approve(begun))).status_code == 400, "too late"
        invented = shop.signed({"code": "x", "shop": DOMAIN, "state": "invented", "timestamp": "1"})
        assert (await dance.client.get(f"/api/stores/callback?{invented}")).status_code == 400
        assert len(await dance.connections()) == 1


async def test_unsigned_or_changed_callback_is_refused_and_spends_no_state(database: Database) -> None:
    async with dancing(database) as dance:
        back = await dance.approve(shop.decoded(await dance.begin())["data"]["url"])
        for spoilt in (
            back.replace("code=", "code=a"),
            back.replace("hmac=", "hmac=0"),
            back.split("&hmac=")[0].split("?hmac=")[0],
            back + "&shop=evil.myshopify.com",
            back + "&extra=1",
        ):
            assert (await dance.client.get(spoilt)).status_code in (400, 401), spoilt
        assert (await dance.client.get(back)).status_code == 303


FOREIGN = [
    "evil.example.com",
    "acme.myshopify.com.evil.example.com",
    "acme.myshopify.com@evil.example.com",
    "evil.example.com/acme.myshopify.com",
    "evil.example.com#.myshopify.com",
    "-.myshopify.com",
    ".myshopify.com",
    "a b.myshopify.com",
    "acme.myshopify.com\n",
    "ácme.myshopify.com",
]


async def test_foreign_host_is_refused_even_when_signed(database: Database) -> None:
    async with shop.serving(database) as client:
        owner = shop.someone()
        made = await shop.brand(database, owner)
        for host in FOREIGN:
            query = shop.signed({"code": "x", "shop": host, "state": "s", "timestamp": "1"})
            for path in ("callback", "install"):
                answer = await client.get(f"/api/stores/{path}?{query}")
                assert answer.status_code == 400 and "location" not in answer.headers, (path, host)
            body = {"brand_id": str(made), "shop": host}
            asked = await client.post("/api/stores/connect", json=body, headers=shop.bearer(owner))
            # a person may write more than the name; what comes of it is always a shop's own host
            if asked.status_code == 200:
                where = urlsplit(shop.decoded(asked)["data"]["url"])
                assert where.scheme == "https" and where.netloc == "acme.myshopify.com" == host.strip(), host
            else:
                assert asked.status_code == 400, host
    assert await database.fetch_value("select count(*) from stores.connections") == 0


ELSEWHERE = [
    "https://evil.example.com",
    "//evil.example.com",
    "/\\evil.example.com",
    "\\\\evil.example.com",
    "/\t/evil.example.com",
    "javascript:alert(1)",
    "https://good.example.com.evil.example.com",
    "https://good.example.com@evil.example.com/",
    "http://good.example.com/",
]


async def test_browser_is_never_sent_elsewhere(database: Database) -> None:
    async with dancing(database, return_urls="https://good.example.com") as dance:
        for place in ELSEWHERE:
            assert (await dance.begin(return_to=place)).status_code == 400, place
        fine = await dance.connect(return_to="https://good.example.com/shops?x=1")
        assert fine.headers["location"] == "https://good.example.com/shops?x=1"


async def test_only_owners_and_admins_of_the_brand_connect(database: Database) -> None:
    async with dancing(database) as dance:
        viewer, stranger = shop.someone(), shop.someone()
        await database.execute(
            "insert into stores.brand_members values (%s, %s, 'viewer')", (dance.brand, viewer)
        )
        body = {"brand_id": str(dance.brand), "shop": DOMAIN}
        for headers, status in (
            (shop.bearer(viewer), 403),
            (shop.bearer(stranger), 404),
            ({}, 401),
            ({"Authorization": f"Bearer {shop.token(dance.owner, secret='x' * 32)}"}, 401),
            ({"Authorization": f"Bearer {shop.token(dance.owner, role='postgres')}"}, 401),
        ):
            answer = await dance.client.post("/api/stores/connect", json=body, headers=headers)
            assert answer.status_code == status
        assert await database.fetch_value("select count(*) from stores.oauth_states") == 0


async def test_shop_is_on_one_brand_unless_sharing_is_allowed(database: Database) -> None:
    async with dancing(database) as dance:
        await dance.connect()
        first = await shop.stored_token(database)
        second = await shop.brand(database, dance.owner, name="Second")
        refused = await dance.begin(brand_id=str(second))
        assert refused.status_code == 409 and "another brand" in refused.text
        assert await shop.stored_token(database) == first
    async with dancing(database, allow_shared_shops=True) as dance:
        third = await shop.brand(database, dance.owner, name="Third")
        assert (await dance.connect(brand_id=str(third))).status_code == 303
        assert [row["shared"] for row in await dance.connections()] == [False, True]


async def test_form_of_another_site_begins_with_a_cookie_of_ours(database: Database) -> None:
    async with dancing(database) as dance:
        form = {"brand_id": str(dance.brand), "shop": "acme", "access_token": shop.token(dance.owner)}
        gone = await dance.client.post("/api/stores/begin", data=form)
        assert gone.status_code == 303 and gone.headers["location"].startswith(
            f"{dance.url}/{DOMAIN}/admin/oauth/authorize?"
        )
        cookie = gone.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie and "path=/api/stores" in cookie
        assert (await dance.client.get(await dance.approve(gone.headers["location"]))).status_code == 303


async def test_disconnect_erases_the_token_and_uninstalls_and_reconnect_continues(database: Database) -> None:
    async with dancing(database) as dance:
        await dance.connect()
        (made,) = await dance.connections()
        path = f"/api/stores/connections/{made['id']}/disconnect"
        assert (await dance.client.post(path, headers=shop.bearer(shop.someone()))).status_code == 404
        answer = await dance.client.post(path, headers=shop.bearer(dance.owner))
        assert answer.status_code == 200
        assert await shop.stored_token(database) is None
        (gone,) = await dance.connections()
        assert gone["state"] == "disconnected"
        assert not dance.simulator.outlet.oauth.tokens, "the app is uninstalled there"
        assert (await dance.client.post(path, headers=shop.bearer(dance.owner))).status_code == 404
        assert (await dance.connect()).status_code == 303
        (again,) = await dance.connections()
        assert (again["id"], again["state"]) == (made["id"], "connected")


async def test_failed_callback_tells_a_browser_on_the_page(database: Database) -> None:
    async with dancing(database) as dance:
        query = shop.signed({"code": "x", "shop": DOMAIN, "state": "invented", "timestamp": "1"})
        answer = await dance.client.get(f"/api/stores/callback?{query}", headers={"Accept": "text/html"})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/console/#/stores/connect?error=BAD_STATE"
        install = await dance.client.get(
            f"/api/stores/install?{shop.signed({'shop': DOMAIN, 'timestamp': '1'})}"
        )
        assert install.headers["location"] == f"/console/#/stores/connect?shop={DOMAIN}"


async def test_tokens_are_refreshed_once_for_all_who_ask(database: Database) -> None:
    async with dancing(database) as dance:
        await dance.connect()
        (made,) = await dance.connections()
        await database.execute("update stores.tokens set expires_at = now() + interval '1 minute'")
        settings = shop.settings(simulator_url=dance.url)
        before = len(dance.simulator.outlet.oauth.tokens)
        wire = Wire(settings)
        several = [Tokens(database, settings, wire=wire) for _ in range(4)]
        found = await asyncio.gather(*(t.access_token(made["id"]) for t in several for _ in range(5)))
        assert len(set(found)) == 1
        assert len(dance.simulator.outlet.oauth.tokens) - before <= 1
        assert await database.fetch_value("select generation from stores.tokens") == 2
        again = await asyncio.gather(*(t.refresh(made["id"], used=found[0]) for t in several))
        assert len(set(again)) == 1 and again[0] != found[0]
        await wire.close()


async def test_lost_refresh_answer_is_survived(database: Database) -> None:
    async with dancing(database) as dance:
        await dance.connect()
        (made,) = await dance.connections()
        await database.execute("update stores.tokens set expires_at = now()")
        dance.simulator.faults.order("refresh_response_lost")
        tokens = Tokens(database, shop.settings(simulator_url=dance.url))
        with pytest.raises(Exception, match="HG4"):
            await tokens.access_token(made["id"])
        found = await tokens.access_token(made["id"])
        assert found in dance.simulator.outlet.oauth.tokens


async def test_refused_refresh_asks_for_a_person(database: Database) -> None:
    async with dancing(database) as dance:
        await dance.connect()
        (made,) = await dance.connections()
        await database.execute("update stores.tokens set expires_at = now()")
        dance.simulator.outlet.oauth.refreshes.clear()
        with pytest.raises(NotConnected, match="Connect the shop again"):
            await Tokens(database, shop.settings(simulator_url=dance.url)).access_token(made["id"])
        (told,) = await dance.connections()
        assert told["state"] == "error" and "renew" in told["error"]
        assert (await dance.connect()).status_code == 303
        (fine,) = await dance.connections()
        assert (fine["id"], fine["state"], fine["error"]) == (made["id"], "connected", None)


class Waiting(Wire):
    """An exchange that goes on when it is told to."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def post_form(self, *args: Any, **given: Any) -> Any:
        self.asked.set()
        await self.go_on.wait()
        return await super().post_form(*args, **given)


async def locked(db: Database, count: int) -> None:
    """Wait until so many sessions wait for a lock."""
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with asyncio.timeout(20):
        while await db.fetch_value(query) < count:  # noqa: ASYNC110 - it polls a database
            await asyncio.sleep(0.02)


async def test_a_refused_refresh_an_uninstall_and_a_new_connection_at_once_end(database: Database) -> None:
    """They waited for each other for ever, and PostgreSQL could not see it: one of them waited outside of it."""
    async with dancing(database) as dance:
        await dance.connect()
        (made,) = await dance.connections()
        await database.execute("update stores.tokens set expires_at = now()")
        dance.simulator.outlet.oauth.refreshes.clear()
        settings = shop.settings(simulator_url=dance.url)
        wire = Waiting(settings)
        refreshing = asyncio.create_task(Tokens(database, settings, wire=wire).access_token(made["id"]))
        await wire.asked.wait()
        means = webhook_jobs.Means.of(Services(db=database, fetcher=None, app=app, settings=dance.extras))
        leaving = asyncio.create_task(webhook_jobs.let_go(means, DOMAIN, datetime.now(UTC)))
        await locked(database, 1)
        coming = asyncio.create_task(dance.connect())
        await locked(database, 2)
        wire.go_on.set()
        async with asyncio.timeout(20):
            with pytest.raises(NotConnected, match="Connect the shop again"):
                await refreshing
            await leaving
            assert (await coming).status_code == 303
        (fine,) = await dance.connections()
        assert (fine["id"], fine["state"], fine["error"]) == (made["id"], "connected", None)
        assert await shop.stored_token(database, DOMAIN) is not None
        await wire.close()


async def unreadable(db: Database, brand: UUID, domain: str = "aaa.myshopify.com") -> None:
    """A shop that connected under a token key that is not here any more; it comes before all others."""
    await shop.connection(db, brand, domain, access="shpat_old")
    await db.execute(
        "update stores.tokens set key_id = 'gone', expires_at = now() - interval '1 day' where shop_domain = %s",
        (domain,),
    )


async def test_a_shop_that_does_not_answer_in_time_is_a_failed_fetch() -> None:
    """So that whoever asks it goes on: a shop that hangs can be disconnected, and holds up no other."""
    gone = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        with pytest.raises(TimedOut, match="did not answer whole"):
            await Wire(shop.settings(simulator_url=url), keep=False).send("GET", f"{url}/x", timeout_s=0.2)
        gone.set()


async def test_a_token_that_cannot_be_read_keeps_no_other_from_being_refreshed(database: Database) -> None:
    async with dancing(database) as dance:
        await dance.connect()
        await unreadable(database, dance.brand)
        await database.execute(
            "update stores.tokens set expires_at = now() + interval '1 minute' where shop_domain = %s",
            (DOMAIN,),
        )
        assert await Tokens(database, shop.settings(simulator_url=dance.url)).refresh_due() == 1
        again = "select generation from stores.tokens where shop_domain = %s"
        assert await database.fetch_value(again, (DOMAIN,)) == 2


async def test_a_shop_that_cannot_be_asked_keeps_no_other_from_its_subscriptions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADGATE_PORT", "8123")
    async with dancing(database) as dance:
        await dance.connect()
        await database.execute("delete from control.jobs")
        await unreadable(database, dance.brand)
        services = Services(db=database, fetcher=None, app=shop.app, settings=dance.extras)
        handlers = {"stores.webhooks_repair": webhook_jobs.webhooks_repair(services)}
        async with workers.working(database, handlers):
            job = await workers.add(database, "stores.webhooks_repair", max_attempts=1)
            await workers.until(database, job, "succeeded")
        assert {one.topic for one in dance.simulator.outlet.webhooks.subscriptions} == set(SUBSCRIBED)
        told = {one["shop_domain"]: one["webhooks"] for one in await dance.connections()}
        assert "cannot be decrypted" in told["aaa.myshopify.com"]["error"]
        assert told[DOMAIN]["topics"] == len(SUBSCRIBED)


async def test_a_topic_that_shopify_refuses_keeps_no_other_from_being_subscribed_to(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for apps without access to protected customer data, which are refused the topics of orders and customers."""
    monkeypatch.setenv("HEADGATE_PORT", "8123")
    refused = {topic for topic in SUBSCRIBED if topic.startswith(("ORDERS", "CUSTOMERS"))}
    async with dancing(database) as dance:
        await dance.connect()
        await database.execute("delete from control.jobs")
        hooks = dance.simulator.outlet.webhooks
        subscribe = hooks.subscribe

        def picky(topic: str, given: dict[str, Any], **more: Any) -> Any:
            return (
                (None, "This app is not approved.") if topic in refused else subscribe(topic, given, **more)
            )

        monkeypatch.setattr(hooks, "subscribe", picky)
        services = Services(db=database, fetcher=None, app=shop.app, settings=dance.extras)
        async with workers.working(
            database, {"stores.webhooks_repair": webhook_jobs.webhooks_repair(services)}
        ):
            job = await workers.add(database, "stores.webhooks_repair", max_attempts=1)
            await workers.until(database, job, "succeeded")
        assert {one.topic for one in hooks.subscriptions} == set(SUBSCRIBED) - refused
        (made,) = await dance.connections()
        assert set(made["webhooks"]["refused"]) == {SUBSCRIBED[topic] for topic in refused}
        assert "not approved" in made["webhooks"]["refused"]["orders/create"]


async def test_subscriptions_are_made_and_missing_ones_repaired(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADGATE_PORT", "8123")
    async with dancing(database) as dance:
        await dance.connect()
        services = Services(db=database, fetcher=None, app=shop.app, settings=dance.extras)
        handlers = {"stores.webhooks_repair": webhook_jobs.webhooks_repair(services)}
        async with workers.working(database, handlers):
            (job,) = await database.fetch_all(
                "select id from control.jobs where kind = 'stores.webhooks_repair'"
            )
            await workers.until(database, job["id"], "succeeded")
            hooks = dance.simulator.outlet.webhooks
            assert {one.topic for one in hooks.subscriptions} == set(SUBSCRIBED)
            assert {one.uri for one in hooks.subscriptions} == {"http://127.0.0.1:8123/api/stores/webhooks"}
            for lost in hooks.subscriptions[:2]:
                hooks.remove(lost)
            again = await workers.add(database, "stores.webhooks_repair")
            await workers.until(database, again, "succeeded")
            assert {one.topic for one in hooks.subscriptions} == set(SUBSCRIBED)
            assert len(hooks.subscriptions) == len(SUBSCRIBED)
        (made,) = await dance.connections()
        assert len(made["webhooks"]["repaired"]) == 2
