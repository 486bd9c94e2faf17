"""The fields of customers, products, variants, stock, locations and the shop itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from headgate.apps.stores.simulator import totals
from headgate.apps.stores.simulator.catalogue import Product, Variant
from headgate.apps.stores.simulator.clock import stamp
from headgate.apps.stores.simulator.nodes import (
    Args,
    Field,
    Fields,
    Items,
    Money,
    Node,
    constant,
    plain,
    scalar_money,
)
from headgate.apps.stores.simulator.options import gid, split_gid

QUANTITIES = (
    "available",
    "committed",
    "damaged",
    "incoming",
    "on_hand",
    "quality_control",
    "reserved",
    "safety_stock",
)


def number(n: Node) -> int:
    """The id of an object that has an index."""
    return n.shop.numbers.make(n.it.index)


# --- customers ------------------------------------------------------------
def mail(n: Node, a: Args) -> Node | None:
    return None if n.it.email is None else Node("CustomerEmailAddress", n.shop, n.it.email)


def phone(n: Node, a: Args) -> Node | None:
    return None if n.it.phone is None else Node("CustomerPhoneNumber", n.shop, n.it.phone)


def home(n: Node, a: Args) -> Node:
    return Node("MailingAddress", n.shop, (number(n), n.it.country, n.it.first_name, n.it.last_name))


def spent(n: Node, a: Args) -> Money:
    found = totals.total(totals.total_price(o) for o in n.shop.orders_of(n.it.index) if not o.test)
    return Money(found[0], n.shop.options.currency)


CUSTOMER: dict[str, Field] = {
    "numberOfOrders": lambda n, a: str(len(n.shop.orders_of(n.it.index))),
    "amountSpent": spent,
    "id": lambda n, a: gid("Customer", number(n)),
    "legacyResourceId": lambda n, a: str(number(n)),
    "createdAt": lambda n, a: stamp(n.it.created_at),
    "updatedAt": lambda n, a: stamp(n.it.updated_at),
    "displayName": lambda n, a: f"{n.it.first_name} {n.it.last_name}",
    "firstName": plain("first_name"),
    "lastName": plain("last_name"),
    "email": plain("email"),
    "phone": plain("phone"),
    "state": plain("state"),
    "note": plain("note"),
    "tags": lambda n, a: list(n.it.tags),
    "taxExempt": constant(False),
    "verifiedEmail": lambda n, a: n.it.email is not None,
    "locale": constant("en"),
    "defaultEmailAddress": mail,
    "defaultPhoneNumber": phone,
    "defaultAddress": home,
}
COUNTRIES = {
    "US": "United States",
    "CA": "Canada",
    "GB": "United Kingdom",
    "DE": "Germany",
    "JP": "Japan",
    "KW": "Kuwait",
}
ADDRESS: dict[str, Field] = {
    "id": lambda n, a: gid("MailingAddress", n.it[0]),
    "address1": lambda n, a: f"{1 + n.it[0] % 200} Example Street",
    "city": constant("Example City"),
    "country": lambda n, a: COUNTRIES.get(n.it[1]),
    "countryCodeV2": lambda n, a: n.it[1],
    "firstName": lambda n, a: n.it[2],
    "lastName": lambda n, a: n.it[3],
    "name": lambda n, a: f"{n.it[2]} {n.it[3]}",
    "zip": lambda n, a: f"{n.it[0] % 100_000:05d}",
    **{name: constant(None) for name in ("address2", "company", "phone", "province", "provinceCode")},
}


# --- products ------------------------------------------------------------
def variants(n: Node, a: Args) -> Items:
    return Items([Node("ProductVariant", n.shop, n.it, slot) for slot in range(len(n.it.variants))])


def priced(n: Node, a: Args) -> Node:
    return Node("ProductPriceRangeV2", n.shop, n.it)


def dear(pick: Any) -> Field:
    return lambda n, a: Money(pick(v.price for v in n.it.variants), n.shop.options.currency)


def in_stock(product: Product) -> int:
    """All units of all variants."""
    return sum(sum(v.stock) for v in product.variants)


PRODUCT: dict[str, Field] = {
    "id": lambda n, a: gid("Product", number(n)),
    "legacyResourceId": lambda n, a: str(number(n)),
    "title": plain("title"),
    "handle": lambda n, a: n.it.title.lower().replace(" ", "-"),
    "vendor": plain("vendor"),
    "productType": plain("kind"),
    "status": plain("status"),
    "tags": lambda n, a: list(n.it.tags),
    "isGiftCard": plain("gift_card"),
    "createdAt": lambda n, a: stamp(n.it.created_at),
    "updatedAt": lambda n, a: stamp(n.it.updated_at),
    "publishedAt": lambda n, a: stamp(n.it.created_at) if n.it.status == "ACTIVE" else None,
    "description": lambda n, a: f"About {n.it.title}",
    "descriptionHtml": lambda n, a: f"<p>About {n.it.title}</p>",
    "totalInventory": lambda n, a: in_stock(n.it),
    "tracksInventory": lambda n, a: not n.it.gift_card,
    "hasOnlyDefaultVariant": lambda n, a: len(n.it.variants) == 1,
    "hasOutOfStockVariants": lambda n, a: any(sum(v.stock) <= 0 for v in n.it.variants),
    "variantsCount": lambda n, a: (len(n.it.variants), "EXACT"),
    "variants": variants,
    "priceRangeV2": priced,
    "onlineStoreUrl": constant(None),
    "templateSuffix": constant(None),
}


def variant(n: Node) -> Variant:
    """A variant or inventory item's variant."""
    found: Variant = n.it.variants[n.up]
    return found


