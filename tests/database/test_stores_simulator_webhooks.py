"""The simulated Shopify's webhooks: signed, retried on simulated time, and every topic of the application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.apps.stores.simulator import CLIENT_SECRET
from headgate.apps.stores.simulator.webhooks import BACKOFF, header_topic, sign
from tests.stores_simulator import Desk, receiver, shopify

CREATE = (
    "mutation($t: WebhookSubscriptionTopic!, $u: String!) { webhookSubscriptionCreate(topic: $t,"
    " webhookSubscription: {uri: $u}) { webhookSubscription { id topic uri } userErrors { field message } } }"
)
TOPICS = (
    "ORDERS_CREATE", "ORDERS_UPDATED", "ORDERS_EDITED", "ORDERS_CANCELLED", "ORDERS_DELETE", "REFUNDS_CREATE",
    "ORDER_TRANSACTIONS_CREATE", "CUSTOMERS_CREATE", "CUSTOMERS_UPDATE", "CUSTOMERS_DELETE", "CUSTOMERS_MERGE",
    "PRODUCTS_CREATE", "PRODUCTS_UPDATE", "PRODUCTS_DELETE", "INVENTORY_LEVELS_UPDATE", "BULK_OPERATIONS_FINISH",
    "APP_UNINSTALLED", "APP_SCOPES_UPDATE", "SHOP_UPDATE",
)  # fmt: skip
GDPR = {"customers/data_request", "customers/redact", "shop/redact"}


async def subscribe(desk: Desk, url: str, *topics: str) -> None:
    for topic in topics:
        found = (await desk.ask(CREATE, t=topic, u=url))["webhookSubscriptionCreate"]
        assert found["userErrors"] == [], found


async def drain(desk: Desk) -> None:
    await desk.outlet.webhooks.drain()


async def test_every_topic_comes_signed_with_its_headers() -> None:
    async with shopify() as desk, receiver() as (seen, url):
        desk.outlet.webhooks.compliance_url = url
        await subscribe(desk, url, *TOPICS)
        live = desk.outlet.live
        live.run(150)
        for kind in ("cancel", "edit", "partial_refund"):
            live.change_order(kind=kind)
        for action in ("delete_order", "delete_customer", "merge_customers", "delete_product", "update_shop"):
            live.act(action)
        live.act("data_request")
        live.act("redact_customer")
        await desk.bulk("{ products { edges { node { id } } } }")
        desk.outlet.lose_scopes("read_customers")
        await drain(desk)
        desk.outlet.uninstall()
        await drain(desk)
        assert (await desk.raw("{ shop { id } }")).status_code == 401
        assert "shop/redact" not in seen.topics()
        desk.simulator.clock.advance(2 * 86_400 + 60)
        for _ in range(400):
            if "shop/redact" in seen.topics():
                break
            await asyncio.sleep(0.01)
        assert set(seen.topics()) == {header_topic(t) for t in TOPICS} | GDPR
        for headers, body in seen.seen:
            assert headers["x-shopify-hmac-sha256"] == sign(body, CLIENT_SECRET)
            assert headers["x-shopify-shop-domain"] == "sim-one.myshopify.com"
            assert headers["x-shopify-webhook-id"]
            assert headers["x-shopify-event-id"]
            assert headers["x-shopify-triggered-at"].endswith("Z")
        finish = seen.bodies("bulk_operations/finish")[0]
        assert set(finish) == {
            "admin_graphql_api_id",
            "completed_at",
            "created_at",
            "error_code",
            "status",
            "type",
        }
        assert (finish["status"], finish["type"]) == ("completed", "query")


async def test_a_failing_receiver_is_tried_nine_times_over_four_hours_and_then_dropped() -> None:
    async with shopify() as desk, receiver() as (seen, url):
        await subscribe(desk, url, "PRODUCTS_UPDATE")
        seen.status = 500
        desk.outlet.live.update_product()
        for wait in (0, *BACKOFF):
            desk.simulator.clock.advance(wait)
            await asyncio.sleep(0.02)
            await drain(desk)
        assert sum(BACKOFF) == 4 * 3600
        assert len(seen.seen) == 9
        assert len({h["x-shopify-webhook-id"] for h, _ in seen.seen}) == 1
        assert len({b for _, b in seen.seen}) == 1  # the first payload, every time
        assert desk.outlet.webhooks.subscriptions == []


async def test_a_retry_that_succeeds_forgives_the_failures_before_it() -> None:
    async with shopify() as desk, receiver() as (seen, url):
        await subscribe(desk, url, "PRODUCTS_UPDATE")
        seen.status = 503
        desk.outlet.live.update_product()
        await asyncio.sleep(0.02)
        await drain(desk)
        seen.status = 200
        desk.simulator.clock.advance(BACKOFF[0])
        await asyncio.sleep(0.02)
        await drain(desk)
        assert [x["status"] for x in desk.outlet.webhooks.log] == [503, 200]
        assert desk.outlet.webhooks.subscriptions[0].failures == 0


@pytest.mark.parametrize(
    "url", ["https://example.com/hooks", "http://192.0.2.7/hooks", "http://10.0.0.1/", "ftp://x", ""]
)
async def test_no_webhook_leaves_this_machine(url: str) -> None:
    async with shopify() as desk:
        found = (await desk.ask(CREATE, t="ORDERS_CREATE", u=url))["webhookSubscriptionCreate"]
        assert found["webhookSubscription"] is None
        assert "this machine" in found["userErrors"][0]["message"]


async def test_subscriptions_are_listed_changed_and_deleted_and_no_topic_twice() -> None:
    async with shopify() as desk, receiver() as (_seen, url):
        await subscribe(desk, url, "ORDERS_CREATE", "ORDERS_UPDATED")
        again = (await desk.ask(CREATE, t="ORDERS_CREATE", u=url))["webhookSubscriptionCreate"]
        assert "already been taken" in again["userErrors"][0]["message"]
        text = "{ webhookSubscriptions(first: 1) { nodes { id topic } pageInfo { hasNextPage endCursor } } }"
        found = (await desk.ask(text))["webhookSubscriptions"]
        assert found["pageInfo"]["hasNextPage"]
        delete = (
            "mutation($i: ID!) { webhookSubscriptionDelete(id: $i)"
            " { deletedWebhookSubscriptionId userErrors { message } } }"
        )
        done = (await desk.ask(delete, i=found["nodes"][0]["id"]))["webhookSubscriptionDelete"]
        assert done["deletedWebhookSubscriptionId"] == found["nodes"][0]["id"]
        left: Any = (await desk.ask(text))["webhookSubscriptions"]["nodes"]
        assert [x["topic"] for x in left] == ["ORDERS_UPDATED"]
