"""From an upstream's bytes to values that can be trusted, or a reason why not. Fetches and stores nothing.

Everything here raises `Rejected` and nothing else, whatever the bytes; nothing is ever filled in, defaulted or
guessed. Money is exact: decimal text to integer cents, never through binary fractions.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import orjson

MAX_LISTINGS = 20_000
MAX_QUANTITY = 200
#: A price from here on is a seller's placeholder, not an offer: such listings are left out and counted.
ABSURD_CENTS = 25_000_001  # more than a quarter of a million dollars a ticket

_KEYS = re.compile(rb'"\s*:')
_MONEY = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")
_COUNT = re.compile(r"[0-9]{1,9}")
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Made = TypeVar("Made")


class Rejected(Exception):
    """An answer that must not be believed. `reason` is a stable word, `detail` says what and where."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail[:300]


@dataclass
class Parsed:
    """A complete set of listings: rows in the staging shape, and the upstream's own totals.

    `excluded`: listings left out on purpose, by why, as (listings, tickets); the totals include them.
    """

    rows: list[dict[str, Any]]
    listing_count: int
    ticket_count: int
    currency: str
    excluded: dict[str, tuple[int, int]] = field(default_factory=dict)
    name: str | None = None
    tz: str | None = None

    def leave_out(self, why: str, quantity: int) -> None:
        """Count one listing that is left out."""
        listings, tickets = self.excluded.get(why, (0, 0))
        self.excluded[why] = (listings + 1, tickets + quantity)

    @property
    def totals(self) -> dict[str, int]:
        """What the rows must add up to: the upstream's totals less what was left out."""
        less = [sum(pair[i] for pair in self.excluded.values()) for i in (0, 1)]
        return {"listingCount": self.listing_count - less[0], "ticketCount": self.ticket_count - less[1]}


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; `Rejected` for anything else, for HTML, and for repeated keys."""
    if not body.strip():
        raise Rejected("empty_body")
    head = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"<"):
        raise Rejected("html", "a page instead of data, perhaps a challenge")
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"%PDF")):
        raise Rejected("not_json", "binary data")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Rejected(_why_unreadable(body), str(error)) from None
    except RecursionError:
        raise Rejected("too_deep") from None
    if not isinstance(document, dict):
        raise Rejected("not_an_object", f"the answer is a {type(document).__name__}")
    if len(_KEYS.findall(body)) != _count_keys(document):
        _refuse_repeated_keys(body)
    return document


def _why_unreadable(body: bytes) -> str:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return "not_utf8"
    return "truncated_json" if not body.rstrip().endswith((b"}", b"]")) else "invalid_json"


def _count_keys(document: Any) -> int:
    total, stack = 0, [document]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            total += len(item)
            stack.extend(v for v in item.values() if isinstance(v, (dict, list)))
        else:
            stack.extend(v for v in item if isinstance(v, (dict, list)))
    return total


def _refuse_repeated_keys(body: bytes) -> None:
    """The slow, exact look, taken only when the quick count does not add up."""

    def unique(pairs: list[tuple[str, Any]]) -> None:
        if len({key for key, _ in pairs}) != len(pairs):
            twice = [k for k, n in Counter(key for key, _ in pairs).items() if n > 1]
            raise Rejected("repeated_key", ", ".join(twice[:3]))

    try:
        json.loads(body, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise Rejected("invalid_json", type(error).__name__) from None


# --- single values ----------------------------------------------------------------------------------------
def cents(value: Any, where: str) -> int:
    """An amount such as `"1234.50"`, `1234.5` or `12` in integer cents; `Rejected` unless exact and finite.

    Numbers are read through their shortest decimal text, so 212.55 is 21255 cents, never 21254.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Rejected("bad_price", f"{where} is a {type(value).__name__}")
    text = value if isinstance(value, str) else format(Decimal(repr(value)), "f")
    if not _MONEY.fullmatch(text):
        raise Rejected("bad_price", f"{where} is {text[:40]!r}")
    try:
        amount = Decimal(text) * 100
    except InvalidOperation:
        raise Rejected("bad_price", f"{where} is {text[:40]!r}") from None
    if amount != amount.to_integral_value():
        raise Rejected("bad_price", f"{where} has parts of a cent: {text[:40]!r}")
    return int(amount)


def price(value: Any, where: str) -> int:
    """A price above zero in cents."""
    amount = cents(value, where)
    if amount <= 0:
        raise Rejected("bad_price", f"{where} is zero")
    return amount