def variant_number(n: Node) -> int:
    return n.shop.variant_id(variant(n).key)


def options(n: Node, a: Args) -> list[Node]:
    return [
        Node("SelectedOption", n.shop, ("Title" if len(n.it.variants) == 1 else "Size", variant(n).title))
    ]


VARIANT: dict[str, Field] = {
    "id": lambda n, a: gid("ProductVariant", variant_number(n)),
    "legacyResourceId": lambda n, a: str(variant_number(n)),
    "title": lambda n, a: variant(n).title,
    "displayName": lambda n, a: f"{n.it.title} - {variant(n).title}",
    "sku": lambda n, a: variant(n).sku,
    "barcode": constant(None),
    "price": lambda n, a: scalar_money(variant(n).price, n.shop.options.currency),
    "compareAtPrice": constant(None),
    "position": lambda n, a: variant(n).slot + 1,
    "taxable": lambda n, a: variant(n).taxable,
    "availableForSale": lambda n, a: sum(variant(n).stock) > 0,
    "inventoryQuantity": lambda n, a: sum(variant(n).stock),
    "inventoryPolicy": constant("DENY"),
    "createdAt": lambda n, a: stamp(n.it.created_at),
    "updatedAt": lambda n, a: stamp(variant(n).updated_at),
    "product": lambda n, a: Node("Product", n.shop, n.it),
    "inventoryItem": lambda n, a: n._replace(kind="InventoryItem"),
    "selectedOptions": options,
}


# --- stock ------------------------------------------------------------
def level(n: Node, a: Args) -> Node | None:
    slot = split_gid(a["locationId"])[1] - n.shop.numbers.base - 1
    return Node("InventoryLevel", n.shop, n, slot) if 0 <= slot < n.shop.options.locations else None


def levels(n: Node, a: Args) -> Items:
    return Items([Node("InventoryLevel", n.shop, n, slot) for slot in range(n.shop.options.locations)])


def level_id(n: Node) -> str:
    return f"{gid('InventoryLevel', n.shop.location_id(n.up))}?inventory_item_id={variant_number(n.it)}"


def quantities(n: Node, a: Args) -> list[Node]:
    return [Node("InventoryQuantity", n.shop, name, n) for name in a["names"] if name in QUANTITIES]


def quantity(n: Node, a: Args) -> int:
    return variant(n.up.it).stock[n.up.up] if n.it in ("available", "on_hand") else 0


