"""Each fault on Shopify's side of the application's list can be ordered, and shows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal

import httpx
import orjson
import pytest

from headgate.apps.stores import documents
from headgate.apps.stores.simulator import CLIENT_SECRET
from headgate.apps.stores.simulator.clock import stamp
from headgate.apps.stores.simulator.faults import BY_NUMBER, ELSEWHERE, FAULTS, Faults
from headgate.apps.stores.simulator.webhooks import sign
from tests.database.test_stores_simulator_webhooks import drain, subscribe
from tests.stores_simulator import Desk, Receiver, receiver, shopify

ORDERS = documents.BULK["orders"]
SHOP = "{ shop { id } }"
Check = Callable[[Desk, Receiver], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def check(found: Check) -> Check:
    CHECKS[found.__name__] = found
    return found


async def told(desk: Desk, count: int = 1) -> None:
    for _ in range(count):
        desk.outlet.live.update_product(product=1)
    await drain(desk)


def ids_seen(seen: Receiver) -> Counter[str]:
    return Counter(h["x-shopify-event-id"] for h, _ in seen.seen)


# --- webhooks ------------------------------------------------------------
@check
async def duplicate_webhook(desk: Desk, seen: Receiver) -> None:
    await told(desk)
    assert list(ids_seen(seen).values()) == [2]
    assert len({h["x-shopify-webhook-id"] for h, _ in seen.seen}) == 2


@check
async def out_of_order_webhook(desk: Desk, seen: Receiver) -> None:
    await told(desk)
    assert seen.seen == []
    await told(desk)
    await asyncio.sleep(0.02)
    await drain(desk)
    times = [b["updated_at"] for b in seen.bodies("products/update")]
    assert len(times) == 2
    assert times[0] > times[1]


@check
async def late_webhook(desk: Desk, seen: Receiver) -> None:
    await told(desk, 2)
    assert len(seen.seen) == 1
    desk.simulator.clock.advance(86_401)
    await asyncio.sleep(0.03)
    await drain(desk)
    times = [b["updated_at"] for b in seen.bodies("products/update")]
    assert times[1] < times[0]


@check
async def bad_hmac(desk: Desk, seen: Receiver) -> None:
    await told(desk)
    headers, body = seen.seen[0]
    assert headers["x-shopify-hmac-sha256"] != sign(body, CLIENT_SECRET)


@check
async def reencoded_body(desk: Desk, seen: Receiver) -> None:
    await told(desk)
    headers, body = seen.seen[0]
    assert headers["x-shopify-hmac-sha256"] != sign(body, CLIENT_SECRET)
    assert orjson.loads(body)["id"] == desk.outlet.shop.numbers.make(1)


@check
async def webhook_never_sent(desk: Desk, seen: Receiver) -> None:
    await told(desk, 2)
    assert len(seen.seen) == 1


@check
async def subscription_deleted(desk: Desk, seen: Receiver) -> None:
    before = len(desk.outlet.webhooks.subscriptions)
    await told(desk, 2)
    assert seen.seen == []
    assert len(desk.outlet.webhooks.subscriptions) == before - 1


@check
async def finish_lost(desk: Desk, seen: Receiver) -> None:
    await desk.bulk("{ products { edges { node { id } } } }")
    await drain(desk)
    assert "bulk_operations/finish" not in seen.topics()


@check
async def finish_early(desk: Desk, seen: Receiver) -> None:
    desk.outlet.bulk.seconds = 20.0
    begun = await desk.begin("{ products { edges { node { id } } } }")
    await drain(desk)
    id_ = begun["bulkOperation"]["id"]
    assert seen.bodies("bulk_operations/finish")[0]["admin_graphql_api_id"] == id_
    assert (await desk.look(id_))["status"] in ("CREATED", "RUNNING")


# --- bulk ----------------------------------------------------------------
@check
async def submit_response_lost(desk: Desk, seen: Receiver) -> None:
    with pytest.raises(httpx.HTTPError):
        await desk.begin("{ products { edges { node { id } } } }")
    listed = (await desk.ask("{ bulkOperations(first: 5) { nodes { id query } } }"))["bulkOperations"][
        "nodes"
    ]
    assert len(listed) == 1


@check
async def download_cut(desk: Desk, seen: Receiver) -> None:
    done = await desk.bulk(ORDERS)
    got = b""
    with pytest.raises(httpx.HTTPError):
        async with desk.http.stream("GET", done["url"]) as reply:
            async for chunk in reply.aiter_bytes():
                got += chunk
    rest = await desk.http.get(done["url"], headers={"range": f"bytes={len(got)}-"})
    assert 0 < len(got) < int(done["fileSize"])
    assert len(got) + len(rest.content) == int(done["fileSize"])


@check
async def url_expired(desk: Desk, seen: Receiver) -> None:
    reply = await desk.http.get((await desk.bulk(ORDERS))["url"])
    assert reply.status_code == 400
    assert "ExpiredToken" in reply.text


@check
async def operation_expired(desk: Desk, seen: Receiver) -> None:
    done = await desk.bulk(ORDERS)
    assert (done["status"], done["url"]) == ("EXPIRED", None)


@check
async def truncated_jsonl(desk: Desk, seen: Receiver) -> None:
    done = await desk.bulk(ORDERS)
    body = (await desk.http.get(done["url"])).content
    assert len(body) < int(done["fileSize"])
    assert body.count(b"\n") < int(done["objectCount"])
    desk.order("truncated_jsonl", options={"at_newline": True})
    again = await desk.bulk(ORDERS)
    assert (await desk.http.get(again["url"])).content.endswith(b"\n")
    assert len(await desk.lines(again["url"])) < int(again["objectCount"])


@check
async def malformed_line(desk: Desk, seen: Receiver) -> None:
    body = (await desk.http.get((await desk.bulk(ORDERS))["url"])).content
    bad = 0
    for line in body.splitlines():
        try:
            orjson.loads(line)
        except orjson.JSONDecodeError:
            bad += 1
    assert bad == 1


@check
async def duplicate_line(desk: Desk, seen: Receiver) -> None:
    done = await desk.bulk(ORDERS)
    lines = (await desk.http.get(done["url"])).content.splitlines()
    assert len(lines) == int(done["objectCount"]) + 1
    assert len(set(lines)) == int(done["objectCount"])


@check
async def child_before_parent(desk: Desk, seen: Receiver) -> None:
    done = await desk.bulk(ORDERS)
    lines = await desk.lines(done["url"])
    at = {x["id"]: n for n, x in enumerate(lines)}
    assert len(lines) == int(done["objectCount"])
    assert any(at[x["__parentId"]] > n for n, x in enumerate(lines) if "__parentId" in x)


@check
async def orphan(desk: Desk, seen: Receiver) -> None:
    done = await desk.bulk(ORDERS)
    lines = await desk.lines(done["url"])
    known = {x["id"] for x in lines}
    assert any(x["__parentId"] not in known for x in lines if "__parentId" in x)
    assert len(lines) == int(done["objectCount"]) - 1


@check
async def child_without_id(desk: Desk, seen: Receiver) -> None:
    lines = await desk.lines((await desk.bulk(ORDERS))["url"])
    assert any("id" not in x for x in lines)


@check
async def completed_null_url(desk: Desk, seen: Receiver) -> None:
    done = await desk.bulk(ORDERS)
    assert (done["status"], done["url"], done["objectCount"]) == ("COMPLETED", None, "0")


@check
async def failed_with_partial(desk: Desk, seen: Receiver) -> None:
    desk.simulator.faults.clear()
    desk.order("failed_with_partial", options={"late": 2, "share": 0.1})
    done = await desk.bulk(ORDERS)
    assert (done["status"], done["url"], done["partialDataUrl"]) == ("FAILED", None, None)
    for _ in range(3):
        done = await desk.look(done["id"])
    assert done["partialDataUrl"]
    assert len(await desk.lines(done["partialDataUrl"])) == int(done["objectCount"]) > 0


@check
async def access_denied(desk: Desk, seen: Receiver) -> None:
    done = await desk.bulk(ORDERS)
    assert (done["status"], done["errorCode"]) == ("FAILED", "ACCESS_DENIED")
    desk.order("access_denied")
    found = (await desk.raw("{ orders(first: 1) { nodes { id } } }")).json()
    assert found["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"


@check
async def slot_taken(desk: Desk, seen: Receiver) -> None:
    assert (await desk.begin(ORDERS))["userErrors"][0]["code"] == "LIMIT_REACHED"


@check
async def changed_during_bulk(desk: Desk, seen: Receiver) -> None:
    lines = await desk.lines((await desk.bulk(ORDERS))["url"])
    await drain(desk)
    assert {"orders/updated", "orders/create"} <= set(seen.topics())
    rows = (await desk.http.get(f"{desk.url}/_control/oracle/orders")).json()
    stale = [x for x in lines if x["id"] in rows and x["updatedAt"] != stamp(rows[x["id"]]["updated_at"])]
    assert stale


@check
async def deleted_during_bulk(desk: Desk, seen: Receiver) -> None:
    lines = await desk.lines((await desk.bulk(ORDERS))["url"])
    await drain(desk)
    gone = f"gid://shopify/Order/{seen.bodies('orders/delete')[0]['id']}"
    assert gone in {x["id"] for x in lines}
    assert (await desk.ask("query($i: ID!) { order(id: $i) { id } }", i=gone))["order"] is None


@check
async def redacted_during_bulk(desk: Desk, seen: Receiver) -> None:
    await desk.bulk(ORDERS)
    await drain(desk)
    body = seen.bodies("customers/redact")[0]
    assert body["customer"]["id"]
    for number in body["orders_to_redact"]:
        found = await desk.ask(
            "query($i: ID!) { order(id: $i) { email customer { id } } }", i=f"gid://shopify/Order/{number}"
        )
        assert found["order"] == {"email": None, "customer": None}


@check
async def uninstalled(desk: Desk, seen: Receiver) -> None:
    await desk.begin(ORDERS)
    for _ in range(200):
        if (await desk.raw(SHOP)).status_code == 401:
            break
    await drain(desk)
    assert (await desk.raw(SHOP)).status_code == 401
    assert "app/uninstalled" in seen.topics()


# --- api -----------------------------------------------------------------
@check
async def throttled_200(desk: Desk, seen: Receiver) -> None:
    reply = await desk.raw(SHOP)
    assert reply.status_code == 200
    assert reply.json()["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert "data" not in reply.json()


@check
async def throttled_429(desk: Desk, seen: Receiver) -> None:
    reply = await desk.raw(SHOP)
    assert reply.status_code == 429
    assert reply.headers["retry-after"]
    assert reply.json()["errors"][0]["extensions"]["code"] == "THROTTLED"


@check
async def server_error(desk: Desk, seen: Receiver) -> None:
    assert (await desk.raw(SHOP)).status_code == 502


@check
async def html_body(desk: Desk, seen: Receiver) -> None:
    reply = await desk.raw(SHOP)
    assert reply.status_code == 200
    assert reply.text.startswith("<!DOCTYPE html>")


@check
async def token_expired(desk: Desk, seen: Receiver) -> None:
    reply = await desk.raw(SHOP)
    assert reply.status_code == 401
    assert isinstance(reply.json()["errors"], str)


@check
async def refresh_response_lost(desk: Desk, seen: Receiver) -> None:
    old = desk.refresh
    with pytest.raises(httpx.HTTPError):
        await desk.exchange(grant_type="refresh_token", refresh_token=old)
    found = await desk.exchange(grant_type="refresh_token", refresh_token=old)
    assert found["refresh_token"] != old


@check
async def scope_read_all_orders(desk: Desk, seen: Receiver) -> None:
    await drain(desk)
    assert seen.bodies("app/scopes_update")
    found = await desk.ask(
        "{ ordersCount(limit: null) { count } currentAppInstallation { accessScopes { handle } } }"
    )
    assert found["ordersCount"]["count"] < 120
    assert {"handle": "read_all_orders"} not in found["currentAppInstallation"]["accessScopes"]


@check
async def version_retired(desk: Desk, seen: Receiver) -> None:
    assert (await desk.raw(SHOP)).headers["x-shopify-api-version"] == "2026-10"


# --- the shop ------------------------------------------------------------
@check
async def exchange_story(desk: Desk, seen: Receiver) -> None:
    order = desk.outlet.shop.orders.get(120)
    assert order is not None
    assert [a.reason for a in order.agreements[:3]] == ["ORDER", "ORDER_EDIT", "RETURN"]
    assert len(order.refunds()) >= 3


@check
async def awkward_money(desk: Desk, seen: Receiver) -> None:
    made = [desk.outlet.shop.orders.get(n) for n in range(120, desk.outlet.shop.orders.next)]
    assert {o.presentment for o in made if o} == {"JPY", "KWD", "KRW", "BHD"}
    found = await desk.ask(
        "query($i: ID!) { order(id: $i) { totalPriceSet { presentmentMoney { amount currencyCode } } } }",
        i=f"gid://shopify/Order/{desk.outlet.shop.numbers.make(121)}",
    )
    money = found["order"]["totalPriceSet"]["presentmentMoney"]
    assert money["currencyCode"] == "KWD"
    assert Decimal(money["amount"]) > 0


@check
async def untied_ledger(desk: Desk, seen: Receiver) -> None:
    rows = (await desk.http.get(f"{desk.url}/_control/oracle/orders")).json()
    assert sum(r["current_total"] != r["ledger_total"] for r in rows.values()) == 1


SUBSCRIBED = ("PRODUCTS_UPDATE", "BULK_OPERATIONS_FINISH", "ORDERS_CREATE", "ORDERS_UPDATED", "ORDERS_DELETE",
              "APP_UNINSTALLED", "APP_SCOPES_UPDATE")  # fmt: skip


@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_the_fault_shows(name: str) -> None:
    async with shopify() as desk, receiver() as (seen, url):
        desk.outlet.webhooks.compliance_url = url
        await subscribe(desk, url, *SUBSCRIBED)
        desk.order(name)
        await CHECKS[name](desk, seen)
        assert name in {x["name"] for x in desk.simulator.faults.done}


def test_every_fault_of_the_list_can_be_ordered_or_lies_elsewhere() -> None:
    assert set(BY_NUMBER) | set(ELSEWHERE) >= set(range(1, 33))
    assert set(CHECKS) == set(FAULTS)
    faults = Faults()
    for number, names in BY_NUMBER.items():
        assert faults.order(number).name in names
    for number in ELSEWHERE:
        with pytest.raises(ValueError, match="cannot be ordered"):
            faults.order(number)
    with pytest.raises(ValueError, match="no fault is called"):
        faults.order("gremlins")


def test_a_probability_strikes_about_as_often_and_the_same_seed_strikes_the_same() -> None:
    def run(seed: int) -> list[bool]:
        faults = Faults()
        faults.order("server_error", count=None, rate=0.2, seed=seed)
        return [faults.take("server_error") is not None for _ in range(500)]

    assert 60 < sum(run(1)) < 140
    assert run(1) == run(1) != run(2)
