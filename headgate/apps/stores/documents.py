"""What is asked of the Admin API, as GraphQL documents; one selection per object, whichever path reads it.

The bulk query of orders has exactly the five connections that Shopify allows. Valid on 2025-10 and every later version.
"""

from __future__ import annotations

from functools import cache

_BAG = "{ shopMoney { amount } presentmentMoney { amount } }"


def _bags(*names: str) -> str:
    return " ".join(f"{name} {_BAG}" for name in names)


ORDER = (
    "id name createdAt processedAt updatedAt cancelledAt closedAt cancelReason test edited taxesIncluded tags"
    " sourceName displayFinancialStatus displayFulfillmentStatus currencyCode presentmentCurrencyCode customer { id } "
    + _bags("totalPriceSet", "currentTotalPriceSet", "currentSubtotalPriceSet", "currentTotalDiscountsSet")
    + " "
    + _bags("currentTotalTaxSet", "totalShippingPriceSet", "totalRefundedSet", "totalTipReceivedSet")
    + f" refunds {{ id createdAt note totalRefundedSet {_BAG} }}"
    + " transactions { id kind status gateway test processedAt parentTransaction { id } amountSet "
    + _BAG
    + " }"
)
LINE_ITEM = (
    "id title variantTitle sku vendor quantity currentQuantity isGiftCard product { id } variant { id } "
    + _bags("originalUnitPriceSet", "discountedTotalSet", "totalDiscountSet")
)
SHIPPING_LINE = "id title code source isRemoved " + _bags("originalPriceSet", "discountedPriceSet")
AGREEMENT = "id happenedAt reason"
SALE = (
    "id actionType lineType quantity "
    + _bags(
        "totalAmount", "totalTaxAmount", "totalDiscountAmountBeforeTaxes", "totalDiscountAmountAfterTaxes"
    )
    + " ... on ProductSale { lineItem { id } } ... on GiftCardSale { lineItem { id } }"
    + " ... on TipSale { lineItem { id } }"
)
CUSTOMER = (
    "id createdAt updatedAt firstName lastName state locale tags verifiedEmail"
    " defaultEmailAddress { emailAddress } defaultPhoneNumber { phoneNumber }"
)
PRODUCT = (
    "id createdAt updatedAt publishedAt title handle vendor productType status tags isGiftCard totalInventory"
)
VARIANT = (
    "id updatedAt title sku barcode position price compareAtPrice inventoryQuantity product { id }"
    " inventoryItem { id"
)
LEVEL = (
    "id updatedAt location { id name } item { id }"
    ' quantities(names: ["available", "on_hand", "committed", "incoming"]) { name quantity }'
)

#: Children of each object: connection → (selection, its own children).
CHILDREN: dict[str, tuple[str, ...]] = {
    "orders": ("lineItems", "shippingLines", "agreements"),
    "agreements": ("sales",),
    "customers": (),
    "products": ("variants",),
}

BULK = {
    "orders": (
        f"{{ orders {{ edges {{ node {{ {ORDER}"
        f" lineItems {{ edges {{ node {{ {LINE_ITEM} }} }} }}"
        f" shippingLines(includeRemovals: true) {{ edges {{ node {{ {SHIPPING_LINE} }} }} }}"
        f" agreements {{ edges {{ node {{ {AGREEMENT} sales {{ edges {{ node {{ {SALE} }} }} }} }} }} }}"
        " } } } }"
    ),
    "customers": f"{{ customers {{ edges {{ node {{ {CUSTOMER} }} }} }} }}",
    "products": (
        f"{{ products {{ edges {{ node {{ {PRODUCT}"
        f" variants {{ edges {{ node {{ {VARIANT} inventoryLevels {{ edges {{ node {{ {LEVEL} }} }} }} }} }} }} }}"
        " } } } }"
    ),
}

_MORE = "pageInfo { hasNextPage endCursor }"
_ORDER_CHILDREN = (
    f"lineItems(first: $lines, after: $linesAfter) {{ nodes {{ {LINE_ITEM} }} {_MORE} }}"
    f" shippingLines(first: 5, includeRemovals: true) {{ nodes {{ {SHIPPING_LINE} }} {_MORE} }}"
    f" agreements(first: $agreements, after: $agreementsAfter) {{ nodes {{ {AGREEMENT}"
    f" sales(first: $sales) {{ nodes {{ {SALE} }} {_MORE} }} }} {_MORE} }}"
)
_SIZES = "$lines: Int!, $linesAfter: String, $agreements: Int!, $agreementsAfter: String, $sales: Int!"
_LEVELS = f"inventoryLevels(first: 3) {{ nodes {{ {LEVEL} }} {_MORE} }}"

