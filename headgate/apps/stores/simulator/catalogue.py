"""Products, variants, stock and customers as functions of their number: nothing is kept until something changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from headgate.apps.stores.simulator.money import from_cents
from headgate.apps.stores.simulator.options import DAY, VARIANT_SLOTS, Numbers, ShopOptions

ADJECTIVES = ("Plain", "Heavy", "Light", "Coastal", "Northern", "Folded", "Quiet", "Bright", "Woven", "Round")
THINGS = ("Mug", "Lamp", "Shirt", "Notebook", "Kettle", "Blanket", "Chair", "Poster", "Bag", "Candle", "Bowl")
SIZES = ("Small", "Medium", "Large", "Extra large")
TAGS = ("new", "sale", "summer", "winter")
VENDORS = ("Vendor A", "Vendor B", "Vendor C")


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing that may be bought. `price`: minor units of the shop's currency; `cents`: the same in US cents."""

    product: int
    slot: int
    title: str
    sku: str | None
    price: int
    cents: int
    taxable: bool
    stock: tuple[int, ...]
    updated_at: int

    @property
    def key(self) -> int:
        """Its number in the shop."""
        return self.product * VARIANT_SLOTS + self.slot


@dataclass(frozen=True, slots=True)
class Product:
    """A product and its variants."""

    index: int
    title: str
    vendor: str
    kind: str
    status: str
    gift_card: bool
    tags: tuple[str, ...]
    variants: tuple[Variant, ...]
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer with an invented name at example.com."""

    index: int
    first_name: str
    last_name: str
    email: str | None
    phone: str | None
    state: str
    note: str | None
    tags: tuple[str, ...]
    country: str
    created_at: int
    updated_at: int


@dataclass
class Catalogue:
    """The seeded products and customers of a shop. Product 0 is always the gift card."""

    options: ShopOptions
    _prices: dict[int, Product] = field(default_factory=dict)

    def product(self, index: int, *, created_at: int | None = None) -> Product:
        """Product number `index`; the seeded ones are remembered (there are at most some thousands)."""
        found = self._prices.get(index)
        if found is None:
            found = self._make_product(index, created_at)
            if len(self._prices) < 10_000:
                self._prices[index] = found
        return found

    def _make_product(self, index: int, created_at: int | None) -> Product:
        rng = Random(f"product {self.options.seed} {index}")
        opened, span = self.options.opened_at, (self.options.history_days + 30) * DAY
        born = created_at if created_at is not None else opened - span + rng.randrange(30 * DAY)
        changed = born if created_at is not None else rng.randrange(born, opened)
        gift = index == 0
        title = "Gift card" if gift else f"{rng.choice(ADJECTIVES)} {rng.choice(THINGS)} {index}"
        base = rng.choice((399, 950, 1250, 1999, 2499, 3333, 4900, 8999, 14_950))
        count = 4 if gift else rng.choices((1, 2, 3, 4), (5, 2, 2, 1))[0]
        variants = tuple(
            self._variant(rng, index, slot, base=base, count=count, at=changed) for slot in range(count)
        )
        return Product(
            index=index, title=title, vendor=rng.choice(VENDORS), kind=title.split()[1],
            status=rng.choices(("ACTIVE", "DRAFT", "ARCHIVED"), (92, 4, 4))[0], gift_card=gift,
            tags=("gift",) if gift else tuple(sorted(rng.sample(TAGS, rng.randrange(3)))),
            variants=variants, created_at=born, updated_at=changed,
        )  # fmt: skip

    def _variant(self, rng: Random, product: int, slot: int, *, base: int, count: int, at: int) -> Variant:
        gift = product == 0
        cents = (1000, 2500, 5000, 10_000)[slot] if gift else base + slot * 250
        return Variant(
            product=product, slot=slot, title="Default Title" if count == 1 else SIZES[slot],
            sku=None if gift or rng.random() < 0.05 else f"SKU-{product}-{slot}",
            price=from_cents(cents, self.options.currency), cents=cents,
            taxable=not gift and rng.random() > 0.08,
            stock=tuple(rng.randrange(-2, 200) for _ in range(self.options.locations)), updated_at=at,
        )  # fmt: skip

    def customer(self, index: int, *, created_at: int | None = None) -> Customer:
        """Customer number `index`."""
        rng = Random(f"customer {self.options.seed} {index}")
        opened, span = self.options.opened_at, self.options.history_days * DAY
        count = self.options.customer_count
        born = created_at if created_at is not None else opened - span + span * index // count
        changed = born if created_at is not None or rng.random() < 0.4 else rng.randrange(born, opened)
        has_mail = rng.random() > 0.03
        return Customer(
            index=index, first_name=f"First{index % 97}", last_name=f"Last{index}",
            email=f"c{index}@example.com" if has_mail else None,
            phone=f"+1555{index:07d}"[:12] if rng.random() < 0.3 else None,
            state=rng.choices(("ENABLED", "DISABLED", "INVITED"), (60, 35, 5))[0],
            note="prefers \"quiet\" hours / näh\u2028" if rng.random() < 0.02 else None,
            tags=("vip",) if rng.random() < 0.05 else (), country=rng.choice(("US", "CA", "GB", "DE", "JP", "KW")),
            created_at=born, updated_at=changed,
        )  # fmt: skip

    def numbers(self) -> Numbers:
        """The ids of this shop."""
        return Numbers.of(self.options.seed)


def restocked(product: Product, *, slot: int, location: int, quantity: int, at: int) -> Product:
    """The product with another quantity of one variant at one location."""
    old = product.variants[slot]
    stock = (*old.stock[:location], quantity, *old.stock[location + 1 :])
    variants = (
        *product.variants[:slot],
        replace(old, stock=stock, updated_at=at),
        *product.variants[slot + 1 :],
    )
    return replace(product, variants=variants, updated_at=at)
