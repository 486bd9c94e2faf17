"""Each topic, in any order: late, stale, twice, after a deletion, during a reading. The shop has the last word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from headgate.apps.stores import paging
from headgate.apps.stores.client import Shopify
from headgate.apps.stores.simulator.options import ShopOptions, gid
from headgate.apps.stores.simulator.oracle import changed
from headgate.apps.stores.topics import DELETES, TOPICS
from headgate.apps.stores.webhooks import Inbox
from headgate.db import Database
from tests import stores_shop, stores_sync

DAY_AGO = "2026-01-01T00:00:00Z"
SECRET = stores_sync.CLIENT_SECRET


@pytest.fixture
async def synced(database: Database) -> AsyncIterator[stores_sync.Synced]:
    async with stores_sync.shop(database, ShopOptions(orders=20, history_days=20)) as made:
        yield made


class Told:
    """What a shop's webhooks would say; nothing of it is delivered by itself."""

    def __init__(self, synced: stores_sync.Synced) -> None:
        self.synced = synced
        self.heard: list[tuple[str, dict[str, Any]]] = []
        synced.outlet.shop.listeners.append(lambda change: self.heard.append((change.topic, change.payload)))

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        return [payload for one, payload in self.heard if one == topic]

    async def deliver(self, *given: tuple[str, Mapping[str, Any]], **more: str) -> list[str]:
        """In this order, one after the other."""
        inbox = Inbox(self.synced.db, stores_shop.settings(client_secret=SECRET))
        found = []
        for topic, payload in given:
            one = stores_shop.Delivery(topic, payload, self.synced.outlet.shop.domain, SECRET, **more)
            headers = {name.lower(): text for name, text in one.headers().items()}
            found.append(await inbox.take(headers, one.body))
        return found

    async def order(self, number: int) -> dict[str, Any] | None:
        return await self.synced.db.fetch_one(
            "select o.*, extract(epoch from updated_at)::bigint as changed from public.shop_orders o"
            " where shopify_id = %s",
            [number],
        )


def number(synced: stores_sync.Synced, index: int | None) -> int:
    assert index is not None
    made: int = synced.outlet.shop.numbers.make(index)
    return made


async def test_older_webhook_after_a_newer_one_changes_nothing(synced: stores_sync.Synced) -> None:
    told = Told(synced)
    live = synced.outlet.live
    index = live.place_order()
    order = number(synced, index)
    for kind in ("edit", "partial_refund"):
        live.change_order(order=index, kind=kind)
    (older, newer) = told.bodies("orders/updated")
    assert older["updated_at"] <= newer["updated_at"] and older != newer
    assert await told.deliver(("orders/updated", newer)) == ["taken"]
    await synced.settled()
    before = await told.order(order)
    assert before is not None and before["changed"] == changed(synced.outlet.shop)["orders"][order]
    assert (
        await told.deliver(("orders/updated", older), ("orders/create", told.bodies("orders/create")[0]))
        == ["taken"] * 2
    )
    await synced.settled()
    assert await told.order(order) == before, "nothing was even written again"
    states = await synced.db.fetch_all("select distinct state from stores.webhook_inbox")
    assert states == [{"state": "applied"}]


async def test_day_late_retry_is_a_duplicate_and_a_late_event_with_a_stale_body_is_read_anew(
    synced: stores_sync.Synced,
) -> None:
    told = Told(synced)
    live = synced.outlet.live
    index = live.place_order()
    order = number(synced, index)
    (stale,) = told.bodies("orders/create")
    names = {"event": "event-late", "webhook": "webhook-late", "triggered_at": DAY_AGO}
    assert await told.deliver(("orders/create", stale), **names) == ["taken"]
    await synced.settled()
    live.change_order(order=index, kind="cancel")
    assert await told.deliver(("orders/create", stale), **names) == ["duplicate"], "as Shopify tries again"
    await synced.settled()
    row = await told.order(order)
    assert row is not None and row["cancelled_at"] is None, "a duplicate asks for nothing"
    (late,) = told.bodies("orders/updated")
    given = {**late, "updated_at": stale["updated_at"], "cancelled_at": None, "note": "as it was a day ago"}
    assert await told.deliver(("orders/updated", given), triggered_at=DAY_AGO) == ["taken"]
    await synced.settled()
    row = await told.order(order)
    assert row is not None and row["cancelled_at"] is not None, "what the body says is not believed"


async def test_change_that_comes_after_its_deletion_brings_nothing_back(synced: stores_sync.Synced) -> None:
    told = Told(synced)
    live = synced.outlet.live
    index = live.place_order()
    live.change_order(order=index, kind="touch")
    live.delete_order(order=index)
    customer = live.create_customer()
    live.update_customer(customer=customer)
    live.delete_customer(customer=customer)
    product = live.create_product()
    live.update_product(product=product)
    assert await told.deliver(*reversed(told.heard)) == ["taken"] * len(told.heard)
    await synced.settled()
    assert await told.order(number(synced, index)) is None
    for table, index in (("shop_customers", customer), ("shop_products", product)):
        found = await synced.db.fetch_value(
            f"select count(*) from public.{table} where shopify_id = %s", [number(synced, index)]
        )
        assert found == (table == "shop_products"), table


