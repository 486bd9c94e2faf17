"""Privacy requests: collected or erased for real, audited, and what is gone stays gone."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest

from headgate.apps.stores import changes, privacy, staged, webhook_jobs
from headgate.apps.stores.simulator import ShopOptions, Simulator, running
from headgate.db import Database, Jsonb
from headgate.engine.manifest import Services
from headgate.engine.worker import Worker
from tests import stores_shop as shop
from tests import workers

CUSTOMER, OTHER, ORDER, LINKED, FOREIGN = 501, 5012, 9001, 9002, 90010
NAME = "Zdenka"


async def people(db: Database, connection: int) -> None:
    """Two customers; the first has an order that Shopify names and one that it does not."""
    for number, name in ((CUSTOMER, NAME), (OTHER, "Else")):
        await db.execute(
            "insert into public.shop_customers"
            " (connection_id, shopify_id, version, updated_at, first_name, email, phone, tags)"
            " values (%s, %s, now(), now(), %s, %s, '1', '{vip}')",
            (connection, number, name, f"{name}@example.com"),
        )
    for order, customer in ((ORDER, CUSTOMER), (LINKED, CUSTOMER), (FOREIGN, OTHER)):
        await db.execute(
            "insert into public.shop_orders (connection_id, shopify_id, version, created_at, updated_at, currency,"
            " presentment_currency, customer_id, tags, total_price)"
            " values (%s, %s, now(), now(), now(), 'USD', 'USD', %s, '{gift}', 10)",
            (connection, order, customer),
        )
        await db.execute(
            "insert into public.shop_refunds (connection_id, shopify_id, order_id, note)"
            " values (%s, %s, %s, %s)",
            (connection, order + 50_000, order, f"asked by {order}"),
        )


async def deliver(
    db: Database, data_dir: Path, topic: str, payload: dict[str, Any], **given: Any
) -> dict[str, Any] | None:
    """Send a webhook through the endpoint and the jobs; the request's row, if one was made."""
    async with shop.serving(db) as client:
        assert (await shop.Delivery(topic, payload).send(client)).status_code == 200
    await work(db, data_dir, **given)
    return await db.fetch_one("select * from stores.gdpr_requests order by id desc limit 1")


async def work(db: Database, data_dir: Path, **given: Any) -> None:
    """Run every job that waits. `given`: settings of the application."""
    settings = {**shop.extras(**given), "data_dir": data_dir}
    services = Services(db=db, fetcher=None, app=shop.app, settings=settings)
    handlers = {
        "stores.webhook_apply": webhook_jobs.webhook_apply(changes.apply)(services),
        privacy.KIND: privacy.gdpr(services),
    }
    async with workers.working(db, handlers) as worker:
        await drained(db, worker)


@contextlib.asynccontextmanager
async def installed(db: Database) -> AsyncIterator[tuple[Simulator, str, int]]:
    """A simulated shop that lets us in, its address, and its connection."""
    simulator = Simulator(
        [ShopOptions(domain=shop.SHOP, orders=1)], apps={shop.CLIENT_ID: shop.CLIENT_SECRET}
    )
    async with running(simulator) as url:
        oauth = simulator.outlet.oauth
        asked_for = {
            "client_id": shop.CLIENT_ID,
            "redirect_uri": "http://127.0.0.1/",
            "scope": "read_orders",
            "state": "s",
        }
        code = dict(parse_qsl(urlsplit(oauth.approve(asked_for)).query))["code"]
        given = {"client_id": shop.CLIENT_ID, "client_secret": shop.CLIENT_SECRET, "code": code}
        access = oauth.exchange(given)["access_token"]
        brand = await shop.brand(db, shop.someone())
        yield simulator, url, await shop.connection(db, brand, access=access)


async def drained(db: Database, _: Worker) -> None:
    for job in await db.fetch_all("select id from control.jobs where state <> 'succeeded' order by id"):
        await workers.until(db, job["id"], "succeeded")
    left = await db.fetch_all("select id from control.jobs where state in ('ready', 'running')")
    for job in left:
        await workers.until(db, job["id"], "succeeded")


def asked(**more: Any) -> dict[str, Any]:
    """The body that Shopify sends about a customer."""
    return {
        "shop_id": 1,
        "shop_domain": shop.SHOP,
        "customer": {"id": CUSTOMER, "email": f"{NAME}@example.com", "phone": "1"},
        **more,
    }


