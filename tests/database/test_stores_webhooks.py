"""Webhooks in: only what Shopify signed, each event once, every topic kept, and quickly acknowledged."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from headgate.apps.stores.answers import Refusal
from headgate.apps.stores.topics import TOPICS, subject, wanted
from headgate.apps.stores.webhooks import MOST, Inbox, moment, readable, together
from headgate.apps.stores.webhooks import read as read_delivery
from headgate.db import Database
from tests import stores_shop as shop

ENTITIES = {"order": "orders", "customer": "customers", "product": "products", "inventory": "inventory"}
#: Where topics name their object, unless it is the payload's own id.
NAMING: dict[str, dict[str, Any]] = {
    "orders/edited": {"order_edit": {"id": 5, "order_id": 11}},
    "refunds/create": {"order_id": 12},
    "order_transactions/create": {"order_id": 13},
    "inventory_levels/update": {"inventory_item_id": 14, "location_id": 5},
    "customers/merge": {
        "admin_graphql_api_customer_kept_id": "gid://shopify/Customer/15",
        "admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/5",
    },
}


def lowered(one: shop.Delivery) -> dict[str, str]:
    return {name.lower(): value for name, value in one.headers().items()}


async def take(inbox: Inbox, *given: shop.Delivery) -> list[str]:
    """What becomes of deliveries that arrive in one moment."""
    tasks = [asyncio.create_task(inbox.take(lowered(one), one.body)) for one in given]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [one if isinstance(one, str) else type(one).__name__ for one in found]


async def rows(db: Database) -> list[dict[str, Any]]:
    return await db.fetch_all("select * from stores.webhook_inbox order by id")


async def test_every_topic_is_kept_once_with_a_job(database: Database) -> None:
    await shop.connection(database, await shop.brand(database, shop.someone()))
    async with shop.serving(database) as client:
        for number, topic in enumerate(TOPICS):
            answer = await shop.Delivery(topic, {**NAMING.get(topic, {}), "id": number, "note": "a/b"}).send(
                client
            )
            assert answer.status_code == 200, topic
            assert shop.decoded(answer) == {"result": "taken"}
    kept = await rows(database)
    assert [row["topic"] for row in kept] == list(TOPICS)
    assert all(row["state"] == "received" and row["connection_ids"] for row in kept)
    jobs = await database.fetch_all("select args from control.jobs where kind = 'stores.webhook_apply'")
    read = {row["topic"] for row in kept if row["object_id"] is not None}
    assert read == {t for t, about in TOPICS.items() if about in ENTITIES}
    assert {job["args"]["inbox_id"] for job in jobs} == {
        row["id"] for row in kept if row["topic"] not in read
    }
    (job,) = await database.fetch_all("select args from control.jobs where kind = 'stores.refetch'")
    assert job["args"] == {"shop": shop.SHOP}, "one job reads what they all tell of"


async def test_forged_and_reencoded_bodies_are_refused_and_leave_nothing(database: Database) -> None:
    delivery = shop.Delivery("orders/updated", {"id": 1, "url": "https://a/b", "price": "10.00"})
    headers = delivery.headers()
    reencoded = json.dumps(json.loads(delivery.body)).encode()
    assert reencoded != delivery.body
    async with shop.serving(database) as client:

        async def status(body: bytes, **changed: str) -> int:
            spoilt = {name.replace("_", "-"): value.encode() for name, value in changed.items()}
            sent = {**{name: value.encode() for name, value in headers.items()}, **spoilt}
            return (await client.post("/api/stores/webhooks", content=body, headers=sent)).status_code

        assert await status(reencoded) == 401
        assert await status(delivery.body + b" ") == 401
        assert await status(delivery.body, X_Shopify_Hmac_Sha256="") == 401
        assert await status(delivery.body, X_Shopify_Hmac_Sha256="AAAA") == 401
        assert await status(delivery.body, X_Shopify_Hmac_Sha256="é") == 401
        forged = shop.Delivery("orders/updated", {"id": 1}, secret="another secret")
        assert (await forged.send(client)).status_code == 401
        del headers["X-Shopify-Hmac-Sha256"]
        assert await status(delivery.body) == 401
        for topic in ("customers/redact", "customers/data_request", "shop/redact"):
            assert (await shop.Delivery(topic, {"a": 1}, secret="x").send(client)).status_code == 401
    assert await rows(database) == []
    assert await database.fetch_value("select count(*) from control.jobs") == 0


async def test_without_a_client_secret_nothing_is_taken(database: Database) -> None:
    async with shop.serving(database, client_id="", client_secret="") as client:
        assert (await shop.Delivery("orders/create", {"id": 1}, secret="").send(client)).status_code == 401


async def test_old_secret_is_still_taken_while_it_is_being_rotated(database: Database) -> None:
    async with shop.serving(database, old_client_secret="before") as client:
        assert (
            await shop.Delivery("orders/create", {"id": 1}, secret="before").send(client)
        ).status_code == 200


async def test_duplicates_are_counted_and_not_kept_again(database: Database) -> None:
    first = shop.Delivery("orders/updated", {"id": 1})
    same_event = shop.Delivery("orders/updated", {"id": 1}, event=first.event)
    retried = shop.Delivery("orders/updated", {"id": 1}, webhook=first.webhook)
    other_topic = shop.Delivery("orders/edited", {"id": 1}, event=first.event)
    other_shop = shop.Delivery("orders/updated", {"id": 1}, event=first.event, shop="other.myshopify.com")
    async with shop.serving(database) as client:
        results = [
            shop.decoded(await one.send(client))["result"]
            for one in (first, first, same_event, retried, other_topic, other_shop)
        ]
    assert results == ["taken", "duplicate", "duplicate", "duplicate", "taken", "taken"]
    kept = await rows(database)
    assert [row["deliveries"] for row in kept] == [4, 1, 1]
    assert await database.fetch_value("select count(*) from control.jobs") == 3


async def test_replayed_body_under_a_new_name_is_refused(database: Database) -> None:
    payload = {"id": 1, "updated_at": "2026-07-01T10:00:00Z"}
    async with shop.serving(database) as client:
        await shop.Delivery("orders/updated", payload).send(client)
        twin = await shop.Delivery("orders/updated", payload).send(client)
        assert shop.decoded(twin) == {"result": "duplicate"}, "two events of one second may look the same"
        await database.execute(
            "update stores.webhook_inbox set received_at = received_at - interval '1 hour'"
        )
        replayed = await shop.Delivery("orders/updated", payload).send(client)
        assert replayed.status_code == 401
        removed = shop.Delivery("app/uninstalled", payload)
        await removed.send(client)
        await database.execute(
            "update stores.webhook_inbox set received_at = received_at - interval '1 hour'"
        )
        again = await shop.Delivery("app/uninstalled", payload).send(client)
        assert shop.decoded(again) == {"result": "taken"}, "an app may be removed twice"
    assert await database.fetch_value("select count(*) from stores.webhook_inbox") == 3


async def test_what_shopify_signed_is_never_refused_for_what_it_says(database: Database) -> None:
    bodies = [
        b'{"id": 1, "note": "a\\u0000b"}',
        b'{"note": "\\ud800"}',
        b"[1]",
        b"not json",
        b"",
        b"\xff\xfe",
    ]
    async with shop.serving(database) as client:
        for body in bodies:
            headers = shop.Delivery("orders/updated", {}).headers(body)
            answer = await client.post("/api/stores/webhooks", content=body, headers=headers)
            assert answer.status_code == 200, body
    kept = await rows(database)
    assert [row["state"] for row in kept] == ["received", "received", "failed", "failed", "failed", "failed"]
    assert kept[0]["payload"] == {"id": 1, "note": "a\ufffdb"}
    assert all(row["note"] for row in kept)


async def test_what_arrives_together_is_kept_together_and_each_is_told_its_own(database: Database) -> None:
    await shop.connection(database, await shop.brand(database, shop.someone()))
    inbox = Inbox(database, shop.settings())
    await take(inbox, kept := shop.Delivery("orders/updated", {"id": 1}))
    many = [shop.Delivery("orders/updated", {"id": n}) for n in range(100, 100 + 2 * MOST)]
    twin = shop.Delivery("orders/updated", many[0].payload, event=many[0].event)
    retried = shop.Delivery("orders/updated", many[1].payload, webhook=many[1].webhook)
    same_body = shop.Delivery("orders/updated", many[2].payload)
    forged = shop.Delivery("orders/updated", {"id": 9}, secret="another")
    given = [*many, twin, retried, same_body, forged, kept]
    found = await take(inbox, *given)
    assert found == ["taken"] * len(many) + ["duplicate"] * 3 + ["Refusal", "duplicate"]
    stored = await rows(database)
    assert [row["event_id"] for row in stored] == [kept.event, *(one.event for one in many)]
    assert [row["deliveries"] for row in stored] == [2, 2, 2, 2, *[1] * (len(many) - 3)]
    commits = await database.fetch_all(
        "select xmin::text as x, count(*) as n from stores.webhook_inbox group by 1"
    )
    assert max(row["n"] for row in commits) > MOST // 2, "they share commits"
    await database.execute("update stores.webhook_inbox set received_at = received_at - interval '1 hour'")
    other = shop.Delivery("orders/updated", many[5].payload)
    assert await take(inbox, other, shop.Delivery("orders/updated", {"id": 2})) == ["Refusal", "taken"]


async def test_one_that_cannot_be_kept_does_not_take_others_with_it(database: Database) -> None:
    inbox = Inbox(database, shop.settings())
    huge = shop.Delivery("orders/updated", {"id": 0})
    body = b'{"id": 1, "price": 1e-200000}'  # finer than what numeric holds
    headers = {name.lower(): value for name, value in huge.headers(body).items()}
    before, after = (take(inbox, shop.Delivery("orders/updated", {"id": n})) for n in (1, 2))
    found = await asyncio.gather(before, inbox.take(headers, body), after)
    assert found == [["taken"], "unreadable", ["taken"]]
    assert {row["state"] for row in await rows(database) if row["note"]} == {"failed"}
    await database.execute(
        "create function public.spoil() returns trigger language plpgsql as $$ begin"
        " if new.topic = 'shop/update' then raise exception 'no'; end if; return new; end $$"
    )
    await database.execute(
        "create trigger spoil before insert on stores.webhook_inbox for each row execute function public.spoil()"
    )
    topics = ("orders/create", "shop/update", "products/update")
    found_again = await take(inbox, *(shop.Delivery(topic, {"id": 7}) for topic in topics))
    assert found_again == ["taken", "RaiseException", "taken"]


def test_no_two_of_one_name_are_kept_together() -> None:
    made = [shop.Delivery("orders/updated", {"id": n}) for n in range(3)]
    twin = shop.Delivery("orders/updated", {"id": 9}, event=made[0].event)
    of_twin = shop.Delivery("orders/updated", {"id": 10}, webhook=twin.webhook)
    given = [made[0], twin, of_twin, made[1], made[2]]

    async def parted() -> tuple[list[str], list[str]]:
        group, rest = together([read_delivery(lowered(one), one.body) for one in given])
        return [one.row["webhook"] for one in group], [one.row["webhook"] for one in rest]

    group, rest = asyncio.run(parted())
    assert group == [one.webhook for one in made]
    assert rest == [twin.webhook, twin.webhook], "and nothing overtakes what it repeats"


async def test_replay_is_refused_before_it_is_kept_where_the_signature_is_missing(database: Database) -> None:
    inbox = Inbox(database, shop.settings())
    with pytest.raises(Refusal) as refused:
        await inbox.take({}, b"{}")
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("topic", "domain"), [("", shop.SHOP), ("orders", shop.SHOP), ("a/b", "evil.example.com"), ("a/b", "")]
)
async def test_signed_body_without_topic_or_shop_is_said(database: Database, topic: str, domain: str) -> None:
    async with shop.serving(database) as client:
        assert (await shop.Delivery(topic, {"id": 1}, shop=domain).send(client)).status_code == 400
    assert await rows(database) == []


def test_moments_of_shopify_are_read_and_nonsense_is_none() -> None:
    found = moment("2026-07-01T10:00:00.123456789Z")
    assert found is not None and found.isoformat() == "2026-07-01T10:00:00.123456+00:00"
    assert moment("2026-07-01T10:00:00-04:00") is not None
    for text in (None, "", "yesterday", "1970-01-01T00:00:00Z"):
        assert moment(text) is None


def test_numbers_in_bodies_keep_every_digit() -> None:
    text, value, note = readable(b'{"id": 9007199254740993, "price": 0.1000}')
    assert text == '{"id": 9007199254740993, "price": 0.1000}' and note is None
    assert value is not None and value["id"] == 9007199254740993


@pytest.mark.parametrize("topic", TOPICS)
def test_the_object_of_each_topic_is_the_one_it_names(topic: str) -> None:
    about = TOPICS[topic]
    payload = {"id": 7, **NAMING.get(topic, {})}
    expected = {"orders/edited": 11, "refunds/create": 12, "order_transactions/create": 13}
    expected |= {"inventory_levels/update": 14, "customers/merge": 15}
    if about in ENTITIES:
        assert subject(topic, payload) == (ENTITIES[about], expected.get(topic, 7))
    else:
        assert subject(topic, payload) is None
    for strange in (
        {},
        {"id": [1]},
        {"id": "x"},
        {"id": 10**19},
        {"order_edit": [1]},
        {"order_id": {"a": 1}},
    ):
        assert subject(topic, strange) is None


def test_subscriptions_follow_the_granted_scopes() -> None:
    assert set(wanted([]).values()) == {
        "bulk_operations/finish",
        "app/uninstalled",
        "app/scopes_update",
        "shop/update",
    }
    everything = wanted(["read_orders", "read_customers", "read_products", "read_inventory"])
    assert set(everything.values()) == {t for t, about in TOPICS.items() if about != "privacy"}
    assert everything["ORDER_TRANSACTIONS_CREATE"] == "order_transactions/create"
