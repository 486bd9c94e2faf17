"""`/_control/...`: what tests, demos and benches order and ask, the oracle among it. Shopify has no such thing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import orjson

from headgate.apps.stores.simulator import ledger
from headgate.apps.stores.simulator.faults import ELSEWHERE, FAULTS
from headgate.apps.stores.simulator.money import decimal
from headgate.apps.stores.simulator.options import DAY, ShopOptions
from headgate.apps.stores.simulator.oracle import ids, orders_table
from headgate.apps.stores.simulator.outlet import Outlet
from headgate.apps.stores.simulator.wire import Answer, document

if TYPE_CHECKING:
    from headgate.apps.stores.simulator.server import Simulator


class Control:
    """Answers the control paths of one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        """One request; 400 with a message for what cannot be done."""
        given: dict[str, Any] = {**query, **(document(body) or {})}
        try:
            found = await self._order(method, path.strip("/").split("/")[1:], given)
        except (KeyError, ValueError, TypeError) as error:
            return Answer(400, orjson.dumps({"message": f"{type(error).__name__}: {error}"}))
        if found is None:
            return Answer(404, b'{"message":"not found"}')
        return Answer(200, orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS))

    def _outlet(self, given: dict[str, Any]) -> Outlet:
        shop = given.get("shop")
        return self.simulator.outlets[shop] if shop else self.simulator.outlet

    async def _order(self, method: str, parts: list[str], given: dict[str, Any]) -> Any:
        if parts and parts[0] == "oracle":
            return self._oracle(parts[1], self._outlet(given), given)
        match [method, *parts]:
            case ["GET", "ready"]:
                return {"ready": True, "shops": list(self.simulator.outlets)}
            case ["GET", "state"]:
                return self._state()
            case ["POST", "shops"]:
                return self._add_shop(given)
            case ["POST" | "GET", "clock"]:
                return self._clock(given)
            case ["GET", "faults"]:
                listed = {n: {"number": k, "what": what} for n, (k, what) in FAULTS.items()}
                return {"faults": listed, "elsewhere": ELSEWHERE, "done": self.simulator.faults.done}
            case ["POST", "faults"]:
                return self.order_fault(given)
            case ["DELETE", "faults"]:
                self.simulator.faults.clear()
                return {"orders": 0}
            case ["POST", "live"]:
                return self._outlet(given).live.run(int(given.get("count", 1)))
            case ["POST", "act", name]:
                return {"result": self._act(name, given)}
            case ["POST", "uninstall"]:
                self._outlet(given).uninstall()
                return {"uninstalled": True}
            case ["POST", "scopes"]:
                outlet = self._outlet(given)
                outlet.oauth.withheld = frozenset()
                outlet.lose_scopes(*given.get("withhold", []))
                return {"withheld": sorted(outlet.oauth.withheld)}
            case ["POST", "install"]:
                return self._install(self._outlet(given), given)
            case ["POST", "settings"]:
                return self._settings(given)
            case ["POST", "webhooks", what]:
                return await self._webhooks(self._outlet(given), what, given)
            case ["GET", "webhooks"]:
                return self._webhook_state(self._outlet(given))
        return None

    # --- orders ------------------------------------------------------------
    def order_fault(self, given: dict[str, Any]) -> dict[str, Any]:
        """Order a fault: `fault` (number or name), `count`, `rate`, `seed`, and its options."""
        options = {**given.get("options", {})}
        known = {k: given[k] for k in ("count", "rate", "seed") if k in given}
        ordered = self.simulator.faults.order(given["fault"], **known, **options)
        self.at_once(ordered.name, self._outlet(given))
        return {
            "name": ordered.name,
            "number": FAULTS[ordered.name][0],
            "orders": len(self.simulator.faults.orders),
        }

    def at_once(self, name: str, outlet: Outlet) -> None:
        """Faults that are done when ordered rather than when something passes by."""
        if name in ("exchange_story", "awkward_money", "untied_ledger"):
            if self.simulator.faults.take(name) is None:
                return
            if name == "exchange_story":
                outlet.live.story()
            elif name == "untied_ledger":
                outlet.live.untie()
            else:
                awkward(outlet)
        elif (
            name == "scope_read_all_orders"
            and outlet.oauth.tokens
            and self.simulator.faults.take(name) is not None
        ):
            outlet.lose_scopes("read_all_orders")
        elif (
            name == "uninstalled"
            and not self._bulk_next(outlet)
            and self.simulator.faults.take(name) is not None
        ):
            outlet.uninstall()

    def _bulk_next(self, outlet: Outlet) -> bool:
        waiting = [o for o in self.simulator.faults.orders if o.name == "uninstalled"]
        return bool(waiting and waiting[-1].options.get("during_bulk", True))

    def _act(self, name: str, given: dict[str, Any]) -> Any:
        extra = {k: v for k, v in given.items() if k != "shop"}
        return self._outlet(given).live.act(name, **extra)

    def _add_shop(self, given: dict[str, Any]) -> dict[str, Any]:
        if "presentment" in given:
            given["presentment"] = tuple(given["presentment"])
        self.simulator.add_shop(ShopOptions(**given)).webhooks.start()
        return {"shops": list(self.simulator.outlets)}

    def _clock(self, given: dict[str, Any]) -> dict[str, Any]:
        clock = self.simulator.clock
        if "scale" in given:
            clock.set_scale(float(given["scale"]))
        if "advance_s" in given:
            clock.advance(float(given["advance_s"]))
        return {"now": clock.now(), "scale": clock.scale}

    def _install(self, outlet: Outlet, given: dict[str, Any]) -> dict[str, Any]:
        app = given.get("client_id") or next(iter(self.simulator.apps))
        asked = {"client_id": app, "redirect_uri": given.get("redirect_uri", "http://127.0.0.1/callback"),
                 "scope": given.get("scope", "read_orders,read_all_orders,read_products,read_customers,read_inventory"),
                 "state": given.get("state", "")}  # fmt: skip
        return {"callback": outlet.oauth.approve(asked)}

    def _settings(self, given: dict[str, Any]) -> dict[str, Any]:
        simulator, outlet = self.simulator, self._outlet(given)
        if "auto_approve" in given:
            simulator.auto_approve = bool(given["auto_approve"])
        if "bulk_seconds" in given:
            outlet.bulk.seconds = float(given["bulk_seconds"])
        if "compliance_url" in given:
            for each in simulator.outlets.values():
                each.webhooks.compliance_url = given["compliance_url"]
        if "versions" in given:
            simulator.versions = sorted(given["versions"])
        if "restore_rate" in given:
            outlet.bucket.restore_rate = float(given["restore_rate"])
        if "maximum_available" in given:
            outlet.bucket.maximum = outlet.bucket.available = float(given["maximum_available"])
        return self._state()

    async def _webhooks(self, outlet: Outlet, what: str, given: dict[str, Any]) -> Any:
        if what == "release":
            outlet.webhooks.release()
        elif what == "drain":
            await outlet.webhooks.drain(timeout_s=float(given.get("timeout_s", 30)))
        else:
            return None
        return self._webhook_state(outlet)

    # --- answers ------------------------------------------------------------
    def _webhook_state(self, outlet: Outlet) -> dict[str, Any]:
        hooks = outlet.webhooks
        return {
            "subscriptions": [s.as_dict() for s in hooks.subscriptions], "queued": len(hooks.queue),
            "waiting": len(hooks.waiting), "log": hooks.log[-1000:],
        }  # fmt: skip

    def _state(self) -> dict[str, Any]:
        return {
            "now": self.simulator.clock.now(), "versions": self.simulator.versions, "requests": self.simulator.requests,
            "faults_done": len(self.simulator.faults.done),
            "shops": {d: {"orders": len(o.shop.orders), "customers": len(o.shop.customers),
                          "products": len(o.shop.products), "live": o.live.done,
                          "bulk": [b.as_dict() for b in o.bulk.operations[-20:]]}
                      for d, o in self.simulator.outlets.items()},
        }  # fmt: skip

    def _oracle(self, what: str, outlet: Outlet, given: dict[str, Any]) -> Any:
        shop = outlet.shop
        money = ledger.PRESENTMENT if given.get("money") == "presentment" else ledger.SHOP
        if what == "daily":
            return ledger.as_rows(ledger.daily(shop.orders, shop.options.timezone, money=money))
        if what == "orders":
            return orders_table(shop, money=money)
        if what == "ids":
            return ids(shop)
        return None


def awkward(outlet: Outlet) -> None:
    """Orders in yen, won and dinars, by the hour on the latest day of a clock change before now (fault 30)."""
    zone = ZoneInfo(outlet.shop.options.timezone)
    hour = outlet.shop.now() // 3600 * 3600

    def offset(at: int) -> Any:
        return datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()

    change = next(
        (at for at in range(hour, hour - 400 * DAY, -3600) if offset(at) != offset(at - 3600)), hour - DAY
    )
    for step, currency in enumerate(("JPY", "KWD", "KRW", "BHD") * 8):
        outlet.live.place_order(presentment=currency, at=change - 16 * 3600 + step * 3600)


__all__ = ["Control", "decimal"]