async def everything(db: Database, connection: int) -> str:
    """All text that is kept anywhere of a connection, but the audit's numbers."""
    parts = []
    for row in await db.fetch_all("select place::text as place from stores.kept_tables()"):
        found = await db.fetch_value(
            f"select string_agg(t::text, ' ') from {row['place']} t where connection_id = %s", (connection,)
        )
        parts.append(found or "")
    parts.append(
        await db.fetch_value("select string_agg(payload::text, ' ') from stores.webhook_inbox") or ""
    )
    parts.append(
        await db.fetch_value("select string_agg(collected::text, ' ') from stores.gdpr_requests") or ""
    )
    return " ".join(parts)


async def test_data_request_collects_all_of_one_customer_for_the_merchant_alone(
    database: Database, tmp_path: Path
) -> None:
    owner = shop.someone()
    made = await shop.connection(database, await shop.brand(database, owner))
    await people(database, made)
    payload = asked(orders_requested=[ORDER], data_request={"id": 77})
    request = await deliver(database, tmp_path, "customers/data_request", payload)
    assert request is not None and request["state"] == "done" and request["customer_id"] == CUSTOMER
    found = request["collected"]
    assert [row["first_name"] for row in found["customers"]] == [NAME]
    assert [row["shopify_id"] for row in found["orders"]] == [ORDER, LINKED]
    assert [row["order_id"] for row in found["refunds"]] == [ORDER, LINKED]
    assert request["counts"] == {name: len(rows) for name, rows in found.items()}
    assert (request["due_at"] - request["received_at"]).days == 30
    select = "select collected from public.shop_privacy_requests"
    async with database.as_role({"role": "authenticated", "sub": str(owner)}) as conn:
        assert len(await (await conn.execute(select)).fetchall()) == 1
    async with database.as_role({"role": "authenticated", "sub": str(shop.someone())}) as conn:
        assert await (await conn.execute(select)).fetchall() == []


async def test_redacted_customer_is_gone_everywhere_and_does_not_come_back(
    database: Database, tmp_path: Path
) -> None:
    made = await shop.connection(database, await shop.brand(database, shop.someone()))
    await people(database, made)
    files = staged.folder({"data_dir": tmp_path}, made)
    files.mkdir(parents=True)
    (files / "1-1.jsonl").write_text(NAME)
    await database.execute(
        "insert into stores.dead_letters (connection_id, reason, raw) values (%s, 'x', %s)",
        (made, f'{{"id":"gid://shopify/Customer/{CUSTOMER}","firstName":"{NAME}"}}'),
    )
    await deliver(database, tmp_path, "customers/data_request", asked(orders_requested=[ORDER]))
    request = await deliver(database, tmp_path, "customers/redact", asked(orders_to_redact=[ORDER]))
    assert request is not None and request["state"] == "done" and request["order_ids"] == [ORDER]
    counts = request["counts"]
    assert (counts["shop_customers"], counts["shop_orders"], counts["files"], counts["dead_letters"]) == (
        1,
        2,
        1,
        1,
    )
    # the webhook that asked for it is erased with the bodies of applied webhooks; nothing else names the person
    await database.execute("update stores.webhook_inbox set payload = null where topic = 'customers/redact'")
    assert NAME not in await everything(database, made)
    assert not files.exists()
    kept = await database.fetch_all("select shopify_id, customer_id from public.shop_orders order by 1")
    assert kept == [
        {"shopify_id": ORDER, "customer_id": None},
        {"shopify_id": LINKED, "customer_id": None},
        {"shopify_id": FOREIGN, "customer_id": OTHER},
    ]
    other = await database.fetch_one("select * from public.shop_customers where shopify_id = %s", (OTHER,))
    assert other is not None and other["first_name"] == "Else" and other["tags"] == ["vip"]
    assert await database.fetch_value("select note from public.shop_refunds where order_id = %s", (FOREIGN,))
    await reimport(database, made)
    assert NAME not in await everything(database, made)
    again = await database.fetch_one("select * from public.shop_customers where shopify_id = %s", (CUSTOMER,))
    assert again is not None and again["redacted"] and again["email"] is None


