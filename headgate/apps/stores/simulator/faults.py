"""What can go wrong on Shopify's side, on order: by number or name, a number of times or with a seeded probability.

The numbers are those of the stores application's list of faults. Those that lie on the application's side (a killed
worker, two workers on one job, the same shop on two brands, a full disk) cannot be ordered here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

#: Name, number, and what it does. Options are named in docs/reference/stores-simulator.md.
FAULTS: dict[str, tuple[int, str]] = {
    "duplicate_webhook": (1, "a webhook is delivered twice"),
    "out_of_order_webhook": (2, "a webhook waits while later ones are delivered"),
    "late_webhook": (3, "a webhook arrives `delay_s` (a day) later, with its first payload"),
    "bad_hmac": (4, "a webhook's signature is wrong"),
    "reencoded_body": (4, "a webhook's body was encoded anew after it was signed"),
    "webhook_never_sent": (5, "a webhook is not sent at all"),
    "subscription_deleted": (6, "the subscription is removed when its next webhook would be sent"),
    "finish_lost": (7, "bulk_operations/finish is not sent"),
    "finish_early": (7, "bulk_operations/finish is sent before the submission is answered"),
    "submit_response_lost": (8, "a bulk operation starts, but the answer to its submission is cut off"),
    "download_cut": (9, "the connection is reset within a download, after `share` of it"),
    "url_expired": (12, "the result's url has expired"),
    "operation_expired": (12, "the operation ends as EXPIRED"),
    "truncated_jsonl": (13, "the file ends early: within a line, or with `at_newline` after one"),
    "malformed_line": (14, "a line of the file is not JSON"),
    "duplicate_line": (14, "a line of the file comes twice"),
    "child_before_parent": (15, "the lines of the file are in any order"),
    "orphan": (15, "a line's parent is missing from the file"),
    "child_without_id": (16, "children come without their id"),
    "completed_null_url": (17, "COMPLETED without a url, as if there were no objects"),
    "failed_with_partial": (18, "FAILED part-way with a partialDataUrl; `late` polls later"),
    "access_denied": (19, "a scope is lost: FAILED with ACCESS_DENIED, and errors on fields"),
    "slot_taken": (20, "another process of the app holds all slots for `seconds`"),
    "throttled_200": (21, "THROTTLED with HTTP 200"),
    "throttled_429": (21, "THROTTLED with HTTP 429"),
    "server_error": (21, "HTTP 502 or `status`"),
    "html_body": (21, "an HTML page with HTTP 200"),
    "token_expired": (22, "the access token expires now"),
    "refresh_response_lost": (22, "tokens are refreshed, but the answer is cut off"),
    "uninstalled": (23, "the app is uninstalled, during a bulk operation if one is ordered next"),
    "scope_read_all_orders": (24, "read_all_orders is not granted, or lost"),
    "version_retired": (25, "the version asked for is retired: another one answers"),
    "changed_during_bulk": (26, "orders change and appear while a bulk operation reads"),
    "deleted_during_bulk": (
        27,
        "an order that a bulk operation has read is deleted before the file is ready",
    ),
    "redacted_during_bulk": (28, "customers/redact is sent while a bulk operation reads"),
    "exchange_story": (29, "an exchange, a partial refund, an edit and an over-refund happen now"),
    "awkward_money": (30, "orders in zero- and three-decimal currencies on days of a clock change"),
    "untied_ledger": (33, "an order's ledger does not add up to its current total price"),
}
BY_NUMBER: dict[int, tuple[str, ...]] = {}
for _name, (_number, _) in FAULTS.items():
    BY_NUMBER[_number] = (*BY_NUMBER.get(_number, ()), _name)
#: Faults of the list that happen in the application, not at Shopify.
ELSEWHERE = {
    10: "worker killed mid-promote",
    11: "two workers, one job",
    31: "one shop on two brands",
    32: "disk full",
}


@dataclass
class Ordered:
    """One order for a fault. `count`: how often at most; `rate`: with which probability each time."""

    name: str
    count: int | None = 1
    rate: float = 1.0
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    dice: Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = Random(f"{self.name} {self.seed}")


class Faults:
    """The orders, and what has been done of them."""

    def __init__(self) -> None:
        self.orders: list[Ordered] = []
        self.done: list[dict[str, Any]] = []

    def order(
        self, fault: int | str, *, count: int | None = 1, rate: float = 1.0, seed: int = 0, **options: Any
    ) -> Ordered:
        """Order a fault; a number with several names means one of them, by the seed. Raises ValueError."""
        name = str(fault)
        if isinstance(fault, int) or name.isdigit():
            names = BY_NUMBER.get(int(fault))
            if names is None:
                known = ELSEWHERE.get(int(fault), "unknown")
                raise ValueError(f"fault {fault} cannot be ordered from Shopify's side ({known})")
            name = names[seed % len(names)]
        if name not in FAULTS:
            raise ValueError(f"no fault is called {name}; there are {', '.join(FAULTS)}")
        ordered = Ordered(name, count, rate, seed, options)
        self.orders.append(ordered)
        return ordered

    def take(self, name: str, **where: Any) -> dict[str, Any] | None:
        """The fault's options if it strikes now, else None. `where` is kept in `done`.

        An order with the option `topic` strikes only where `where` has the same topic.
        """
        for ordered in self.orders:
            wanted = ordered.options.get("topic")
            if ordered.name != name or (wanted is not None and wanted != where.get("topic")):
                continue
            if ordered.count == 0 or ordered.dice.random() >= ordered.rate:
                continue
            if ordered.count is not None:
                ordered.count -= 1
                if ordered.count == 0:
                    self.orders.remove(ordered)
            self.done.append({"fault": FAULTS[name][0], "name": name, **where})
            return ordered.options
        return None

    def clear(self) -> None:
        """No more faults; what has been done stays on record."""
        self.orders.clear()
