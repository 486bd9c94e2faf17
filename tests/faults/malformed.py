"""Ways to spoil a listings answer, each of which must be refused. Shared by the malformed-body tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from random import Random
from typing import Any

Spoil = Callable[[bytes, Random], bytes]
_WRONG: list[Any] = [
    None, True, False, [], {}, -1, 0, "", "x", "-5", "1e3", "NaN", "Infinity", 1e308, 10**30, "0x10", [1], {"a": 1},
    "١٢", " 7", "7\x00", "9" * 30,
]  # fmt: skip
#: Fields without which, or with anything else in which, a listing says nothing: (field, its twin or None).
_NEEDED = (
    ("i", None),
    ("q", "quantity"),
    ("p", None),
    ("aip", "allInPricePerTicket"),
    ("m", None),
    ("c", None),
)


def truncated(body: bytes, rng: Random) -> bytes:
    """The first part only."""
    return body[: rng.randrange(0, len(body) - 1)]


def tail(body: bytes, rng: Random) -> bytes:
    """The last part only."""
    return body[rng.randrange(1, len(body)) :]


def with_junk(body: bytes, rng: Random) -> bytes:
    """Something after the end, or in front."""
    junk = rng.choice([b"}", b"]", b"\x00", b"<html>", b"{}", b",", b"null"])
    return body + junk if rng.random() < 0.5 else junk + body


def not_a_number(body: bytes, rng: Random) -> bytes:
    """A price that is NaN, infinite, hexadecimal or has a leading zero, unquoted."""
    document = json.loads(body)
    rng.choice(document["tickets"])["p"] = "@@"
    word = rng.choice(["NaN", "Infinity", "-Infinity", "0x1F", "01", "+1", "1.", ".5", "1e999"])
    return json.dumps(document).replace('"@@"', word).encode()


def wrong_type(body: bytes, rng: Random) -> bytes:
    """A field that every listing needs, and its twin, with something that cannot be right."""
    document = json.loads(body)
    ticket = rng.choice(document["tickets"])
    name, twin = rng.choice(_NEEDED)
    value = rng.choice(
        [v for v in _WRONG if not (name == "c" and _may_be_id(v)) and not (name == "i" and _may_be_id(v))]
    )
    ticket[name] = value
    if twin:
        ticket[twin] = value
    return json.dumps(document).encode()


def _may_be_id(value: Any) -> bool:
    """Whether `value` could stand for an id, so that its being there is no fault."""
    if isinstance(value, str):
        return value.isascii() and value.isprintable() and value.strip() == value != ""
    return isinstance(value, int) and not isinstance(value, bool)


def missing(body: bytes, rng: Random) -> bytes:
    """A part that every answer needs is not there."""
    document = json.loads(body)
    if rng.random() < 0.4:
        del document[rng.choice(["global", "tickets", "groups", "i18n"])]
    else:
        ticket = rng.choice(document["tickets"])
        name, twin = rng.choice(_NEEDED)
        del ticket[name]
        if twin:
            del ticket[twin]
    return json.dumps(document).encode()


def shape(body: bytes, rng: Random) -> bytes:
    """A part of the answer is something else."""
    document = json.loads(body)
    part = rng.choice(["global", "tickets", "groups", "i18n"])
    document[part] = rng.choice([None, 7, "x", True, [None], [[]], {"a": []}, [7]])
    return json.dumps(document).encode()


def count_off(body: bytes, rng: Random) -> bytes:
    """The stated totals and the list disagree."""
    document = json.loads(body)
    if rng.random() < 0.5:
        key = rng.choice(["listingCount", "ticketCount"])
        document["global"][0][key] = str(int(document["global"][0][key]) + rng.choice([-7, -1, 1, 2, 900]))
    else:
        del document["tickets"][rng.randrange(len(document["tickets"]))]
    return json.dumps(document).encode()


def repeated_key(body: bytes, rng: Random) -> bytes:
    """One object has a key twice."""
    at = body.index(b'"tickets":[{') + len(b'"tickets":[{')
    return body[:at] + rng.choice([b'"p":"1.00",', b'"q" : "9",', b'"i":"VB1",']) + body[at:]


def deep(body: bytes, rng: Random) -> bytes:
    """Nested far deeper than anything sensible."""
    depth = rng.choice([1_500, 20_000, 200_000])
    return b'{"tickets":' + b"[" * depth + b"]" * depth + b"}"


def huge_number(body: bytes, rng: Random) -> bytes:
    """Numbers of hundreds of digits where counts and prices stand."""
    document = json.loads(body)
    ticket = rng.choice(document["tickets"])
    digits = rng.choice([25, 400])
    for name in rng.choice([("q", "quantity"), ("aip", "allInPricePerTicket"), ("p",)]):
        ticket[name] = "@@"
    return json.dumps(document).replace('"@@"', "9" * digits).encode()


def charset(body: bytes, rng: Random) -> bytes:
    """Another encoding than UTF-8, or bytes that are none."""
    text = body.decode()
    kind = rng.randrange(3)
    if kind == 0:
        return text.encode(rng.choice(["utf-16", "utf-32", "utf-16-le"]))
    if kind == 1:
        at = rng.randrange(len(body))
        return body[:at] + rng.choice([b"\xff", b"\xfe\xfe", b"\xc3\x28", b"\xed\xa0\x80"]) + body[at:]
    return text.replace("a", "é").encode("latin-1")


def page(body: bytes, rng: Random) -> bytes:
    """A page for people instead of data."""
    return rng.choice(
        [
            b"<!DOCTYPE html><html><body>Just a moment...</body></html>",
            b"\xef\xbb\xbf\n<html>denied</html>",
            b"  <?xml version='1.0'?><error/>",
            b"<html>" + body + b"</html>",
        ]
    )


def binary(body: bytes, rng: Random) -> bytes:
    """Compressed or random bytes that nobody unpacked."""
    kind = rng.randrange(3)
    if kind == 0:
        return gzip.compress(body[:2000])[: rng.randrange(3, 200)]
    return rng.randbytes(rng.randrange(1, 400)) if kind == 1 else b"\x00" * rng.randrange(1, 50)


def nothing(body: bytes, rng: Random) -> bytes:
    """No data at all, or JSON that is no answer."""
    return rng.choice(
        [b"", b" ", b"\n\n", b"null", b"true", b"[]", b"{}", b'""', b"0", b'{"error":"x"}', b"\xef\xbb\xbf"]
    )


def other(body: bytes, rng: Random) -> bytes:
    """The answer to another question: other production, other currency, contradictions."""
    document = json.loads(body)
    kind = rng.randrange(4)
    if kind == 0:
        document["global"][0]["productionId"] = str(rng.randrange(1, 9999))
    elif kind == 1:
        document["i18n"] = {
            "from": "USD",
            "to": rng.choice(["EUR", "GBP", "", None, "usd"]),
            "rate": 1,
            "applyCurrencyConversion": False,
        }
    elif kind == 2:
        document["i18n"]["applyCurrencyConversion"] = True
    else:
        ticket = dict(rng.choice(document["tickets"]))
        ticket["p"] = "1.01"
        document["tickets"].append(ticket)
    return json.dumps(document).encode()


SPOILS: tuple[Spoil, ...] = (
    truncated, tail, with_junk, not_a_number, wrong_type, missing, shape, count_off, repeated_key, deep,
    huge_number, charset, page, binary, nothing, other,
)  # fmt: skip
