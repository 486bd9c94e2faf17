r"""A bulk file's lines of orders, read by their bytes into rows for COPY.

Shopify writes the fields of a line in the order in which `documents` asks for them, so a line of each kind is one
pattern, and its groups are the row: what JSON escapes in a text, COPY escapes in the same way, but for `\u`.
PostgreSQL can read every line by itself (`stores.read_…`, the same fields) and does wherever a line is not exactly so:
a field that is missing or of another kind, a text with `\u`, an object without a number. Reading here is a fifth of the
work of making jsonb of a line and taking it apart again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from headgate.engine.manifest import Parsed, Parser

NULL = rb"\N"

# What may stand for a value; each has one group. Nothing that a group takes means more to COPY than to JSON. Each
# takes all that it can and gives nothing back (++): no field can be read in two ways, and it is a sixth quicker.
_PLAIN = r'[^"\\\x00-\x1f]*+'
_TEXT = rf'(?:null|"({_PLAIN}(?:\\["\\/bfnrt]{_PLAIN})*+)")'
_TIME = r'(?:null|"([-+:.TZ0-9]++)")'
_FLAG = "(?:null|(true|false))"
_COUNT = r"(?:null|(-?(?:0|[1-9]\d{0,17})))"
_AMOUNT = r'"(-?+[0-9]++\.?+[0-9]*+)"'
#: Quotes and backslashes mean something in an array too: a tag with one is PostgreSQL's to read.
_TAG = rf'"{_PLAIN}(?:\\/{_PLAIN})*"'
_TAGS = rf"\[((?:{_TAG}(?:,{_TAG})*)?)\]"
#: The insides of a list of objects, read by a pattern of its own. A text with a bracket in it is PostgreSQL's.
_LIST = r"\[([^\[\]]*)\]"


def _gid(kind: str) -> str:
    return rf'"gid:\\/\\/shopify\\/{kind}\\/([0-9]{{1,18}}+)"'


def _of(kind: str) -> str:
    """A reference to another object, or null."""
    return rf'(?:null|\{{"id":{_gid(kind)}\}})'


_BAG = rf'\{{"shopMoney":\{{"amount":{_AMOUNT}\}},"presentmentMoney":\{{"amount":{_AMOUNT}\}}\}}'


def _pattern(
    fields: dict[str, str], *, parent: str | None = None, may_lack: str | None = None
) -> re.Pattern[bytes]:
    """An object of these fields in this order. `parent`: the kind of its parent; `may_lack`: what may be missing."""
    if parent:
        fields = {**fields, "__parentId": _gid(parent)}
    named = [
        f'(?:"{name}":{value},)?' if name == may_lack else f'"{name}":{value},'
        for name, value in fields.items()
    ]
    return re.compile(rf"\{{{''.join(named)[:-1]}\}}".encode())


_ORDER = _pattern(
    {
        "id": _gid("Order"), "name": _TEXT, "createdAt": _TIME, "processedAt": _TIME, "updatedAt": _TIME,
        "cancelledAt": _TIME, "closedAt": _TIME, "cancelReason": _TEXT, "test": _FLAG, "edited": _FLAG,
        "taxesIncluded": _FLAG, "tags": _TAGS, "sourceName": _TEXT, "displayFinancialStatus": _TEXT,
        "displayFulfillmentStatus": _TEXT, "currencyCode": _TEXT, "presentmentCurrencyCode": _TEXT,
        "customer": _of("Customer"), "totalPriceSet": _BAG, "currentTotalPriceSet": _BAG,
        "currentSubtotalPriceSet": _BAG, "currentTotalDiscountsSet": _BAG, "currentTotalTaxSet": _BAG,
        "totalShippingPriceSet": _BAG, "totalRefundedSet": _BAG, "totalTipReceivedSet": _BAG,
        "refunds": _LIST, "transactions": _LIST,
    }
)  # fmt: skip
#: Which groups of an order are its tags, its refunds and its payments.
_TAGS_AT, _REFUNDS_AT, _PAYMENTS_AT = 11, 34, 35
_REFUND = _pattern({"id": _gid("Refund"), "createdAt": _TIME, "note": _TEXT, "totalRefundedSet": _BAG})
_PAYMENT = _pattern(
    {
        "id": _gid("OrderTransaction"), "kind": _TEXT, "status": _TEXT, "gateway": _TEXT, "test": _FLAG,
        "processedAt": _TIME, "parentTransaction": _of("OrderTransaction"), "amountSet": _BAG,
    }
)  # fmt: skip
#: The lines that belong to orders: by how they begin, their pattern and their table.
_CHILDREN = {
    "LineItem": (
        "ready_line_items",
        _pattern(
            {
                "id": _gid("LineItem"), "title": _TEXT, "variantTitle": _TEXT, "sku": _TEXT, "vendor": _TEXT,
                "quantity": _COUNT, "currentQuantity": _COUNT, "isGiftCard": _FLAG, "product": _of("Product"),
                "variant": _of("ProductVariant"), "originalUnitPriceSet": _BAG, "discountedTotalSet": _BAG,
                "totalDiscountSet": _BAG,
            },
            parent="Order",
        ),
    ),
    "ShippingLine": (
        "ready_shipping_lines",
        _pattern(
            {
                "id": _gid("ShippingLine"), "title": _TEXT, "code": _TEXT, "source": _TEXT, "isRemoved": _FLAG,
                "originalPriceSet": _BAG, "discountedPriceSet": _BAG,
            },
            parent="Order",
        ),
    ),
    "SalesAgreement": (
        "ready_agreements",
        _pattern({"id": _gid("[A-Za-z]*Agreement"), "happenedAt": _TIME, "reason": _TEXT}, parent="Order"),
    ),
    "Sale": (
        "ready_sales",
        _pattern(
            {
                "id": _gid("[A-Za-z]*Sale"), "actionType": _TEXT, "lineType": _TEXT, "quantity": _COUNT,
                "totalAmount": _BAG, "totalTaxAmount": _BAG, "totalDiscountAmountBeforeTaxes": _BAG,
                "totalDiscountAmountAfterTaxes": _BAG, "lineItem": _of("LineItem"),
            },
            parent="[A-Za-z]*Agreement",
            may_lack="lineItem",
        ),
    ),
}  # fmt: skip
#: What stands before the kind of a line; a slash, which Shopify escapes, ends it.
_BEGIN = rb'{"id":"gid:\/\/shopify\/'


def parse(lines: Sequence[bytes], first_line: int) -> Parsed:
    """The lines of orders and of what belongs to them, as rows of the tables that `stores.make_ready` makes."""
    rows: dict[str, list[bytes]] = {"ready_orders": [], "ready_refunds": [], "ready_transactions": []}
    readers = {}
    for name, (table, pattern) in _CHILDREN.items():
        rows[table] = []
        readers[name.encode()] = (pattern.fullmatch, rows[table].append)
    rest = list(lines)
    read = 0
    before = len(_BEGIN)
    for at, line in enumerate(lines):
        if not line.startswith(_BEGIN):
            continue
        kind = line[before : line.find(b"\\", before)]
        reader = readers.get(kind) or readers.get(_family(kind))
        if reader is not None:
            fullmatch, keep = reader
            found = fullmatch(line)
            if found is None:
                continue
            keep(b"%d\t%b\n" % (first_line + at, b"\t".join(found.groups(NULL))))
        elif kind != b"Order" or not _read_order(line, b"%d" % (first_line + at), rows):
            continue
        rest[at] = b""
        read += 1
    return Parsed(rows={name: b"".join(each) for name, each in rows.items() if each}, rest=rest, lines=read)


def _family(kind: bytes) -> bytes:
    """Sales and agreements have kinds of their own (ProductSale, RefundAgreement) that are all read alike."""
    return b"Sale" if kind.endswith(b"Sale") else b"SalesAgreement" if kind.endswith(b"Agreement") else b""


def _read_order(line: bytes, number: bytes, rows: dict[str, list[bytes]]) -> bool:
    """An order with its refunds and payments; False, and nothing is kept, where one of them is not as expected."""
    found = _ORDER.fullmatch(line)
    if found is None:
        return False
    values = list(found.groups(NULL))
    start = b"%b\t%b\t" % (number, values[0])
    refunds = _each(_REFUND, values[_REFUNDS_AT], start)
    payments = _each(_PAYMENT, values[_PAYMENTS_AT], start)
    if refunds is None or payments is None:
        return False
    values[_TAGS_AT] = b"{%b}" % values[_TAGS_AT]
    rows["ready_orders"].append(b"%b\t%b\n" % (number, b"\t".join(values[:_REFUNDS_AT])))
    rows["ready_refunds"] += refunds
    rows["ready_transactions"] += payments
    return True


def _each(pattern: re.Pattern[bytes], inside: bytes, start: bytes) -> list[bytes] | None:
    """The rows of a list of objects; None where it has anything else."""
    rows = []
    position = 0
    while position < len(inside):
        found = pattern.match(inside, position)
        if found is None or inside[found.end() : found.end() + 1] not in (b",", b""):
            return None
        rows.append(b"%b%b\n" % (start, b"\t".join(found.groups(NULL))))
        position = found.end() + 1
    return rows


PARSER = Parser(parse=parse, tables="stores.make_ready")
