"""One shop with all that serves it: GraphQL actions, tokens, bulk operations, webhooks, live changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from headgate.apps.stores.simulator.admin import Bucket, Call, items_page
from headgate.apps.stores.simulator.bulk import Bulk, Operation
from headgate.apps.stores.simulator.clock import SimClock
from headgate.apps.stores.simulator.faults import Faults
from headgate.apps.stores.simulator.live import Live
from headgate.apps.stores.simulator.nodes import Items, Node
from headgate.apps.stores.simulator.oauth import OAuth
from headgate.apps.stores.simulator.options import DAY, ShopOptions, gid
from headgate.apps.stores.simulator.schema import VERSIONS
from headgate.apps.stores.simulator.selection import BadSearch
from headgate.apps.stores.simulator.shop import Shop
from headgate.apps.stores.simulator.webhooks import Subscription, Webhooks

#: shop/redact comes this long after the app was uninstalled.
REDACT_AFTER_S = 2 * DAY


class Outlet:
    """A shop, as one app sees it from outside."""

    def __init__(
        self, options: ShopOptions, clock: SimClock, faults: Faults, *, apps: dict[str, str], folder: Path
    ) -> None:
        self.shop = Shop(options, clock)
        self.faults = faults
        self.oauth = OAuth(options.domain, clock, apps)
        self.bulk = Bulk(self.shop, faults, folder)
        self.webhooks = Webhooks(self.shop, faults, apps)
        self.live = Live(self.shop, seed=options.seed)
        self.bucket = Bucket()
        self.shop.listeners.append(self.webhooks.hear)
        self.bulk.meddle = self._meddle
        self._later: set[asyncio.Task[None]] = set()
        self.actions = {
            "bulkOperationRunQuery": self._run_bulk,
            "bulkOperationCancel": self._cancel_bulk,
            "bulkOperation": lambda c, a: self._found(a["id"]),
            "bulkOperations": self._bulk_page,
            "currentBulkOperation": lambda c, a: (
                self.bulk.operations[-1].as_dict() if self.bulk.operations else None
            ),
            "webhookSubscriptionCreate": self._subscribe,
            "webhookSubscriptionUpdate": self._resubscribe,
            "webhookSubscriptionDelete": self._unsubscribe,
            "webhookSubscription": lambda c, a: next((s.as_dict() for s in self._mine(c, a["id"])), None),
            "webhookSubscriptions": self._subscriptions,
            "currentAppInstallation": self._installation,
            "publicApiVersions": lambda c, a: [_version(v) for v in VERSIONS],
            "appUninstall": self._uninstall_action,
        }

    # --- bulk ------------------------------------------------------------
    def _run_bulk(self, call: Call, args: dict[str, Any]) -> dict[str, Any]:
        operation, errors = self.bulk.run(
            args["query"], version=call.version, scopes=call.scopes, grouped=args["groupObjects"],
            base_url=call.base_url, app=call.app,
        )  # fmt: skip
        if (
            operation is not None
            and self.faults.take("submit_response_lost", operation=operation.id) is not None
        ):
            call.cut = True
        return {"bulkOperation": operation.as_dict() if operation else None, "userErrors": errors}

    def _cancel_bulk(self, call: Call, args: dict[str, Any]) -> dict[str, Any]:
        found = self.bulk.find(args["id"])
        if found is None or found.completed_at is not None:
            message = (
                "Bulk operation does not exist"
                if found is None
                else "A bulk operation cannot be canceled when it is over"
            )
            return {"bulkOperation": None, "userErrors": [{"field": ["id"], "message": message}]}
        found.cancel, found.status = True, "CANCELING"
        return {"bulkOperation": found.as_dict(), "userErrors": []}

    def _found(self, id_: str) -> dict[str, Any] | None:
        found = self.bulk.find(id_)
        return None if found is None else found.as_dict()

    def _bulk_page(self, call: Call, args: dict[str, Any]) -> Any:
        wanted = read_terms(args.get("query"))
        rows = [o.as_dict() for o in self.bulk.operations if o.app == call.app]
        keep = [r for r in rows if all(str(r[k]).lower() == v for k, v in wanted.items())]
        if args.get("reverse"):
            keep.reverse()
        return items_page(Items(keep), {**args, "reverse": False})

    def _meddle(self, operation: Operation, part: list[Node]) -> None:
        """What has been ordered to happen while an operation reads; `part` was read, but is not in the file yet."""
        if operation.projection.root == "orders":
            if (found := self.faults.take("changed_during_bulk", operation=operation.id)) is not None:
                self.live.run(int(found.get("changes", 12)), orders_only=True)
            if self.faults.take("deleted_during_bulk", operation=operation.id) is not None:
                self.live.delete_order(order=part[len(part) // 2].it.index)
        if self.faults.take("redacted_during_bulk", operation=operation.id) is not None:
            self.live.redact_customer()
        if self.faults.take("uninstalled", operation=operation.id) is not None:
            self.uninstall()

    # --- webhooks ------------------------------------------------------------
    def _mine(self, call: Call, id_: str) -> list[Subscription]:
        found = self.webhooks.subscriptions
        return [s for s in found if gid("WebhookSubscription", s.number) == id_ and s.app == call.app]

    def _subscribe(self, call: Call, args: dict[str, Any]) -> dict[str, Any]:
        made, why = self.webhooks.subscribe(
            args["topic"], args["webhookSubscription"], app=call.app, version=call.version
        )
        errors = [] if made else [{"field": ["webhookSubscription", "callbackUrl"], "message": why}]
        return {"webhookSubscription": made.as_dict() if made else None, "userErrors": errors}

    def _resubscribe(self, call: Call, args: dict[str, Any]) -> dict[str, Any]:
        for found in self._mine(call, args["id"]):
            given = args["webhookSubscription"]
            found.uri = given.get("uri") or given.get("callbackUrl") or found.uri
            return {"webhookSubscription": found.as_dict(), "userErrors": []}
        return {"webhookSubscription": None, "userErrors": [_unknown("Webhook subscription")]}

    def _unsubscribe(self, call: Call, args: dict[str, Any]) -> dict[str, Any]:
        for found in self._mine(call, args["id"]):
            self.webhooks.remove(found)
            return {"deletedWebhookSubscriptionId": args["id"], "userErrors": []}
        return {"deletedWebhookSubscriptionId": None, "userErrors": [_unknown("Webhook subscription")]}

    def _subscriptions(self, call: Call, args: dict[str, Any]) -> Any:
        topics = args.get("topics")
        found = [
            s for s in self.webhooks.subscriptions if s.app == call.app and (not topics or s.topic in topics)
        ]
        return items_page(Items([s.as_dict() for s in found]), args)

    # --- install ------------------------------------------------------------
    def _installation(self, call: Call, args: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": gid("AppInstallation", self.shop.numbers.base), "launchUrl": f"https://{self.shop.domain}/admin/apps",
            "accessScopes": [{"handle": s, "description": s.replace("_", " ")} for s in sorted(call.scopes)],
            "app": _app(),
        }  # fmt: skip

    def _uninstall_action(self, call: Call, args: dict[str, Any]) -> dict[str, Any]:
        self.uninstall()
        return {"app": _app(), "userErrors": []}

    def uninstall(self) -> None:
        """The merchant removes the app: tokens and subscriptions go, app/uninstalled comes, later shop/redact."""
        self.live.tell_uninstalled()
        for operation in self.bulk.running():
            operation.cancel = True
        self.oauth.revoke()
        waiting = list(self.webhooks.queue)
        self.webhooks.subscriptions.clear()
        for delivery in waiting:
            delivery.subscription = None
        task = asyncio.get_running_loop().create_task(
            self._redact_later(self.shop.clock.now() + REDACT_AFTER_S)
        )
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _redact_later(self, due: float) -> None:
        while self.shop.clock.now() < due:  # noqa: ASYNC110 - simulated time has no event
            await asyncio.sleep(0.05)
        if not self.oauth.tokens:  # not if it was installed again meanwhile
            self.live.tell_shop_redact()

    def lose_scopes(self, *scopes: str) -> None:
        """The merchant's grant shrinks."""
        before = sorted({s for g in self.oauth.tokens.values() for s in g.scopes} - self.oauth.withheld)
        self.oauth.withheld = self.oauth.withheld | set(scopes)
        self.live.tell_scopes(before, [s for s in before if s not in self.oauth.withheld])

    async def close(self) -> None:
        """Stop everything that runs for this shop."""
        for task in list(self._later):
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        await self.bulk.close()
        await self.webhooks.close()


def read_terms(text: str | None) -> dict[str, str]:
    """`status:running AND type:query` as a dictionary; raises BadSearch for other words."""
    found = {}
    names = {"status": "status", "operation_type": "type", "type": "type", "id": "id"}
    for word in (text or "").replace(" AND ", " ").split():
        key, colon, value = word.partition(":")
        if not colon or key not in names:
            raise BadSearch(f"the simulator does not search bulk operations by {word}")
        found[names[key]] = value.strip("'\"").lower()
    return found


def _app() -> dict[str, Any]:
    return {"id": gid("App", 1), "title": "Simulated app", "handle": "simulated-app"}


def _version(handle: str) -> dict[str, Any]:
    return {"handle": handle, "displayName": handle, "supported": True}


def _unknown(what: str) -> dict[str, Any]:
    return {"field": ["id"], "message": f"{what} does not exist"}
