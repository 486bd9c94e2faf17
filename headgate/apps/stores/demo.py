"""How `headgate up --demo` runs a simulated Shopify with one shop, and connects that shop by itself.

Nothing is made up: the shop is approved over OAuth, synced by bulk operations and kept up to date by its own webhooks.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from headgate.apps.stores import documents
from headgate.apps.stores.connect import Connecting
from headgate.apps.stores.means import Means
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.tokens import NotConnected
from headgate.apps.stores.webhook_jobs import PATH, webhook_address
from headgate.apps.stores.wire import Wire
from headgate.base.settings import Settings
from headgate.db.queries import load
from headgate.engine.jobs import JobContext, Snooze
from headgate.engine.manifest import Demo, Handler, Services

Q = load("headgate.apps.stores", "demo.sql")
KIND = "stores.demo"
SHOP = "harbour-goods.myshopify.com"
BRAND = "Demo"
ORDERS, DAYS = 400, 180
#: Changes a second in the shop: orders placed, edited, refunded, products and stock.
LIVE = 0.2
#: The simulated app's own credentials; they open nothing but a simulator.
CLIENT = {"client-id": "demo-app", "client-secret": "demo-app-secret"}
#: How often the job looks for new accounts and for a simulator that was started again, in seconds.
AGAIN_S = 20.0


def demo(port: int) -> Demo:
    """The simulator on `port`: half a year of one shop, which goes on selling."""
    url = f"http://127.0.0.1:{port}"
    given = {"port": port, "shop": SHOP, "orders": ORDERS, "days": DAYS, "live": LIVE, **CLIENT}
    return Demo(
        arguments=("stores", "simulate", *(word for k, v in given.items() for word in (f"--{k}", str(v)))),
        url=url,
        ready_path="/_control/ready",
        environment={
            "HEADGATE_STORES_SIMULATOR_URL": url,
            "HEADGATE_STORES_CLIENT_ID": CLIENT["client-id"],
            "HEADGATE_STORES_CLIENT_SECRET": CLIENT["client-secret"],
            "HEADGATE_STORES_DEMO_SHOP": SHOP,
        },
        jobs=(KIND,),
    )


def connect(services: Services) -> Handler:
    """`stores.demo`: connect the shop of the demo, also to a simulator that was started anew; every account may see it.

    A new simulator knows nothing of what happened in the one before, so that its shop is imported from nothing.
    """
    means = Means.of(services)
    settings = means.settings

    async def handle(ctx: JobContext) -> None:
        if not (settings.demo_shop and settings.simulator_url):
            return
        async with ctx.db.transaction() as conn:
            row = await (await conn.execute(Q.brand, {"name": BRAND})).fetchone()
            if row is None:
                raise RuntimeError("an insert gave no row")
            await conn.execute(Q.members, {"brand": row["id"]})
        wire = Wire(settings, keep=False)
        if not await _let_in(ctx, means):
            async with ctx.db.transaction() as conn:
                await conn.execute(Q.forget, {"shop": settings.demo_shop})
            await _approve(Connecting(ctx.db, settings, means.tokens, wire), wire, row["id"], settings)
        raise Snooze(AGAIN_S, "looks again for new accounts, and whether the simulator is the same")

    return handle


async def _approve(connecting: Connecting, wire: Wire, brand: UUID, settings: StoresSettings) -> None:
    """What the merchant's browser does."""
    begun = await connecting.begin(
        brand=brand,
        shop=settings.demo_shop,
        user=None,
        base_url=webhook_address(settings, Settings()).removesuffix(PATH),
        link=True,
    )
    approved = await wire.send("GET", begun.url)
    await connecting.finish(dict(parse_qsl(urlsplit(approved.headers.get("location", "")).query)), "")


async def _let_in(ctx: JobContext, means: Means) -> bool:
    """Whether this simulator lets us in: another one does not know our token."""
    number = await ctx.db.fetch_value(Q.connection, {"shop": means.settings.demo_shop})
    if number is None:
        return False
    try:
        await (await means.shopify(number)).query(documents.SHOP)
    except NotConnected:
        return False
    return True