async def reimport(db: Database, connection: int) -> None:
    """Shopify sends the customer again, newer, as a bulk file or a webhook's second look would."""
    line = {
        "id": f"gid://shopify/Customer/{CUSTOMER}",
        "updatedAt": "2030-01-01T00:00:00Z",
        "createdAt": "2020-01-01T00:00:00Z",
        "firstName": NAME,
        "lastName": NAME,
        "defaultEmailAddress": {"emailAddress": f"{NAME}@example.com"},
        "defaultPhoneNumber": {"phoneNumber": "1"},
        "email": f"{NAME}@example.com",
        "tags": [],
    }
    async with db.transaction() as conn:
        await conn.execute("select stores.apply_objects(%s, %s, now())", (connection, Jsonb([line])))


async def test_shop_is_erased_after_it_left_but_not_when_it_came_back(
    database: Database, tmp_path: Path
) -> None:
    payload = {"shop_id": 1, "shop_domain": shop.SHOP}
    async with installed(database) as (simulator, url, made):
        await people(database, made)
        other = await shop.connection(
            database, await shop.brand(database, shop.someone()), "other.myshopify.com"
        )
        await people(database, other)
        early = await deliver(database, tmp_path, "shop/redact", payload, simulator_url=url)
        assert early is not None and "connected again" in early["error"] and early["counts"] == {}
        assert NAME in await everything(database, made)
        simulator.outlet.oauth.revoke()
        await database.execute("update stores.connections set state = 'uninstalled' where id = %s", (made,))
        done = await deliver(database, tmp_path, "shop/redact", payload, simulator_url=url)
    assert done is not None and done["state"] == "done" and done["id"] != early["id"]
    assert done["counts"]["shop_customers"] == 2 and done["counts"]["shop_orders"] == 3
    assert NAME not in await everything(database, made)
    assert NAME in await everything(database, other), "another shop is not touched"
    row = await database.fetch_one(
        "select state, name, redacted_at from stores.connections where id = %s", (made,)
    )
    assert row is not None and row["state"] == "redacted" and row["redacted_at"] is not None


async def test_shop_that_left_without_a_word_is_erased_all_the_same(
    database: Database, tmp_path: Path
) -> None:
    async with installed(database) as (simulator, url, made):
        await people(database, made)
        simulator.outlet.oauth.revoke()  # app/uninstalled never came: we believe that the shop is connected
        payload = {"shop_id": 1, "shop_domain": shop.SHOP}
        done = await deliver(database, tmp_path, "shop/redact", payload, simulator_url=url)
    assert done is not None and (done["state"], done["error"]) == ("done", None)
    assert done["counts"]["shop_customers"] == 2
    assert NAME not in await everything(database, made)
    row = await database.fetch_one(
        "select state, uninstalled_at from stores.connections where id = %s", (made,)
    )
    assert row is not None and row["state"] == "redacted" and row["uninstalled_at"] is not None
    assert await shop.stored_token(database) is None


async def test_what_was_collected_of_a_person_does_not_stay_for_ever(
    database: Database, tmp_path: Path
) -> None:
    made = await shop.connection(database, await shop.brand(database, shop.someone()))
    await people(database, made)
    await deliver(database, tmp_path, "customers/data_request", asked(orders_requested=[ORDER]))
    services = Services(
        db=database, fetcher=None, app=shop.app, settings={**shop.extras(), "data_dir": tmp_path}
    )
    care = {"stores.inbox_care": webhook_jobs.inbox_care(services)}
    await database.execute(
        "insert into stores.dead_letters (connection_id, reason, raw, at)"
        " select %s, 'x', %s, now() - make_interval(days => d) from unnest('{89,91}'::int[]) d",
        (made, NAME),
    )
    for days, kept in ((59, True), (61, False)):
        await database.execute(
            "update stores.gdpr_requests set done_at = now() - make_interval(days => %s)", (days,)
        )
        async with workers.working(database, care):
            await workers.until(database, await workers.add(database, "stores.inbox_care"), "succeeded")
        row = await database.fetch_one("select collected, counts from stores.gdpr_requests")
        assert row is not None and (row["collected"] is not None) is kept
        assert row["counts"]["customers"] == 1, "the audit stays"
    letters = "select array_agg(now()::date - at::date) from stores.dead_letters"
    assert await database.fetch_value(letters) == [89]


