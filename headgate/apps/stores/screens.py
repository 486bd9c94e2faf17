"""The console's pages of the stores application."""

from __future__ import annotations

from headgate.engine.manifest import Screen

SCREENS = (
    Screen(name="sales", title="Sales", module="sales.js"),
    Screen(name="orders", title="Orders", module="orders.js"),
    Screen(name="customers", title="Customers", module="customers.js"),
    Screen(name="products", title="Products", module="products.js"),
    Screen(name="inventory", title="Inventory", module="inventory.js"),
    Screen(name="reconciliation", title="Reconciliation", module="reconciliation.js"),
    Screen(name="progress", title="Sync", module="progress.js"),
    Screen(name="webhooks", title="Webhooks", module="webhooks.js"),
    Screen(name="connect", title="Shops", module="connect.js"),
)
