"""The simulated Shopify over real HTTP: OAuth, GraphQL with scopes and throttling, paging, bulk operations."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from headgate.apps.stores import documents
from headgate.apps.stores.simulator import CLIENT_ID, CLIENT_SECRET, ShopOptions
from headgate.apps.stores.simulator.oauth import sign_query
from headgate.apps.stores.simulator.oracle import ids
from tests.stores_simulator import OPENED, Desk, shopify

ORDERS = documents.BULK["orders"]


async def test_a_merchant_approves_and_the_callback_is_signed() -> None:
    async with shopify() as desk:
        desk.simulator.auto_approve = False
        asked = {
            "client_id": CLIENT_ID,
            "scope": "read_orders,write_themes",
            "redirect_uri": "http://127.0.0.1/b",
            "state": "x&y",
        }
        page = await desk.http.get(f"{desk.shop_url}/admin/oauth/authorize", params=asked)
        assert page.status_code == 200
        assert "Install app" in page.text
        reply = await desk.http.post(f"{desk.shop_url}/admin/oauth/grant", data=asked)
        given = dict(parse_qsl(urlsplit(reply.headers["location"]).query))
        assert given["state"] == "x&y"
        assert given["shop"] == "sim-one.myshopify.com"
        assert given["hmac"] == sign_query(given, CLIENT_SECRET)
        assert given["hmac"] != sign_query({**given, "shop": "other.myshopify.com"}, CLIENT_SECRET)
        found = await desk.exchange(code=given["code"], expiring="1")
        assert found["scope"] == "read_orders"
        assert (await desk.exchange(code=given["code"]))["error"] == "invalid_request"  # a code works once


async def test_tokens_expire_and_refresh_tokens_rotate_once_their_successor_is_used() -> None:
    async with shopify() as desk:
        first = desk.refresh
        desk.simulator.clock.advance(3601)
        assert (await desk.raw("{ shop { id } }")).status_code == 401
        lost = await desk.exchange(grant_type="refresh_token", refresh_token=first)
        again = await desk.exchange(grant_type="refresh_token", refresh_token=first)
        assert lost["refresh_token"] == again["refresh_token"] != first
        await desk.ask("{ shop { id } }")
        await desk.exchange(grant_type="refresh_token", refresh_token=again["refresh_token"])
        gone = await desk.exchange(grant_type="refresh_token", refresh_token=first)
        assert gone["error"] == "invalid_grant"


async def test_a_field_needs_its_scope_and_old_orders_need_theirs() -> None:
    async with shopify() as desk:
        await desk.install(scopes="read_orders,read_products")
        found = (await desk.raw("{ shop { name } customers(first: 1) { nodes { id } } }")).json()
        assert found["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"
        assert found["errors"][0]["path"] == ["customers"]
        recent = (await desk.ask("{ ordersCount(limit: null) { count precision } }"))["ordersCount"]
        assert 0 < recent["count"] < 120
        await desk.install()
        assert (await desk.ask("{ ordersCount(limit: null) { count } }"))["ordersCount"]["count"] == 120
        assert (await desk.ask("{ ordersCount(limit: 7) { count precision } }"))["ordersCount"] == {
            "count": 7,
            "precision": "AT_LEAST",
        }


async def test_points_run_out_and_come_back() -> None:
    async with shopify() as desk:
        bucket = desk.outlet.bucket
        bucket.maximum = bucket.available = 60.0
        bucket.restore_rate = 0.0
        query = "{ orders(first: 250) { nodes { id } } }"
        seen = [(await desk.raw(query)).json() for _ in range(6)]
        refused = [x for x in seen if "errors" in x]
        assert refused
        assert refused[0]["errors"][0]["extensions"]["code"] == "THROTTLED"
        assert "data" not in refused[0]
        status = refused[0]["extensions"]["cost"]
        assert status["requestedQueryCost"] > status["throttleStatus"]["currentlyAvailable"]
        bucket.restore_rate = 1000.0
        await asyncio.sleep(0.1)
        assert "errors" not in (await desk.raw(query)).json()
        dear = (
            await desk.raw(
                "{ orders(first: 250) { nodes { id lineItems(first: 250) { nodes { id variant { id } } } } } }"
            )
        ).json()
        assert dear["errors"][0]["extensions"]["code"] == "MAX_COST_EXCEEDED"


async def test_a_retired_version_is_served_by_the_oldest_live_one_and_says_so() -> None:
    async with shopify() as desk:
        desk.version = "2024-04"
        reply = await desk.raw("{ shop { id } }")
        assert reply.headers["x-shopify-api-version"] == "2025-10"
        desk.version = "2099-01"
        assert (await desk.raw("{ shop { id } }")).status_code == 404
        desk.version = "2025-10"
        assert "bulkOperations" in (await desk.raw("{ bulkOperations(first: 1) { nodes { id } } }")).text


async def pages(desk: Desk, name: str, *, size: int, rest: str = "", fields: str = "id") -> list[Any]:
    """Every node of a list, page by page."""
    found: list[Any] = []
    after = None
    while True:
        text = (
            f"query($a: String) {{ {name}(first: {size}, after: $a {rest}) {{ nodes {{ {fields} }}"
            " pageInfo { hasNextPage endCursor } } }"
        )
        part = (await desk.ask(text, a=after))[name]
        found += part["nodes"]
        if not part["pageInfo"]["hasNextPage"]:
            return found
        after = part["pageInfo"]["endCursor"]


@pytest.mark.parametrize(
    "rest", ["", ", sortKey: UPDATED_AT", ", sortKey: ID, reverse: true", ", sortKey: CREATED_AT"]
)
async def test_paging_shows_every_order_once_in_order(rest: str) -> None:
    async with shopify() as desk:
        desk.outlet.live.run(40)
        found = await pages(desk, "orders", size=37, rest=rest, fields="id updatedAt createdAt processedAt")
        assert sorted(x["id"] for x in found) == ids(desk.outlet.shop)["orders"]
        key = "updatedAt" if "UPDATED" in rest else "createdAt" if "CREATED" in rest else "processedAt"
        if "ID" not in rest:
            assert [x[key] for x in found] == sorted(x[key] for x in found)
        since = sorted(x["updatedAt"] for x in found)[60]
        late = await pages(
            desk, "orders", size=50, rest=f", query: \"updated_at:>='{since}'\"", fields="updatedAt"
        )
        assert len(late) == sum(x["updatedAt"] >= since for x in found)


async def test_all_other_lists_page_too() -> None:
    async with shopify() as desk:
        truth = ids(desk.outlet.shop)
        assert sorted(x["id"] for x in await pages(desk, "customers", size=11)) == truth["customers"]
        assert sorted(x["id"] for x in await pages(desk, "products", size=3)) == truth["products"]
        assert sorted(x["id"] for x in await pages(desk, "productVariants", size=7)) == truth["variants"]
        fields = 'inventoryLevels(first: 5) { nodes { id quantities(names: ["available"]) { quantity } } }'
        items = await pages(desk, "inventoryItems", size=5, fields=fields)
        levels = [level["id"] for item in items for level in item["inventoryLevels"]["nodes"]]
        assert sorted(levels) == truth["inventory_levels"]
        rows = await pages(
            desk, "orders", size=20, fields="refunds { id refundLineItems(first: 20) { nodes { id } } }"
        )
        refunds = [r for row in rows for r in row["refunds"]]
        assert sorted(r["id"] for r in refunds) == truth["refunds"]
        assert (
            sorted(x["id"] for r in refunds for x in r["refundLineItems"]["nodes"]) == truth["refund_lines"]
        )


def without(line: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {k: v for k, v in line.items() if k not in keys}


@pytest.mark.parametrize("group", [False, True])
async def test_a_bulk_file_has_exactly_what_paged_reads_show(group: bool) -> None:
    async with shopify(ShopOptions(seed=5, orders=300, opened_at=OPENED, taxes_included=group)) as desk:
        operation = await desk.bulk(ORDERS, group=group)
        assert operation["status"] == "COMPLETED"
        body = (await desk.http.get(operation["url"])).content
        lines = await desk.lines(operation["url"])
        assert b"gid:\\/\\/shopify\\/Order\\/" in body
        assert len(lines) == int(operation["objectCount"])
        assert len(body) == int(operation["fileSize"])
        parents = [x for x in lines if "__parentId" not in x]
        assert len(parents) == int(operation["rootObjectCount"]) == 300
        truth = ids(desk.outlet.shop)
        for kind, name in (("LineItem", "line_items"), ("SalesAgreement", "agreements"), ("Sale", "sales")):
            assert sorted(x["id"] for x in lines if f"/{kind}/" in x["id"]) == truth[name]
        by_parent: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            by_parent.setdefault(line.get("__parentId", ""), []).append(without(line, "__parentId"))
        adjacent = sum(b.get("__parentId") == a["id"] for a, b in pairwise(lines))
        assert (adjacent > 250) is group
        sizes = {"lines": 50, "agreements": 20, "sales": 50}
        for start in range(25):
            node = (await desk.ask(documents.NODES["orders"], ids=[parents[start]["id"]], **sizes))["nodes"][
                0
            ]
            children = {k: node.pop(k)["nodes"] for k in ("lineItems", "shippingLines", "agreements")}
            assert node == parents[start]
            sales = [s for a in children["agreements"] for s in a["sales"]["nodes"]]
            below = by_parent.get(node["id"], [])
            plain = [without(x, "sales") for rows in children.values() for x in rows]
            assert sorted(below, key=str) == sorted(plain, key=str)
            bulk_sales = [s for a in children["agreements"] for s in by_parent.get(a["id"], [])]
            assert bulk_sales == sales


async def test_bulk_files_of_customers_products_and_discounts() -> None:
    async with shopify() as desk:
        truth = ids(desk.outlet.shop)
        customers = await desk.lines((await desk.bulk(documents.BULK["customers"]))["url"])
        assert sorted(x["id"] for x in customers) == truth["customers"]
        text = "{ customers { edges { node { id numberOfOrders amountSpent { amount } } } } }"
        bought = await desk.lines((await desk.bulk(text))["url"])
        assert sum(int(x["numberOfOrders"]) for x in bought) == sum(
            o.customer is not None for o in desk.outlet.shop.orders
        )
        products = await desk.lines((await desk.bulk(documents.BULK["products"]))["url"])
        for kind, name in (
            ("Product", "products"),
            ("ProductVariant", "variants"),
            ("InventoryLevel", "inventory_levels"),
        ):
            assert sorted(x["id"] for x in products if f"/{kind}/" in x["id"]) == truth[name]
        text = (
            "{ orders { edges { node { id"
            " discountApplications { edges { node { index targetType __typename } } } } } } }"
        )
        found = await desk.lines((await desk.bulk(text))["url"])
        assert any("id" not in x and x["__parentId"] for x in found)


async def test_slots_states_cancelling_and_versions() -> None:
    async with shopify() as desk:
        desk.outlet.bulk.seconds = 20.0
        begun = [await desk.begin(ORDERS) for _ in range(6)]
        assert [b["userErrors"] for b in begun[:5]] == [[]] * 5
        assert begun[5]["userErrors"][0]["code"] == "LIMIT_REACHED"
        first = begun[0]["bulkOperation"]["id"]
        assert (await desk.look(first))["status"] == "RUNNING"
        assert (await desk.look(first))["url"] is None
        cancel = (
            "mutation($id: ID!) { bulkOperationCancel(id: $id)"
            " { bulkOperation { status } userErrors { message } } }"
        )
        assert (await desk.ask(cancel, id=first))["bulkOperationCancel"]["bulkOperation"][
            "status"
        ] == "CANCELING"
        assert (await desk.wait(first))["status"] == "CANCELED"
        desk.outlet.bulk.seconds = 0.0
        for one in begun[1:5]:
            assert (await desk.wait(one["bulkOperation"]["id"]))["status"] == "COMPLETED"
        listed = await desk.ask("{ bulkOperations(first: 3, reverse: true) { nodes { id } } }")
        assert [n["id"] for n in listed["bulkOperations"]["nodes"]] == [
            b["bulkOperation"]["id"] for b in begun[4:1:-1]
        ]
        desk.version, desk.outlet.bulk.seconds = "2025-10", 20.0
        assert (await desk.begin(ORDERS))["userErrors"] == []
        assert (await desk.begin(ORDERS))["userErrors"][0]["code"] == "OPERATION_IN_PROGRESS"


async def test_files_come_in_ranges_expire_after_a_week_and_an_empty_one_has_no_url() -> None:
    async with shopify() as desk:
        operation = await desk.bulk(ORDERS)
        whole = (await desk.http.get(operation["url"])).content
        part = await desk.http.get(operation["url"], headers={"range": "bytes=1000-"})
        assert part.status_code == 206
        assert part.content == whole[1000:]
        assert part.headers["content-range"] == f"bytes 1000-{len(whole) - 1}/{len(whole)}"
        beyond = await desk.http.get(operation["url"], headers={"range": f"bytes={len(whole)}-"})
        assert beyond.status_code == 416
        none = await desk.bulk('{ orders(query: "created_at:>2099-01-01") { edges { node { id } } } }')
        assert (none["status"], none["url"], none["objectCount"]) == ("COMPLETED", None, "0")
        desk.simulator.clock.advance(8 * 86_400)
        assert (await desk.http.get(operation["url"])).status_code == 400


async def test_a_simulator_on_another_host_header_serves_that_shop() -> None:
    two = ShopOptions(seed=6, domain="sim-two.myshopify.com", orders=10, opened_at=OPENED)
    async with shopify(ShopOptions(seed=5, orders=10, opened_at=OPENED), two) as desk:
        outlet = desk.simulator.outlets["sim-two.myshopify.com"]
        reply = await desk.http.post(
            f"{desk.url}/admin/api/2026-07/graphql.json",
            headers={"host": "sim-two.myshopify.com", "x-shopify-access-token": desk.token},
            json={"query": "{ shop { id } }"},
        )
        assert reply.status_code == 401  # the token of another shop
        assert outlet.shop.numbers.base != desk.outlet.shop.numbers.base
        assert (await desk.http.get(f"{desk.url}/nobody.myshopify.com/admin")).status_code == 404


async def test_the_oracle_answers_over_http_too() -> None:
    async with shopify() as desk:

        async def get(path: str) -> Any:
            reply: httpx.Response = await desk.http.get(f"{desk.url}/_control/{path}")
            return reply.json()

        orders = await get("oracle/orders")
        assert len(orders) == 120
        assert all(x["current_total"] == x["ledger_total"] for x in orders.values())
        days = await get("oracle/daily")
        assert sum(d["orders"] for d in days) == sum(not x["test"] for x in orders.values())
        assert {d["currency"] for d in await get("oracle/daily?money=presentment")} > {"USD"}
        assert await get("oracle/ids") == ids(desk.outlet.shop)