#: A page of changed objects, oldest change first.
PAGES = {
    "orders": (
        f"query HeadgateOrders($first: Int!, $after: String, $query: String, {_SIZES}) {{"
        f" orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{"
        f" nodes {{ {ORDER} {_ORDER_CHILDREN} }} {_MORE} }} }}"
    ),
    "customers": (
        "query HeadgateCustomers($first: Int!, $after: String, $query: String) {"
        " customers(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {"
        f" nodes {{ {CUSTOMER} }} {_MORE} }} }}"
    ),
    "products": (
        "query HeadgateProducts($first: Int!, $after: String, $query: String) {"
        " products(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {"
        f" nodes {{ {PRODUCT} variants(first: 10) {{ nodes {{ {VARIANT} {_LEVELS} }} }} {_MORE} }} }} {_MORE} }} }}"
    ),
}
#: Single objects by their global ids; null where one is gone.
NODES = {
    "orders": (
        f"query HeadgateOrder($ids: [ID!]!, {_SIZES}) {{"
        f" nodes(ids: $ids) {{ ... on Order {{ {ORDER} {_ORDER_CHILDREN} }} }} }}"
    ),
    "customers": f"query HeadgateCustomer($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Customer {{ {CUSTOMER} }} }} }}",
    "products": (
        "query HeadgateProduct($ids: [ID!]!, $after: String) { nodes(ids: $ids) { ... on Product {"
        f" {PRODUCT} variants(first: 10, after: $after) {{ nodes {{ {VARIANT} {_LEVELS} }} }} {_MORE} }} }} }} }}"
    ),
    "inventory": (
        "query HeadgateStock($ids: [ID!]!, $after: String) { nodes(ids: $ids) { ... on InventoryItem { id"
        f" inventoryLevels(first: 50, after: $after) {{ nodes {{ {LEVEL} }} {_MORE} }} }} }} }}"
    ),
}
_SEVERAL = {
    "orders": f"... on Order {{ {ORDER} {_ORDER_CHILDREN} }}",
    "customers": f"... on Customer {{ {CUSTOMER} }}",
    "products": (
        f"... on Product {{ {PRODUCT} variants(first: 10) {{ nodes {{ {VARIANT} {_LEVELS} }} }} {_MORE} }} }}"
    ),
    "inventory": f"... on InventoryItem {{ id inventoryLevels(first: 50) {{ nodes {{ {LEVEL} }} {_MORE} }} }}",
}


@cache
def several(*entities: str) -> str:
    """A query for single objects of several entities, each as in `NODES`; their ids are in variables of their names."""
    given = [f"${name}: [ID!]!" for name in entities] + ([_SIZES] if "orders" in entities else [])
    parts = [f"{name}: nodes(ids: ${name}) {{ {_SEVERAL[name]} }}" for name in entities]
    return f"query HeadgateSeveral({', '.join(given)}) {{ {' '.join(parts)} }}"


#: Further sales of one agreement are read by paging its order's agreements one by one.
SALES = (
    "query HeadgateSales($id: ID!, $agreementsAfter: String, $salesAfter: String) { order(id: $id) { id updatedAt"
    f" agreements(first: 1, after: $agreementsAfter) {{ nodes {{ {AGREEMENT} sales(first: 100, after: $salesAfter)"
    f" {{ nodes {{ {SALE} }} {_MORE} }} }} {_MORE} }} }} }}"
)
#: Further shipping lines of an order.
SHIPPING = (
    "query HeadgateShipping($id: ID!, $after: String) { order(id: $id) { id"
    f" shippingLines(first: 50, after: $after, includeRemovals: true) {{ nodes {{ {SHIPPING_LINE} }} {_MORE} }} }} }}"
)
REFUNDS = (
    "query HeadgateRefunds($ids: [ID!]!, $after: String) { nodes(ids: $ids) { ... on Refund { id"
    " refundLineItems(first: 50, after: $after) { nodes { id quantity restockType lineItem { id } "
    + _bags("priceSet", "subtotalSet", "totalTaxSet")
    + f" }} {_MORE} }} }} }} }}"
)
#: The lists of all objects of an entity.
_LISTS = {
    "orders": "orders",
    "customers": "customers",
    "products": "products",
    "variants": "productVariants",
}
COUNTS = {
    name: f"query HeadgateCount($query: String) {{ {root}Count(limit: null, query: $query) {{ count precision }} }}"
    for name, root in _LISTS.items()
}
#: Whether variants are there, and whose they are.
VARIANTS = "query HeadgateVariants($ids: [ID!]!) { nodes(ids: $ids) { ... on ProductVariant { id product { id } } } }"
#: Numbers only, to find what was deleted without a word.
IDS = {
    name: (
        f"query HeadgateIds($after: String) {{ {name}: {root}(first: 250, after: $after, sortKey: ID)"
        f" {{ nodes {{ id }} {_MORE} }} }}"
    )
    for name, root in _LISTS.items()
}

_OPERATION = (
    "id status errorCode createdAt completedAt objectCount rootObjectCount fileSize url partialDataUrl query"
)
RUN_BULK = (
    "mutation HeadgateBulk($query: String!, $group: Boolean!) {"
    " bulkOperationRunQuery(query: $query, groupObjects: $group)"
    f" {{ bulkOperation {{ {_OPERATION} }} userErrors {{ code field message }} }} }}"
)
BULK_NODE = (
    f"query HeadgateOperation($id: ID!) {{ node(id: $id) {{ ... on BulkOperation {{ {_OPERATION} }} }} }}"
)
BULK_LIST = (
    "query HeadgateOperations { bulkOperations(first: 20, reverse: true, sortKey: CREATED_AT)"
    f" {{ nodes {{ {_OPERATION} }} }} }}"
)
BULK_CURRENT = f"query HeadgateOperation {{ currentBulkOperation {{ {_OPERATION} }} }}"
#: What the merchant grants at this moment; what is stored may be older than a webhook that is still under way.
SCOPES = "query HeadgateScopes { currentAppInstallation { accessScopes { handle } } }"
SHOP = "query HeadgateShop { shop { id name ianaTimezone currencyCode } }"
