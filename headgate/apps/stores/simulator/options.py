"""What a simulated shop is made of, and the numbers of its objects. Everything else follows from these."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

DAY = 86_400
ALL_SCOPES = (
    "read_orders",
    "read_all_orders",
    "read_products",
    "read_customers",
    "read_inventory",
    "read_locations",
)


@dataclass(frozen=True)
class ShopOptions:
    """One shop. The same options give the same shop, to the byte.

    `opened_at`: the moment, in seconds since 1970, at which the seeded history ends and the simulation begins.
    An order makes about eleven lines of a bulk file with line items, shipping lines, agreements and sales.
    """

    seed: int = 1
    domain: str = "sim-one.myshopify.com"
    orders: int = 500
    customers: int | None = None
    products: int | None = None
    history_days: int = 400
    opened_at: int = field(default_factory=lambda: int(time.time()) // 60 * 60)
    currency: str = "USD"
    presentment: tuple[str, ...] = ("EUR", "JPY", "KWD", "GBP", "CAD")
    timezone: str = "America/New_York"
    taxes_included: bool = False
    locations: int = 2

    @property
    def customer_count(self) -> int:
        """How many customers the seeded history has."""
        return self.customers if self.customers is not None else max(1, self.orders * 2 // 5)

    @property
    def product_count(self) -> int:
        """How many products the seeded history has."""
        return self.products if self.products is not None else min(5000, max(8, self.orders // 20))


@dataclass(frozen=True)
class Numbers:
    """Ids: a block per kind and shop, so that an id says which object it is, and no two shops share one."""

    base: int

    @classmethod
    def of(cls, seed: int) -> Numbers:
        """The blocks of the shop grown from `seed`."""
        return cls((1000 + seed * 7919 % 8000) * 10**9)

    def make(self, index: int, *, slot: int = 0, slots: int = 1) -> int:
        """The id of the `slot`-th of at most `slots` objects that belong to number `index`."""
        return self.base + index * slots + slot

    def index(self, number: int, *, slots: int = 1) -> int:
        """Back from an id to the number it belongs to; negative or huge for a stranger's id."""
        return (number - self.base) // slots


#: How many ids of a kind one order or product may use.
LINE_SLOTS = 64
SALE_SLOTS = 512
VARIANT_SLOTS = 8


def gid(kind: str, number: int) -> str:
    """A global id."""
    return f"gid://shopify/{kind}/{number}"


def split_gid(text: str) -> tuple[str, int]:
    """Kind and number of a global id; raises ValueError for anything else."""
    head, _, rest = text.partition("gid://shopify/")
    kind, _, number = rest.partition("/")
    number = number.partition("?")[0]
    if head or not kind or not number.isdigit() or len(number) > 18:
        raise ValueError(f"Invalid global id '{text}'")
    return kind, int(number)
