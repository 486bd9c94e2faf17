"""One simulated shop: the seeded objects, what changed since, and who wants to hear of changes."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from headgate.apps.stores.simulator.catalogue import Catalogue, Customer, Product
from headgate.apps.stores.simulator.clock import SimClock
from headgate.apps.stores.simulator.facts import Order
from headgate.apps.stores.simulator.options import LINE_SLOTS, SALE_SLOTS, VARIANT_SLOTS, Numbers, ShopOptions
from headgate.apps.stores.simulator.orders import OrderBook


class Dated(Protocol):
    """Whatever has a beginning and a last change."""

    @property
    def created_at(self) -> int: ...
    @property
    def updated_at(self) -> int: ...


T = TypeVar("T", bound=Dated)
#: created, updated, processed: seconds since 1970.
Times = tuple[int, int, int]


class Table(Generic[T]):
    """Objects of one kind by number: seeded ones are made on demand, changed and new ones are kept."""

    def __init__(self, count: int, build: Callable[[int], T], times: Callable[[int], Times]) -> None:
        self.seeded = self.next = count
        self.version = 0
        self.changed: dict[int, T] = {}
        self.deleted: dict[int, int] = {}
        self._build = build
        self._read_times = times
        self._times: tuple[array[int], array[int], array[int]] | None = None

    def get(self, index: int) -> T | None:
        """The object as it is now, or None where there never was one or it was deleted."""
        if index in self.deleted or not 0 <= index < self.next:
            return None
        return self.changed.get(index) or self._build(index)

    def has(self, index: int) -> bool:
        """Whether the object is there."""
        return index not in self.deleted and 0 <= index < self.next

    def put(self, index: int, value: T) -> None:
        """Keep a changed or new object."""
        self.changed[index] = value
        self.next = max(self.next, index + 1)
        self.version += 1

    def delete(self, index: int, at: int) -> None:
        """Gone for good; its number is not used again."""
        self.changed.pop(index, None)
        self.deleted[index] = at
        self.version += 1

    def times(self, index: int) -> Times:
        """When an object was created, changed and (orders) processed, without building it."""
        found = self.changed.get(index)
        if found is not None:
            return found.created_at, found.updated_at, getattr(found, "processed_at", found.created_at)
        created, updated, processed = self._times or self._index()
        return created[index], updated[index], processed[index]

    def _index(self) -> tuple[array[int], array[int], array[int]]:
        self._times = (array("q"), array("q"), array("q"))
        for index in range(self.seeded):
            for column, value in zip(self._times, self._read_times(index), strict=True):
                column.append(value)
        return self._times

    def indices(self, start: int = 0) -> Iterator[int]:
        """Every number in use, rising; also sees what is created while it goes."""
        index = start
        while index < self.next:
            if index not in self.deleted:
                yield index
            index += 1

    def __iter__(self) -> Iterator[T]:
        for index in self.indices():
            found = self.get(index)
            if found is not None:
                yield found

    def __len__(self) -> int:
        return self.next - len(self.deleted)


class Lazy:
    """An object of a table that is only made when something other than its number is read."""

    __slots__ = ("_table", "index")

    def __init__(self, table: Table[Any], index: int) -> None:
        self._table = table
        self.index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table.get(self.index), name)


@dataclass(frozen=True, slots=True)
class Change:
    """Something that a webhook tells: topic as in its header (`orders/create`), and the body's fields."""

    topic: str
    payload: dict[str, Any]
    at: float


class Shop:
    """The state of one shop. Reads are cheap and never change it; `live.Live` changes it."""

    def __init__(self, options: ShopOptions, clock: SimClock | None = None) -> None:
        self.options = options
        self.clock = clock or SimClock(start=float(options.opened_at), scale=0.0)
        self.numbers = Numbers.of(options.seed)
        self.catalogue = Catalogue(options)
        self.book = OrderBook(options, self.catalogue)
        self.orders: Table[Order] = Table(options.orders, self.book.build, self._order_times)
        self.customers: Table[Customer] = Table(
            options.customer_count, self.catalogue.customer, lambda n: _dates(self.catalogue.customer(n))
        )
        self.products: Table[Product] = Table(
            options.product_count, self.catalogue.product, lambda n: _dates(self.catalogue.product(n))
        )
        self._orders_of: dict[int, list[int]] | None = None
        self.listeners: list[Callable[[Change], None]] = []
        self.name = options.domain.partition(".")[0]
        self.updated_at = options.opened_at

    @property
    def domain(self) -> str:
        """`something.myshopify.com`."""
        return self.options.domain

    def _order_times(self, index: int) -> Times:
        plan, _ = self.book.plan(index)
        return plan.created_at, plan.updated_at, plan.processed_at

    def orders_of(self, customer: int) -> list[Order]:
        """The orders of one customer that are there now."""
        if self._orders_of is None:
            self._orders_of = {}
            for index in range(self.orders.seeded):
                self._bought(self.book.plan(index)[0].customer, index)
            for index in range(self.orders.seeded, self.orders.next):
                late = self.orders.get(index)
                self._bought(late.customer if late is not None else None, index)
        found = (self.orders.get(index) for index in self._orders_of.get(customer, ()))
        return [order for order in found if order is not None]

    def _bought(self, customer: int | None, index: int) -> None:
        if customer is not None and self._orders_of is not None:
            self._orders_of.setdefault(customer, []).append(index)

    def placed(self, order: Order) -> None:
        """A new order."""
        self.orders.put(order.index, order)
        self._bought(order.customer, order.index)

    def now(self) -> int:
        """The shop's time in whole seconds."""
        return self.clock.seconds()

    def tell(self, topic: str, payload: dict[str, Any]) -> None:
        """Let everyone know who listens."""
        change = Change(topic, payload, self.clock.now())
        for listener in self.listeners:
            listener(change)

    # --- ids ------------------------------------------------------------
    def line_id(self, order: int, line: int) -> int:
        """The id of a line item."""
        return self.numbers.make(order, slot=line, slots=LINE_SLOTS)

    def sale_id(self, order: int, agreement: int, sale: int) -> int:
        """The id of a sale: thirty-two for each of sixteen agreements."""
        return self.numbers.make(order, slot=agreement * 32 + sale, slots=SALE_SLOTS)

    def variant_id(self, key: int) -> int:
        """The id of a variant, and of its inventory item."""
        return self.numbers.base + key

    def variant_key(self, number: int) -> tuple[int, int]:
        """Product and slot of a variant's id."""
        return divmod(number - self.numbers.base, VARIANT_SLOTS)

    def location_id(self, slot: int) -> int:
        """The id of a location."""
        return self.numbers.base + slot + 1


def _dates(found: Dated) -> Times:
    return found.created_at, found.updated_at, found.created_at
