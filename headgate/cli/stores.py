"""`headgate stores`: connect shops, start and watch syncs, reconcile, simulate a Shopify."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from headgate.apps.stores.answers import Refusal
from headgate.apps.stores.connect import Connecting
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.signing import shop_of
from headgate.apps.stores.simulator.__main__ import main as simulator
from headgate.apps.stores.tokens import Tokens
from headgate.apps.stores.wire import Wire
from headgate.base.errors import JobError, SettingsError
from headgate.base.settings import Settings
from headgate.cli.parts import end_with_parent
from headgate.cli.runtime import database_options, load_settings, opened_database
from headgate.db import Database
from headgate.engine.jobs import enqueue

_console = Console()
_REFRESH_S = 0.5
_BAR = 24
_MARKS = {
    "completed": "[green]●",
    "partial": "[yellow]●",
    "error": "[red]●",
    "in_progress": "[blue]◐",
    "queued": "[blue]○",
}
_LIVE = "select id, shop_domain, brand_id from stores.connections where state in ('connected', 'error')"


@click.group()
def stores() -> None:
    """The stores application: Shopify shops in sync."""


def _run(options: dict[str, Any], work: Callable[[Database, Settings], Awaitable[None]]) -> None:
    settings = load_settings(**{name: options.pop(name) for name in ("data_dir", "database_url")})

    async def within() -> None:
        async with opened_database(settings) as db:
            await work(db, settings)

    try:
        asyncio.run(within())
    except Refusal as error:
        raise click.ClickException(error.message) from None
    except KeyboardInterrupt:
        click.echo("No longer watching; the sync goes on.")


@stores.command()
@click.argument("shop")
@click.option("--brand", help="Id or name of the brand; made if there is none of that name.")
@click.option("--owner", help="Id of the user who is to own a brand that is made.")
@database_options
def connect(shop: str, brand: str | None, owner: str | None, **options: Any) -> None:
    """Print the address at which the merchant of SHOP approves. It is good once, for a few minutes."""
    domain = shop_of(shop)
    if domain is None:
        raise click.BadParameter("use name.myshopify.com, or only the name", param_hint="SHOP")

    async def work(db: Database, settings: Settings) -> None:
        ours = StoresSettings()
        number = await _brand(db, brand, owner)
        base = ours.public_url.rstrip("/") or f"http://{settings.host}:{settings.port}"
        wire = Wire(ours, keep=False)
        connecting = Connecting(db, ours, Tokens(db, ours, wire=wire, data_dir=settings.data_dir), wire)
        begun = await connecting.begin(brand=number, shop=domain, user=None, base_url=base, link=True)
        click.echo(
            f"Brand {number}. Open this within {ours.state_minutes} minutes, with `headgate serve` running:"
        )
        click.echo(begun.url)

    _run(options, work)


async def _brand(db: Database, wanted: str | None, owner: str | None) -> UUID:
    """The brand that is meant: by id, by name, the only one there is, or a new one."""
    rows = await db.fetch_all("select id, name from stores.brands order by created_at")
    for row in rows:
        if wanted in (str(row["id"]), row["name"]) or (wanted is None and len(rows) == 1):
            return UUID(str(row["id"]))
    if wanted is None and rows:
        names = ", ".join(row["name"] for row in rows)
        raise SettingsError(
            f"There are several brands: {names}.", code="HG119", hint="Name one with --brand."
        )
    async with db.transaction() as conn:
        made = await (
            await conn.execute(
                "insert into stores.brands (name, created_by) values (%s, %s) returning id",
                (wanted or "My brand", owner),
            )
        ).fetchone()
        if made is None:
            raise RuntimeError("an insert gave no row")
        if owner:
            await conn.execute(
                "insert into stores.brand_members values (%s, %s, 'owner')", (made["id"], owner)
            )
    return UUID(str(made["id"]))


async def _connections(db: Database, shop: str | None) -> list[dict[str, Any]]:
    """Live connections, all or those of one shop. Raises JobError HG319 when there is none."""
    domain = shop_of(shop) if shop else None
    rows = [
        row
        for row in await db.fetch_all(_LIVE + " order by id")
        if shop is None or row["shop_domain"] == domain
    ]
    if not rows:
        raise JobError(
            f"No shop {shop} is connected." if shop else "No shop is connected.",
            code="HG319",
            hint="`headgate stores connect SHOP` connects one.",
        )
    return rows


@stores.command()
@click.argument("shop", required=False)
@click.option("--watch/--no-watch", default=True, help="Show the progress until it ends.")
@database_options
def sync(shop: str | None, watch: bool, **options: Any) -> None:
    """Sync SHOP, or every connected shop, and show how it goes. Workers do it: `headgate up` or `headgate work`."""

    async def work(db: Database, _: Settings) -> None:
        rows = await _connections(db, shop)
        async with db.transaction() as conn:
            for row in rows:
                await enqueue(
                    conn,
                    "stores.recent_sync",
                    {"connection_id": row["id"]},
                    key=f"stores:{row['shop_domain']}",
                    unique=str(row["id"]),
                    priority=20,
                )
        if watch:
            await _watch(db, [row["id"] for row in rows])
        else:
            click.echo(f"Queued: {', '.join(row['shop_domain'] for row in rows)}")

    _run(options, work)


@stores.command()
@click.argument("shop", required=False)
@click.option("--follow", is_flag=True, help="Keep showing until it ends.")
@click.option("--json", "as_json", is_flag=True, help="As the status API has it, one line per shop.")
@database_options
def status(shop: str | None, follow: bool, as_json: bool, **options: Any) -> None:
    """How the sync of SHOP, or of every connected shop, stands."""

    async def work(db: Database, _: Settings) -> None:
        numbers = [row["id"] for row in await _connections(db, shop)]
        if follow:
            await _watch(db, numbers)
            return
        for told in await _told(db, numbers):
            if as_json:
                click.echo(json.dumps(told))
            else:
                _console.print(_picture([told]))

    _run(options, work)


@stores.command()
@click.argument("shop", required=False)
@click.option(
    "--wait/--no-wait", default=True, help="Wait for the result; exit with 1 unless everything ties."
)
@database_options
def reconcile(shop: str | None, wait: bool, **options: Any) -> None:
    """Compare what is here with Shopify's own totals and counts, and name each order that does not tie."""
    failed = False

    async def work(db: Database, _: Settings) -> None:
        nonlocal failed
        for row in await _connections(db, shop):
            newest = "select coalesce(max(id), 0) from stores.reconciliations where connection_id = %s"
            before = await db.fetch_value(newest, (row["id"],))
            async with db.transaction() as conn:
                await enqueue(
                    conn, "stores.reconcile", {"connection_id": row["id"]}, unique=str(row["id"]), priority=20
                )
            if not wait:
                click.echo(f"{row['shop_domain']}: queued")
                continue
            with _console.status(f"Comparing {row['shop_domain']}"):
                while (found := await db.fetch_value(newest, (row["id"],))) == before:  # noqa: ASYNC110 - a worker writes it
                    await asyncio.sleep(_REFRESH_S)
            failed |= not await _report(db, row["shop_domain"], found)

    _run(options, work)
    if failed:
        raise click.exceptions.Exit(1)


