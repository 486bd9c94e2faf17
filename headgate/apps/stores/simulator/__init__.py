"""A local Shopify: OAuth, Admin GraphQL, bulk operations and webhooks of seeded shops, with an independent oracle.

`python -m headgate.apps.stores.simulator --port 8791` serves it; `running(Simulator(...))` starts it within a test.
Everything it answers is invented from a seed. It imports nothing of the application it tests.
"""

from headgate.apps.stores.simulator.clock import SimClock
from headgate.apps.stores.simulator.options import ShopOptions
from headgate.apps.stores.simulator.server import CLIENT_ID, CLIENT_SECRET, Simulator, running, serve

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "ShopOptions", "SimClock", "Simulator", "running", "serve"]
