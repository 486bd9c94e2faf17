"""Seeded orders: order number `i` is a function of the shop's options and `i`, built on demand and never kept."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from headgate.apps.stores.simulator.catalogue import Catalogue, Variant
from headgate.apps.stores.simulator.facts import (
    Agreement,
    Application,
    Charge,
    Line,
    Movement,
    Order,
    Transaction,
)
from headgate.apps.stores.simulator.history import HAPPENINGS, worth
from headgate.apps.stores.simulator.money import ZERO, Pair, add, from_cents, percent, spread, sub, times
from headgate.apps.stores.simulator.options import DAY, VARIANT_SLOTS, ShopOptions

#: What becomes of orders: how often (per thousand), and in which order.
STORIES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (40, ("edit",)), (15, ("edit", "partial_refund")), (60, ("partial_refund",)), (15, ("full_refund",)),
    (12, ("goodwill",)), (12, ("over_refund",)), (12, ("returned_with_fee",)), (20, ("exchange",)),
    (6, ("exchange", "full_refund")), (6, ("partial_refund", "partial_refund", "full_refund")),
    (40, ("cancel",)), (100, ("touch",)),
)  # fmt: skip
TAX_BASIS_POINTS = (0, 500, 725, 825, 1000, 1900, 2000)

#: An order taken over from elsewhere was processed this long before it was created here.
IMPORT_LAG = 3 * DAY


@dataclass(frozen=True, slots=True)
class Plan:
    """When an order was placed and what happened to it when."""

    created_at: int
    imported: bool
    customer: int | None
    story: list[tuple[str, int]]

    @property
    def processed_at(self) -> int:
        """When the buyer bought."""
        return self.created_at - IMPORT_LAG if self.imported else self.created_at

    @property
    def updated_at(self) -> int:
        """When it last changed."""
        return self.story[-1][1] if self.story else self.created_at


class OrderBook:
    """Builds the seeded orders of one shop, and new ones for the live part."""

    def __init__(self, options: ShopOptions, catalogue: Catalogue) -> None:
        self.options = options
        self.catalogue = catalogue
        self._span = options.history_days * DAY
        self._from = options.opened_at - self._span

    def plan(self, index: int) -> tuple[Plan, Random]:
        """The plan of order `index`, and the dice as thrown so far."""
        rng = Random((self.options.seed << 40) ^ (index * 2 + 1))
        count = max(self.options.orders, 1)
        created = self._from + (self._span * index + int(self._span * rng.random())) // count
        imported = rng.random() < 0.02
        customer = self._buyer(rng)
        return Plan(created, imported, customer, self._story(rng, created, until=self.options.opened_at)), rng

    def _buyer(self, rng: Random) -> int | None:
        return rng.randrange(self.options.customer_count) if rng.random() < 0.9 else None

    def _story(self, rng: Random, created: int, *, until: int) -> list[tuple[str, int]]:
        at, draw = created, rng.randrange(1000)
        for often, kinds in STORIES:
            if draw < often:
                found = []
                for kind in kinds:
                    at += 600 + int(rng.expovariate(1 / (9 * DAY)))
                    if at < until:
                        found.append((kind, at))
                return found
            draw -= often
        return []

    def build(self, index: int) -> Order:
        """Seeded order `index`, with its history."""
        plan, rng = self.plan(index)
        order = self.place(index, plan.created_at, rng, plan=plan)
        for kind, at in plan.story:
            HAPPENINGS[kind](order, at, rng)
        order.updated_at = plan.updated_at
        return order

    def place(
        self, index: int, at: int, rng: Random, *, plan: Plan | None = None, presentment: str | None = None
    ) -> Order:
        """An order placed at `at`. `presentment`: the buyer's currency, where it is not left to the dice."""
        options = self.options
        if presentment is None:
            presentment = options.currency
            if options.presentment and rng.random() < 0.3:
                presentment = rng.choice(options.presentment)
        customer = plan.customer if plan is not None else self._buyer(rng)
        imported = plan is not None and plan.imported
        order = Order(
            index=index, customer=customer, currency=options.currency, presentment=presentment,
            taxes_included=options.taxes_included, test=rng.random() < 0.015, created_at=at,
            processed_at=at - IMPORT_LAG if imported else at, updated_at=at,
            email=None if customer is None else f"c{customer}@example.com",
            country=rng.choice(("US", "CA", "GB", "DE", "JP")), note=None,
        )  # fmt: skip
        self._fill(order, rng)
        self._agree(order)
        self._pay(order, rng)
        return order

    # --- lines ------------------------------------------------------------
    def _fill(self, order: Order, rng: Random) -> None:
        picks = [self._pick(rng) for _ in range(rng.choices((1, 2, 3, 4, 5, 8), (40, 28, 16, 9, 5, 2))[0])]
        counts = [rng.choices((1, 2, 3, 7), (75, 17, 6, 2))[0] for _ in picks]
        basis = rng.choice(TAX_BASIS_POINTS)
        units = [self._prices(order, variant.cents) for variant in picks]
        listed = [times(unit, n) for unit, n in zip(units, counts, strict=True)]
        gifts = [v.product == 0 for v in picks]
        discounts = self._discounts(
            order, rng, [ZERO if g else x for g, x in zip(gifts, listed, strict=True)]
        )
        for n, variant in enumerate(picks):
            order.lines.append(
                self._line(
                    order, variant, unit=units[n], quantity=counts[n], discount=discounts[n], basis=basis
                )
            )
        if rng.random() < 0.04:
            tip = self._prices(order, rng.choice((100, 250, 500)))
            order.lines.append(Line("TIP", None, "Tip", None, None, tip, 1, ZERO, ZERO, ZERO, 0).settle())
        self._charges(order, rng, basis)

    def _pick(self, rng: Random) -> Variant:
        index = 0 if rng.random() < 0.02 else rng.randrange(1, max(self.options.product_count, 2))
        variants = self.catalogue.product(index).variants
        return variants[rng.randrange(len(variants))]

    def _prices(self, order: Order, cents: int) -> Pair:
        shop = from_cents(cents, order.currency)
        return (shop, shop if order.presentment == order.currency else from_cents(cents, order.presentment))

    def _discounts(self, order: Order, rng: Random, listed: list[Pair]) -> list[Pair]:
        draw = rng.random()
        if draw > 0.25 or not any(listed):
            return [ZERO] * len(listed)
        code = rng.choice(("SPRING", "VIP", "WELCOME")) if rng.random() < 0.7 else None
        if draw < 0.15:
            points = rng.choice((500, 1000, 1500, 3333))
            found = [percent(x, points) for x in listed]
            total = (sum(x[0] for x in found), sum(x[1] for x in found))
            order.applications.append(
                Application(code, code or "Automatic", points // 100, total, "LINE_ITEM")
            )
            return found
        amount = self._prices(order, rng.choice((500, 1000, 2500)))
        whole = (sum(x[0] for x in listed), sum(x[1] for x in listed))
        amount = (min(amount[0], whole[0]), min(amount[1], whole[1]))
        order.applications.append(Application(code, code or "Automatic", None, amount, "LINE_ITEM"))
        shop, shown = (spread(amount[side], [x[side] for x in listed]) for side in (0, 1))
        return list(zip(shop, shown, strict=True))

    def _line(
        self, order: Order, variant: Variant, *, unit: Pair, quantity: int, discount: Pair, basis: int
    ) -> Line:
        product = self.catalogue.product(variant.product)
        kind = "GIFT_CARD" if product.gift_card else "PRODUCT"
        points = basis if variant.taxable else 0
        tax, saved = taxes(order.taxes_included, times(unit, quantity), discount, points)
        return Line(
            kind, variant.product * VARIANT_SLOTS + variant.slot, product.title, variant.sku, product.vendor, unit,
            quantity, discount, tax, saved, points,
        ).settle()  # fmt: skip

    def _charges(self, order: Order, rng: Random, basis: int) -> None:
        if rng.random() < 0.85:
            price = self._prices(order, rng.choice((0, 499, 795, 1250)))
            free = price != ZERO and rng.random() < 0.1
            if free:
                order.applications.append(Application(None, "Free shipping", 100, price, "SHIPPING_LINE"))
            discount = price if free else ZERO
            tax, saved = taxes(order.taxes_included, price, discount, basis)
            order.charges.append(Charge("SHIPPING", "Standard", price, discount, tax, saved, basis).settle())
        if rng.random() < 0.03:
            order.charges.append(
                Charge("DUTY", "Duty", self._prices(order, rng.randrange(200, 2000))).settle()
            )
        if rng.random() < 0.02:
            order.charges.append(Charge("ADDITIONAL_FEE", "Recycling fee", self._prices(order, 75)).settle())

    # --- ledger and payment ------------------------------------------------------------
    def _agree(self, order: Order) -> None:
        moved = [
            Movement(
                "ORDER", x.kind, n, x.quantity, times(x.unit, x.quantity), x.discount, x.tax, x.discount_tax
            )
            for n, x in enumerate(order.lines)
        ]
        moved += [
            Movement(
                "ORDER",
                c.kind,
                n,
                1 if c.kind == "DUTY" else None,
                c.price,
                c.discount,
                c.tax,
                c.discount_tax,
            )
            for n, c in enumerate(order.charges)
        ]
        order.agreements.append(Agreement(order.processed_at, "ORDER", moved))

    def _pay(self, order: Order, rng: Random) -> None:
        total = ZERO
        for moved in order.agreements[0].movements:
            total = add(total, worth(order, moved))
        draw, at = rng.random(), order.processed_at
        if draw < 0.05:
            return  # pending: nothing was paid
        if draw < 0.25:
            order.transactions.append(Transaction(at, "AUTHORIZATION", "SUCCESS", total, "bogus"))
            order.transactions.append(Transaction(at + 60, "CAPTURE", "SUCCESS", total, "bogus", 0))
            return
        if draw < 0.28:
            order.transactions.append(Transaction(at - 30, "SALE", "FAILURE", total, "bogus"))
        order.transactions.append(Transaction(at, "SALE", "SUCCESS", total, "bogus"))


def taxes(included: bool, listed: Pair, discount: Pair, basis_points: int) -> tuple[Pair, Pair]:
    """The tax on a price after its discount, and the tax that the discount saved."""
    if not basis_points:
        return ZERO, ZERO
    over = 10_000 + basis_points if included else 10_000
    tax = percent(sub(listed, discount), basis_points, over=over)
    return tax, sub(percent(listed, basis_points, over=over), tax)