async def _report(db: Database, shop: str, number: int) -> bool:
    """Print one comparison; whether everything ties."""
    one = await db.fetch_one("select * from stores.reconciliations where id = %s", (number,))
    if one is None:
        return False
    click.echo(f"{shop}: {one['state']}, {one['tied']} of {one['orders']} orders tie to the cent")
    for finding in one["findings"]:
        click.echo(f"  {finding if isinstance(finding, str) else json.dumps(finding)}")
    untied = await db.fetch_all(
        "select * from stores.untied_orders where reconciliation_id = %s order by order_id limit 100",
        (number,),
    )
    for order in untied:
        click.echo(
            f"  {order['name'] or order['order_id']}: Shopify {order['current_total_price']} {order['currency']}, "
            f"ledger {order['ledger']}, difference {order['difference']}"
        )
    return bool(one["state"] == "tied")


async def _told(db: Database, numbers: list[int]) -> list[dict[str, Any]]:
    rows = await db.fetch_all("select stores.shop_status(n) as s from unnest(%s::bigint[]) n", (numbers,))
    return [row["s"] for row in rows]


async def _watch(db: Database, numbers: list[int]) -> None:
    """Show progress until no shop is syncing; a sync that was just queued is given a moment to begin."""
    begun = False
    with Live(console=_console, refresh_per_second=4) as live:
        for turn in range(10**9):
            told = await _told(db, numbers)
            live.update(_picture(told))
            syncing = any(one["overall_status"] == "syncing" for one in told)
            begun = begun or syncing
            if not syncing and (begun or turn > 20 / _REFRESH_S):
                return
            await asyncio.sleep(_REFRESH_S)


def _picture(shops: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for shop in shops:
        table.add_row("", f"[bold]{shop['shop']}[/]", shop["overall_status"], _left(shop))
        for line in shop["milestones"]:
            table.add_row(
                _MARKS.get(line["status"], "[dim]○"),
                line["label"],
                line["status"].replace("_", " "),
                _figures(line),
            )
        if reason := (shop.get("coverage") or {}).get("reason"):
            table.add_row("", "", "", f"[dim]{reason}[/]")
    return table


def _left(shop: Mapping[str, Any]) -> str:
    return f"[dim]about {round(shop['eta_s'])} s left[/]" if shop.get("eta_s") else ""


def _figures(line: Mapping[str, Any]) -> str:
    if line.get("error"):
        return f"[red]{line['error']}[/]"
    progress = line.get("progress")
    if not progress:
        return f"{line['objects_seen']:,}" if line.get("objects_seen") else ""
    done = round(_BAR * progress["progress_pct"] / 100)
    bar = f"[blue]{'━' * done}[/][dim]{'━' * (_BAR - done)}[/]"
    return f"{bar} {progress['rows_written']:,} of {progress['total_rows']:,}"


@stores.command(params=simulator.params, context_settings=simulator.context_settings)
def simulate(**options: Any) -> None:
    """Serve a simulated Shopify on this machine, with the truth beside it."""
    end_with_parent()
    if simulator.callback is not None:
        simulator.callback(**options)