async def test_request_that_names_nobody_erases_nothing(database: Database, tmp_path: Path) -> None:
    made = await shop.connection(database, await shop.brand(database, shop.someone()))
    await people(database, made)
    letters = [
        f'{{"id":"gid:\\/\\/shopify\\/Customer\\/{CUSTOMER}"}}',
        f'{{"orders":[{ORDER},7]}}',
        f'{{"orders":[7,{ORDER}]}}',
    ]
    await database.execute(
        "insert into stores.dead_letters (connection_id, reason, raw) select %s, 'x', unnest(%s::text[])",
        (made, letters),
    )
    left = "select count(*) from stores.dead_letters"
    request = await deliver(
        database, tmp_path, "customers/redact", {"shop_id": 1, "shop_domain": shop.SHOP, "customer": {}}
    )
    assert request is not None and request["state"] == "done" and set(request["counts"].values()) == {0}
    assert await database.fetch_value(left) == 3
    await deliver(database, tmp_path, "customers/redact", asked(orders_to_redact=[ORDER]))
    assert await database.fetch_value(left) == 0


@pytest.mark.parametrize(
    "payload",
    [
        asked(orders_requested=[ORDER], data_request={"id": 77}),
        {"id": ORDER, "customer": {"id": CUSTOMER}, "orders_to_redact": [ORDER]},
        asked(orders_to_redact=[ORDER], shop_domain="other.myshopify.com"),
    ],
    ids=["a request for data", "an order", "another shop"],
)
async def test_signed_body_of_another_topic_or_shop_erases_nothing(
    database: Database, tmp_path: Path, payload: dict[str, Any]
) -> None:
    """Shopify signs the body and not the headers: a body that was captured may come under other ones."""
    made = await shop.connection(database, await shop.brand(database, shop.someone()))
    await people(database, made)
    before = await everything(database, made)
    assert await deliver(database, tmp_path, "customers/redact", payload) is None
    row = await database.fetch_one("select state, note from stores.webhook_inbox")
    assert row is not None and row["state"] == "ignored" and "body" in row["note"]
    await database.execute("update stores.webhook_inbox set payload = null")
    assert await everything(database, made) == before


async def test_files_that_nobody_is_at_work_on_do_not_stay(database: Database, tmp_path: Path) -> None:
    """As of a worker that was killed, whose work another machine has finished, or of a shop that left meanwhile."""
    brand = await shop.brand(database, shop.someone())
    made, left = [await shop.connection(database, brand, one) for one in (shop.SHOP, "other.myshopify.com")]
    settings = {**shop.extras(), "data_dir": tmp_path}
    for one in (made, left):
        await database.execute("select stores.begin_sync(%s)", (one,))
    await database.execute(
        "update stores.bulk_operations set attempts = 2, finished_at = case entity when 'orders' then now() end"
    )
    await database.execute("update stores.connections set state = 'disconnected' where id = %s", (left,))
    rows = await database.fetch_all("select id, connection_id, entity from stores.bulk_operations")
    for row in rows:
        place = staged.folder(settings, row["connection_id"])
        place.mkdir(parents=True, exist_ok=True)
        for attempt in (1, 2):
            (place / staged.name(row["id"], attempt)).write_text(NAME)
    services = Services(db=database, fetcher=None, app=shop.app, settings=settings)
    async with workers.working(database, {"stores.inbox_care": webhook_jobs.inbox_care(services)}):
        await workers.until(database, await workers.add(database, "stores.inbox_care"), "succeeded")
    assert {one.name for one in staged.files(settings)} == {
        staged.name(row["id"], 2)
        for row in rows
        if row["connection_id"] == made and row["entity"] != "orders"
    }


async def test_request_is_carried_out_once_however_often_it_comes(database: Database, tmp_path: Path) -> None:
    brands: list[UUID] = [await shop.brand(database, shop.someone()) for _ in range(2)]
    live = await shop.connection(database, brands[0])
    former = await shop.connection(database, brands[1], state="disconnected")
    for one in (live, former):
        await people(database, one)
    delivery = shop.Delivery("customers/redact", asked(orders_to_redact=[ORDER]))
    async with shop.serving(database) as client:
        for _ in range(3):
            assert (await delivery.send(client)).status_code == 200
    await work(database, tmp_path)
    rows = await database.fetch_all("select connection_id, state from stores.gdpr_requests order by 1")
    assert rows == [{"connection_id": one, "state": "done"} for one in (live, former)], (
        "whoever holds the data"
    )
    await database.execute(
        "update stores.webhook_inbox set state = 'received', payload = %s", (Jsonb(delivery.payload),)
    )
    await database.execute("select stores.requeue_webhooks(0)")
    await work(database, tmp_path)
    assert await database.fetch_value("select count(*) from stores.gdpr_requests") == 2
