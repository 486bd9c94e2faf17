"""What happened to an order, as plain facts in minor units: the ground that both the API and the oracle stand on."""

from __future__ import annotations

from dataclasses import dataclass, field

from headgate.apps.stores.simulator.money import ZERO, Pair


@dataclass(slots=True)
class Line:
    """A line of an order. `left_*` is what returns and removals have not taken yet."""

    kind: str  # PRODUCT, GIFT_CARD, TIP
    variant: int | None
    title: str
    sku: str | None
    vendor: str | None
    unit: Pair
    quantity: int
    discount: Pair
    tax: Pair
    discount_tax: Pair
    basis_points: int
    left: int = 0
    left_discount: Pair = ZERO
    left_tax: Pair = ZERO
    left_discount_tax: Pair = ZERO

    def settle(self) -> Line:
        """Begin with everything left."""
        self.left, self.left_discount = self.quantity, self.discount
        self.left_tax, self.left_discount_tax = self.tax, self.discount_tax
        return self


@dataclass(slots=True)
class Charge:
    """A price without units: shipping, a duty, a fee."""

    kind: str  # SHIPPING, DUTY, ADDITIONAL_FEE
    title: str
    price: Pair
    discount: Pair = ZERO
    tax: Pair = ZERO
    discount_tax: Pair = ZERO
    basis_points: int = 0
    left_price: Pair = ZERO
    left_discount: Pair = ZERO
    left_tax: Pair = ZERO
    left_discount_tax: Pair = ZERO
    removed: bool = False

    def settle(self) -> Charge:
        """Begin with everything left."""
        self.left_price, self.left_discount = self.price, self.discount
        self.left_tax, self.left_discount_tax = self.tax, self.discount_tax
        return self


@dataclass(slots=True)
class Movement:
    """One entry of the ledger. All amounts carry the sign of the movement: below zero for what is taken back.

    `listed`: at the price on the shelf, before discounts (with the tax in it where the shop's prices include tax).
    `discount_tax`: the tax that the discount saved; needed to tell the discount before from the one after taxes.
    """

    action: str  # ORDER, UPDATE, RETURN
    kind: str  # PRODUCT, GIFT_CARD, TIP, SHIPPING, DUTY, ADDITIONAL_FEE, FEE, ADJUSTMENT
    subject: int | None
    quantity: int | None
    listed: Pair
    discount: Pair = ZERO
    tax: Pair = ZERO
    discount_tax: Pair = ZERO


@dataclass(slots=True)
class RefundLine:
    """Units of a line given back."""

    line: int
    quantity: int
    subtotal: Pair
    tax: Pair
    restock: str


@dataclass(slots=True)
class Refund:
    """What a refund paid back, and for what. `adjustment`: paid beyond (above zero) or below the goods' worth."""

    at: int
    note: str | None
    lines: list[RefundLine]
    shipping: Pair
    shipping_tax: Pair
    adjustment: Pair
    paid: Pair
    duties: Pair = ZERO


@dataclass(slots=True)
class Agreement:
    """A moment at which shop and buyer agreed on something, and what it moved."""

    at: int
    reason: str  # ORDER, ORDER_EDIT, REFUND, RETURN
    movements: list[Movement]
    refund: Refund | None = None


@dataclass(slots=True)
class Transaction:
    """Money that moved, or failed to."""

    at: int
    kind: str  # AUTHORIZATION, CAPTURE, SALE, REFUND, VOID
    status: str
    amount: Pair
    gateway: str
    parent: int | None = None


@dataclass(slots=True)
class Application:
    """A discount as it was given: a code or an automatic one, a percentage or an amount."""

    code: str | None
    title: str
    percent: int | None
    amount: Pair
    target: str  # LINE_ITEM, SHIPPING_LINE


@dataclass(slots=True)
class Order:
    """An order and its whole history."""

    index: int
    customer: int | None
    currency: str
    presentment: str
    taxes_included: bool
    test: bool
    created_at: int
    processed_at: int
    updated_at: int
    email: str | None
    country: str
    note: str | None
    lines: list[Line] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    applications: list[Application] = field(default_factory=list)
    adjusted: Pair = ZERO
    fees: Pair = ZERO
    cancelled_at: int | None = None
    cancel_reason: str | None = None
    closed_at: int | None = None
    untied: Pair = ZERO
    redacted: bool = False
    tags: tuple[str, ...] = ()

    def shipping(self) -> list[Charge]:
        """The shipping lines."""
        return [c for c in self.charges if c.kind == "SHIPPING"]

    def refunds(self) -> list[Refund]:
        """The refunds, oldest first."""
        return [a.refund for a in self.agreements if a.refund is not None]
