"""How the ledger's lines become a day's figures, as a rollup of the engine. See docs/explanation/stores-totals.md."""

from __future__ import annotations

from headgate.engine.manifest import Rollup, Table

_BEFORE_TAX = "(coalesce(r.amount, 0) - coalesce(r.tax, 0))"
_BACK = "(r.action = 'RETURN' or coalesce(r.quantity, 0) < 0)"
_SOLD = f"(r.line_type = 'PRODUCT' and not {_BACK})"
#: Corrections of a refund belong to what came back, and so does what Shopify does not name.
_REVERSED = f"((r.line_type = 'PRODUCT' and {_BACK}) or r.line_type in ('ADJUSTMENT', 'UNKNOWN'))"
_APART = "r.line_type in ('TIP', 'GIFT_CARD')"


def _sum(amount: str, where: str) -> str:
    return f"coalesce(sum({amount}) filter (where {where}), 0)"


#: The ledger as promote writes it; declared for the rollup, written by `stores.put_sales` only.
SALES = Table(
    name="public.shop_sales",
    key=("connection_id", "shopify_id"),
    columns={
        "connection_id": "bigint",
        "shopify_id": "bigint",
        "day": "date",
        "currency": "text",
        "counted": "boolean",
    },
)

DAILY = Rollup(
    name="daily_sales",
    source=SALES.name,
    target="public.shop_daily_sales",
    key={"connection_id": "r.connection_id", "day": "r.day", "currency": "r.currency"},
    where="r.counted",
    values={
        "gross": _sum(f"{_BEFORE_TAX} + coalesce(r.discount, 0)", _SOLD),
        "discounts": _sum("coalesce(r.discount, 0)", _SOLD),
        "reversals": _sum(f"-{_BEFORE_TAX}", _REVERSED),
        "net": _sum(_BEFORE_TAX, "r.line_type in ('PRODUCT', 'ADJUSTMENT', 'UNKNOWN')"),
        "shipping": _sum(_BEFORE_TAX, "r.line_type = 'SHIPPING'"),
        "taxes": _sum("coalesce(r.tax, 0)", f"not {_APART}"),
        "duties": _sum(_BEFORE_TAX, "r.line_type = 'DUTY'"),
        "fees": _sum(_BEFORE_TAX, "r.line_type in ('FEE', 'ADDITIONAL_FEE')"),
        "total": _sum("coalesce(r.amount, 0)", f"not {_APART}"),
        "tips": _sum(_BEFORE_TAX, "r.line_type = 'TIP'"),
        "gift_cards": _sum(_BEFORE_TAX, "r.line_type = 'GIFT_CARD'"),
        "orders": "count(distinct r.agreement_id) filter (where r.reason = 'ORDER')",
    },
)
