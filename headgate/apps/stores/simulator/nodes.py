"""What a GraphQL field gives, for every field of `admin.graphql`: one table that paged reads and bulk files share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from headgate.apps.stores.simulator.money import Pair, exponent, fixed, text
from headgate.apps.stores.simulator.shop import Shop

Args = dict[str, Any]


class Node(NamedTuple):
    """An object of a GraphQL type: the shop it is in, the fact it shows, and what it belongs to."""

    kind: str
    shop: Shop
    it: Any
    up: Any = None


class Bag(NamedTuple):
    """An amount with its two currencies."""

    amount: Pair
    currencies: tuple[str, str]


class Money(NamedTuple):
    """An amount in one currency."""

    minor: int
    currency: str


class Items(NamedTuple):
    """A connection whose nodes are all at hand."""

    nodes: list[Any]


class Listing(NamedTuple):
    """A connection over a table: rows are made when a page asks for them."""

    table: str
    search: str | None


Field = Callable[[Any, Args], Any]
Fields = dict[str, dict[str, Field]]


def plain(name: str) -> Field:
    """A field that the fact has under its own name."""
    return lambda n, a: getattr(n.it, name)


def constant(value: Any) -> Field:
    """A field that is the same for all."""
    return lambda n, a: value


MONEY: Fields = {
    "MoneyBag": {
        "shopMoney": lambda n, a: Money(n.amount[0], n.currencies[0]),
        "presentmentMoney": lambda n, a: Money(n.amount[1], n.currencies[1]),
    },
    "MoneyV2": {
        "amount": lambda n, a: text(n.minor, exponent(n.currency)),
        "currencyCode": lambda n, a: n.currency,
    },
    "Count": {"count": lambda n, a: n[0], "precision": lambda n, a: n[1]},
}


def scalar_money(minor: int, currency: str) -> str:
    """The scalar `Money`."""
    return fixed(minor, exponent(currency))


def type_name(value: Any) -> str | None:
    """The GraphQL type of a value of this module, where a union or interface has to know."""
    if isinstance(value, Node):
        return value.kind
    return "MoneyV2" if isinstance(value, Money) else "MoneyBag" if isinstance(value, Bag) else None