async def test_deletion_during_a_reading_wins(
    synced: stores_sync.Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(synced)
    live = synced.outlet.live
    index = live.place_order()
    order = number(synced, index)
    real, deleted = paging.several, asyncio.Event()

    async def several(shopify: Shopify, ids: Any) -> Any:
        found = await real(shopify, ids)
        if not deleted.is_set():
            assert found[1], "the order was still there when it was read"
            live.delete_order(order=index)
            await told.deliver(("orders/delete", told.bodies("orders/delete")[0]))
            deleted.set()
        return found

    monkeypatch.setattr(paging, "several", several)
    await told.deliver(("orders/create", told.bodies("orders/create")[0]))
    await synced.settled()
    assert deleted.is_set() and await told.order(order) is None
    assert await synced.db.fetch_value("select count(*) from public.shop_line_items") == 0


async def test_deletion_that_the_shop_does_not_know_deletes_nothing(synced: stores_sync.Synced) -> None:
    """Shopify signs the body and not the topic: a captured body of a change may come as a deletion."""
    await synced.begin()
    await synced.settled()
    told = Told(synced)
    live = synced.outlet.live
    live.change_order(order=live.place_order(), kind="touch")
    live.update_customer()
    live.update_product()
    changes = {"orders/updated", "customers/update", "products/update"}
    forged = [(f"{topic.split('/')[0]}/delete", body) for topic, body in told.heard if topic in changes]
    assert {topic for topic, _ in forged} == DELETES
    assert await told.deliver(*told.heard, *forged) == ["taken"] * (len(told.heard) + len(forged))
    await synced.settled()
    rows = await synced.db.fetch_all("select topic, state, note from stores.webhook_inbox order by id")
    assert {row["state"] for row in rows if row["topic"] not in DELETES} == {"applied"}
    assert {(row["state"], row["note"]) for row in rows if row["topic"] in DELETES} == {
        ("stale", "said to be deleted, but the shop shows it")
    }
    assert await synced.db.fetch_value("select count(*) from stores.tombstones") == 0
    assert await synced.differences() == []


async def test_deletion_is_looked_for_again_while_the_shop_still_shows_the_object(
    synced: stores_sync.Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(synced)
    live = synced.outlet.live
    index = live.place_order()
    await told.deliver(*told.heard)
    await synced.settled()
    real, looks = paging.several, 0

    async def several(shopify: Shopify, ids: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 3:
            live.delete_order(order=index)
        return await real(shopify, ids)

    monkeypatch.setattr(paging, "several", several)
    await told.deliver(("orders/delete", {"id": number(synced, index)}))
    await synced.settled()
    assert looks == 3 and await told.order(number(synced, index)) is None
    deletions = "select distinct state from stores.webhook_inbox where topic = 'orders/delete'"
    assert await synced.db.fetch_all(deletions) == [{"state": "applied"}]


async def test_deletion_of_an_order_that_is_hidden_for_its_age_is_believed(
    database: Database,
) -> None:
    options = ShopOptions(orders=40, history_days=200)
    async with stores_sync.shop(database, options) as synced:
        await synced.begin()
        await synced.settled()
        synced.simulator.outlet.oauth.withheld = frozenset({"read_all_orders"})
        scopes = "update stores.connections set scopes = array_remove(scopes, 'read_all_orders')"
        await database.execute(scopes)
        old = "select shopify_id from public.shop_orders where created_at < now() - interval '70 days' order by 1"
        kept, deleted = [row["shopify_id"] for row in await database.fetch_all(old)][:2]
        told = Told(synced)
        await told.deliver(("orders/updated", {"id": kept}), ("orders/delete", {"id": deleted}))
        await synced.settled()
        assert await told.order(kept) is not None, "it is hidden, which is not deleted"
        assert await told.order(deleted) is None


async def test_each_topic_backwards_and_twice_leaves_what_the_shop_says(synced: stores_sync.Synced) -> None:
    await synced.begin()
    await synced.settled()
    told = Told(synced)
    live = synced.outlet.live
    for action in (
        "create_customer",
        "update_customer",
        "delete_customer",
        "merge_customers",
        "create_product",
    ):
        live.act(action)
    for action in ("update_product", "delete_product", "set_inventory", "update_shop", "data_request"):
        live.act(action)
    index = live.place_order()
    for kind in ("edit", "partial_refund", "cancel"):
        live.change_order(order=index, kind=kind)
    live.delete_order()
    live.redact_customer()
    live.tell_scopes([], [])
    live.tell_uninstalled()
    live.tell_shop_redact()
    finished = {"admin_graphql_api_id": gid("BulkOperation", 1), "status": "completed", "type": "query"}
    told.heard.append(("bulk_operations/finish", finished))
    assert {topic for topic, _ in told.heard} == set(TOPICS)
    backwards = list(reversed(told.heard))
    assert await told.deliver(*backwards) == ["taken"] * len(backwards)
    again = [one for one in backwards if not one[0].startswith(("app/", "shop/"))]
    assert await told.deliver(*again) == ["duplicate"] * len(again)
    await synced.settled()
    rows = await synced.db.fetch_all("select topic, state, note from stores.webhook_inbox order by id")
    wrong = [
        row for row in rows if row["state"] != ("stale" if row["topic"] == "app/uninstalled" else "applied")
    ]
    assert wrong == []
    left = await synced.differences()
    assert [one for one in left if not one.startswith(("products", "variants"))] == []
    await synced.begin("stores.incremental")  # stock that changed is another version of its product
    await synced.settled()
    assert await synced.differences() == []
    audited = await synced.db.fetch_all("select topic, state from stores.gdpr_requests order by topic")
    assert [row["topic"] for row in audited] == ["customers/data_request", "customers/redact", "shop/redact"]
    assert {row["state"] for row in audited} == {"done"}