ITEM: dict[str, Field] = {
    "id": lambda n, a: gid("InventoryItem", variant_number(n)),
    "legacyResourceId": lambda n, a: str(variant_number(n)),
    "sku": lambda n, a: variant(n).sku,
    "tracked": lambda n, a: not n.it.gift_card,
    "requiresShipping": lambda n, a: not n.it.gift_card,
    "createdAt": lambda n, a: stamp(n.it.created_at),
    "updatedAt": lambda n, a: stamp(variant(n).updated_at),
    "unitCost": lambda n, a: Money(variant(n).price * 2 // 5, n.shop.options.currency),
    "variant": lambda n, a: n._replace(kind="ProductVariant"),
    "inventoryLevel": level,
    "inventoryLevels": levels,
}


# --- shop ------------------------------------------------------------
def offset_minutes(n: Node) -> int:
    found = (
        datetime.fromtimestamp(n.shop.now(), UTC).astimezone(ZoneInfo(n.shop.options.timezone)).utcoffset()
    )
    return 0 if found is None else int(found.total_seconds() // 60)


def offset_text(n: Node, a: Args) -> str:
    minutes = offset_minutes(n)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


def abbreviation(n: Node, a: Args) -> str:
    return (
        datetime.fromtimestamp(n.shop.now(), UTC).astimezone(ZoneInfo(n.shop.options.timezone)).strftime("%Z")
    )


def opened(n: Node, a: Args) -> str:
    return stamp(n.shop.options.opened_at - (n.shop.options.history_days + 60) * 86_400)


SHOP: dict[str, Field] = {
    "id": lambda n, a: gid("Shop", n.shop.numbers.base),
    "name": lambda n, a: n.shop.name,
    "myshopifyDomain": lambda n, a: n.shop.domain,
    "currencyCode": lambda n, a: n.shop.options.currency,
    "ianaTimezone": lambda n, a: n.shop.options.timezone,
    "timezoneAbbreviation": abbreviation,
    "timezoneOffset": offset_text,
    "timezoneOffsetMinutes": lambda n, a: offset_minutes(n),
    "email": constant("owner@example.com"),
    "contactEmail": constant("contact@example.com"),
    "enabledPresentmentCurrencies": lambda n, a: sorted(
        {n.shop.options.currency, *n.shop.options.presentment}
    ),
    "taxesIncluded": lambda n, a: n.shop.options.taxes_included,
    "weightUnit": constant("KILOGRAMS"),
    "createdAt": opened,
    "updatedAt": lambda n, a: stamp(n.shop.updated_at),
    "primaryDomain": lambda n, a: n._replace(kind="Domain"),
    "plan": lambda n, a: n._replace(kind="ShopPlan"),
}
LOCATION: dict[str, Field] = {
    "id": lambda n, a: gid("Location", n.shop.location_id(n.it)),
    "legacyResourceId": lambda n, a: str(n.shop.location_id(n.it)),
    "name": lambda n, a: f"Location {n.it + 1}",
    "isActive": constant(True),
    "createdAt": opened,
    "updatedAt": opened,
    "fulfillsOnlineOrders": constant(True),
    "hasActiveInventory": constant(True),
    "shipsInventory": constant(True),
    "inventoryLevels": lambda n, a: Items(
        [
            Node("InventoryLevel", n.shop, Node("InventoryItem", n.shop, product, slot), n.it)
            for product in n.shop.products
            for slot in range(len(product.variants))
        ]
    ),
}
CATALOGUE_FIELDS: Fields = {
    "Customer": CUSTOMER,
    "CustomerEmailAddress": {
        "emailAddress": lambda n, a: n.it,
        "marketingState": constant("NOT_SUBSCRIBED"),
        "validFormat": constant(True),
    },
    "CustomerPhoneNumber": {"phoneNumber": lambda n, a: n.it, "marketingState": constant("NOT_SUBSCRIBED")},
    "MailingAddress": ADDRESS,
    "Product": PRODUCT,
    "ProductPriceRangeV2": {"minVariantPrice": dear(min), "maxVariantPrice": dear(max)},
    "ProductVariant": VARIANT,
    "SelectedOption": {"name": lambda n, a: n.it[0], "value": lambda n, a: n.it[1]},
    "InventoryItem": ITEM,
    "InventoryLevel": {
        "id": lambda n, a: level_id(n),
        "createdAt": lambda n, a: stamp(n.it.it.created_at),
        "updatedAt": lambda n, a: stamp(variant(n.it).updated_at),
        "item": lambda n, a: n.it,
        "location": lambda n, a: Node("Location", n.shop, n.up),
        "quantities": quantities,
        "canDeactivate": constant(True),
    },
    "InventoryQuantity": {
        "id": lambda n, a: f"{level_id(n.up).replace('InventoryLevel', 'InventoryQuantity')}&name={n.it}",
        "name": lambda n, a: n.it,
        "quantity": quantity,
        "updatedAt": lambda n, a: stamp(variant(n.up.it).updated_at),
    },
    "Location": LOCATION,
    "Shop": SHOP,
    "Domain": {
        "id": lambda n, a: gid("Domain", n.shop.numbers.base),
        "host": lambda n, a: n.shop.domain,
        "url": lambda n, a: f"https://{n.shop.domain}",
    },
    "ShopPlan": {
        "partnerDevelopment": constant(True),
        "shopifyPlus": constant(False),
        "publicDisplayName": constant("Development"),
    },
}
