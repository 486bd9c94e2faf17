"""All fields of all types, in one table."""

from __future__ import annotations

from headgate.apps.stores.simulator.nodes import MONEY, Fields
from headgate.apps.stores.simulator.nodes_catalogue import CATALOGUE_FIELDS
from headgate.apps.stores.simulator.nodes_orders import ORDER_FIELDS
from headgate.apps.stores.simulator.nodes_refunds import REFUND_FIELDS

FIELDS: Fields = {**MONEY, **ORDER_FIELDS, **REFUND_FIELDS, **CATALOGUE_FIELDS}