def count(value: Any, where: str, *, most: int = 1_000_000, least: int = 0) -> int:
    """A whole number, given as a number or as digits."""
    if isinstance(value, str) and _COUNT.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Rejected("bad_count", f"{where} is {str(value)[:40]!r}")
    return value


def text(value: Any, where: str, *, most: int = 200, empty: bool = True) -> str:
    """Text without control characters, trimmed."""
    if not isinstance(value, str) or len(value) > most or _CONTROL.search(value):
        raise Rejected("bad_text", f"{where} is not plain text of at most {most} characters")
    trimmed = value.strip()
    if not trimmed and not empty:
        raise Rejected("bad_text", f"{where} is empty")
    return trimmed


def identifier(value: Any, where: str) -> str:
    """An upstream's id: letters, digits and a few marks; whole numbers are taken as their digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise Rejected("bad_id", f"{where} is {str(value)[:40]!r}")
    return value


def splits(value: Any, quantity: int, where: str) -> list[int]:
    """The quantities really sellable, from `"2,4"` or a list; ascending, none above `quantity`."""
    parts: Iterable[Any]
    if isinstance(value, str):
        parts = [p.strip() for p in value.split(",") if p.strip()]
    elif isinstance(value, list):
        parts = value
    else:
        raise Rejected("bad_splits", f"{where} is a {type(value).__name__}")
    found = sorted({count(p, where, most=MAX_QUANTITY, least=1) for p in parts})
    if not found or found[-1] > quantity:
        raise Rejected("bad_splits", f"{where} is {str(value)[:40]!r} for a quantity of {quantity}")
    return found


def member(document: Mapping[str, Any], key: str, kind: type, where: str = "the answer") -> Any:
    """`document[key]`, which must be there and of this type."""
    value = document.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Rejected(
            "bad_shape", f"{key} of {where} is {'missing' if value is None else type(value).__name__}"
        )
    return value


def each(
    items: Iterable[Any], read: Callable[[Any, str], Made], what: str
) -> tuple[list[Made], list[tuple[str, str]]]:
    """What `read(item, where)` makes of each item, and of those that it rejects: whose id, and why."""
    good: list[Made] = []
    bad: list[tuple[str, str]] = []
    for number, item in enumerate(items):
        try:
            good.append(read(item, f"{what} {number}"))
        except Rejected as error:
            bad.append((str(item.get("id") if isinstance(item, dict) else item)[:60], str(error)))
    return good, bad


def agree(row: Mapping[str, Any], first: str, second: str, where: str) -> Any:
    """The value of two fields that mean the same; `Rejected` if both are there and differ."""
    a, b = row.get(first), row.get(second)
    if a is not None and b is not None and a != b:
        raise Rejected("contradiction", f"{where}: {first} is {str(a)[:40]!r}, {second} is {str(b)[:40]!r}")
    return a if a is not None else b


def seats(low: Any, high: Any) -> str | None:
    """`"5-8"` from a first and a last seat; None for the upstream's ways of saying it does not tell."""
    if not (isinstance(low, str) and isinstance(high, str)):
        return None
    low, high = low.strip(), high.strip()
    if (
        not (_COUNT.fullmatch(low) and _COUNT.fullmatch(high))
        or len(low) > 6
        or len(high) > 6
        or int(low) == 0
    ):
        return None
    return low if low == high else f"{low}-{high}"


def note(value: Any) -> str | None:
    """A seller's remark without control characters, at most 300 characters; None if there is none."""
    if not isinstance(value, str) or not value.strip():
        return None
    return _CONTROL.sub(" ", value).strip()[:300] or None


def once_each(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Rows without exact repeats, and how many repeats there were; `Rejected` if two of one id differ."""
    seen: dict[str, dict[str, Any]] = {}
    for row in rows:
        if seen.setdefault(row["id"], row) != row:
            raise Rejected("contradiction", f"listing {row['id']} appears twice and differs")
    return list(seen.values()), len(rows) - len(seen)


def check_totals(listings: int, tickets: int, *, stated_listings: int, stated_tickets: int | None) -> None:
    """The upstream's own totals against what was parsed; `Rejected` says what the difference looks like."""
    if listings < stated_listings:
        reason = "empty_tickets" if listings == 0 else "capped"
        raise Rejected(reason, f"{listings} of {stated_listings} listings are there")
    if listings > stated_listings:
        raise Rejected("checksum", f"{listings} listings where {stated_listings} are stated")
    if stated_tickets is not None and tickets != stated_tickets:
        raise Rejected("checksum", f"{tickets} tickets where {stated_tickets} are stated")
