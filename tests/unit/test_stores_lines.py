"""Lines of a bulk file that are read by their bytes: what is taken is JSON, and the row has its values."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from headgate.apps.stores.lines import parse

BAG = {"shopMoney": {"amount": "10.5"}, "presentmentMoney": {"amount": "-0.75"}}
SALE = {
    "id": "gid://shopify/Sale/1",
    "actionType": "ORDER",
    "lineType": "PRODUCT",
    "quantity": 2,
    "totalAmount": BAG,
    "totalTaxAmount": BAG,
    "totalDiscountAmountBeforeTaxes": BAG,
    "totalDiscountAmountAfterTaxes": BAG,
    "lineItem": {"id": "gid://shopify/LineItem/7"},
    "__parentId": "gid://shopify/SalesAgreement/8",
}
SHIPPING = {
    "id": "gid://shopify/ShippingLine/1",
    "title": 'A \\ "B"\t/ C\n',
    "code": None,
    "source": "",
    "isRemoved": False,
    "originalPriceSet": BAG,
    "discountedPriceSet": BAG,
    "__parentId": "gid://shopify/Order/9",
}


def written(line: dict[str, Any]) -> bytes:
    """As Shopify writes it."""
    return orjson.dumps(line).replace(b"/", b"\\/")


def changed(line: dict[str, Any], **values: Any) -> bytes:
    return written({**line, **values})


def test_a_row_has_the_line_s_number_and_values_in_the_form_of_copy() -> None:
    parsed = parse([written(SALE), b"", written(SHIPPING)], 41)
    assert parsed.lines == 2
    assert parsed.rest == [b"", b"", b""]
    money = b"10.5\t-0.75"
    sale = b"41\t1\tORDER\tPRODUCT\t2\t" + b"\t".join([money] * 4) + b"\t7\t8\n"
    shipping = b'43\t1\tA \\\\ \\"B\\"\\t\\/ C\\n\t\\N\t\tfalse\t' + b"\t".join([money] * 2) + b"\t9\n"
    assert parsed.rows == {"ready_sales": sale, "ready_shipping_lines": shipping}


def test_every_kind_of_sale_and_agreement_is_read() -> None:
    agreement = {"id": "gid://shopify/RefundAgreement/8", "happenedAt": None, "reason": "REFUND"}
    parent = {"__parentId": "gid://shopify/Order/9"}
    lines = [
        written({**agreement, **parent}),
        changed(SALE, id="gid://shopify/TipSale/3", __parentId="gid://shopify/RefundAgreement/8"),
    ]
    parsed = parse(lines, 1)
    assert (parsed.lines, set(parsed.rows)) == (2, {"ready_agreements", "ready_sales"})


@pytest.mark.parametrize(
    "line",
    [
        changed(SALE, quantity="2"),
        changed(SALE, quantity=2.5),
        changed(SALE, actionType=1),
        changed(SALE, totalAmount=None),
        changed(SALE, totalAmount={**BAG, "currencyCode": "EUR"}),
        changed(SALE, new=1),
        changed(SALE, id="gid://shopify/Sale/1?x=2"),
        changed(SALE, id="gid://shopify/Sale/" + "1" * 19),
        changed(SALE, id="gid://shopify/Nothing/1"),
        changed(SALE, id=None),
        changed(SALE, __parentId="gid://shopify/Order/8"),
        written({name: value for name, value in SALE.items() if name != "lineType"}),
        written(dict(reversed(SALE.items()))),
        changed(SHIPPING, title="caf\u00e9").replace("é".encode(), b"\\u00e9"),
        written(SHIPPING).replace(b"\\t", b"\t"),
        written(SALE).replace(b":2,", b":02,"),
        orjson.dumps(SALE),
        b" " + written(SALE),
        written(SALE) + b" ",
        written(SALE)[:-1],
        b"[]",
        b"{}",
    ],
)
def test_what_is_not_exactly_as_expected_is_left(line: bytes) -> None:
    parsed = parse([line], 1)
    assert (parsed.lines, parsed.rest, parsed.rows) == (0, [line], {})


@pytest.mark.parametrize("line", [SALE, SHIPPING])
def test_whatever_byte_is_wrong_what_is_taken_is_json_of_the_same_fields(line: dict[str, Any]) -> None:
    dice = random.Random("bytes")
    whole = written(line)
    taken = 0
    for _ in range(20_000):
        at = dice.randrange(len(whole))
        byte = dice.choice(b'"\\{}[]:,.-+ 0129abntu\t\n\r\0\x1f')
        wrong = whole[:at] + bytes([byte]) + whole[at + dice.randrange(2) :]
        if parse([wrong], 1).lines:
            taken += 1
            assert list(orjson.loads(wrong)) == list(line)
    assert taken > 100  # texts and numbers differ
