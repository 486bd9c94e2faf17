"""`headgate stores`: connect shops, start and watch syncs, reconcile, simulate a Shopify."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from headgate.apps.stores import members as people
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
from headgate.cli.ports import ensure_free
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


_LEFT_ALONE = "select exists (select from control.hosts where host = %s and breaker <> 'closed')"


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
        raise SettingsError(error.message, code="HG121") from None
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
        raise SettingsError(
            f"{shop!r} is no shop.", code="HG120", hint="Use name.myshopify.com, or only the name."
        )

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
    if wanted is not None and _uuid(wanted) is not None:
        raise SettingsError(f"There is no brand {wanted}.", code="HG120", hint="A name makes a new one.")
    if owner is not None and not await _is_user(db, owner):
        raise SettingsError(f"{owner!r} is no user's id.", code="HG120", hint="The console lists the users.")
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


@stores.command()
@click.option("--brand", help="Id or name of the brand; without it, the only one, or all are listed.")
@click.option(
    "--add", metavar="ADDRESS", help="Make the holder of this address a member, or change the role."
)
@click.option("--role", type=click.Choice(people.ROLES), default="viewer", show_default=True)
@click.option("--remove", metavar="ADDRESS", help="End this membership, or withdraw this invitation.")
@database_options
def members(brand: str | None, add: str | None, role: str, remove: str | None, **options: Any) -> None:
    """List who belongs to a brand; add or remove somebody. An address without an account is invited."""

    async def work(db: Database, _: Settings) -> None:
        number = await _known_brand(db, brand, needed=bool(add or remove))
        if add and number:
            click.echo(f"{add}: {await people.add(db, number, add, role)}, {role}")
        if remove and number:
            await people.remove(db, number, remove)
            click.echo(f"{remove}: removed")
        if not add and not remove:
            table = Table(box=None, pad_edge=False)
            for head in ("brand", "who", "role", "state"):
                table.add_column(head)
            for row in await people.listed(db, number):
                table.add_row(row["brand"], row["who"], row["role"], row["state"])
            _console.print(table)

    _run(options, work)


async def _known_brand(db: Database, wanted: str | None, *, needed: bool) -> UUID | None:
    """The brand that is meant, which has to be there; None for all. Raises SettingsError HG119 or HG120."""
    rows = await db.fetch_all("select id, name from stores.brands order by created_at")
    found = [row["id"] for row in rows if wanted is None or wanted in (str(row["id"]), row["name"])]
    if not found and (wanted or needed):
        named = f"There is no brand {wanted}." if wanted else "There is no brand yet."
        raise SettingsError(named, code="HG120", hint="`headgate stores connect` makes one.")
    if len(found) > 1 and (wanted or needed):
        names = ", ".join(f"{row['name']} ({row['id']})" for row in rows if row["id"] in found)
        raise SettingsError(
            f"There are several such brands: {names}.", code="HG119", hint="Name one by its id with --brand."
        )
    return UUID(str(found[0])) if len(found) == 1 else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def _is_user(db: Database, text: str) -> bool:
    number = _uuid(text)
    known = "select exists (select from auth.users where id = %s and deleted_at is null)"
    return number is not None and bool(await db.fetch_value(known, (number,)))


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
        for row in rows:
            await _now(db, "stores.recent_sync", row, key=f"stores:{row['shop_domain']}")
        if watch:
            await _somebody_works(db)
            await _watch(
                db, [row["id"] for row in rows], coming=lambda: _going(db, "stores.recent_sync", rows)
            )
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
            await _now(db, "stores.reconcile", row)
            if not wait:
                click.echo(f"{row['shop_domain']}: queued")
                continue
            await _somebody_works(db)
            with _console.status(f"Comparing {row['shop_domain']}"):
                while (found := await db.fetch_value(newest, (row["id"],))) == before:
                    await _going(db, "stores.reconcile", [row])
                    await asyncio.sleep(_REFRESH_S)
            failed |= not await _report(db, row["shop_domain"], found)

    _run(options, work)
    if failed:
        raise click.exceptions.Exit(1)


async def _now(db: Database, kind: str, row: Mapping[str, Any], *, key: str | None = None) -> None:
    """Have a job about a connection run now; one that waits for its next attempt is woken."""
    number = str(row["id"])
    async with db.transaction() as conn:
        made = await enqueue(conn, kind, {"connection_id": row["id"]}, key=key, unique=number, priority=20)
        if made is None:
            await conn.execute(
                "select control.retry_job(id) from control.jobs"
                " where kind = %s and unique_key = %s and state = 'scheduled'",
                (kind, number),
            )


async def _somebody_works(db: Database) -> None:
    """Raises JobError HG320 when there is no worker that could do what was queued."""
    alive = "select exists (select from control.workers where stopped_at is null and lease_until > clock_timestamp())"
    if not await db.fetch_value(alive):
        raise JobError(
            "It is queued, but no worker runs.",
            code="HG320",
            hint="Start one: `headgate up` or `headgate work`.",
        )


async def _going(db: Database, kind: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether such a job of one of the connections waits or runs.

    Raises JobError HG321 when the newest one has failed, even if it is tried again.
    """
    going = False
    for row in rows:
        job = await db.fetch_one(
            "select state, error_code, error from control.jobs where kind = %s and unique_key = %s"
            " order by id desc limit 1",
            (kind, str(row["id"])),
        )
        if job and job["error_code"] and job["state"] in ("scheduled", "failed", "cancelled"):
            again = "It is tried again." if job["state"] == "scheduled" else "It is not tried again."
            why = str(job["error"]).splitlines()[0][:300]
            raise JobError(f"{row['shop_domain']}: {why} ({job['error_code']}) {again}", code="HG321")
        if job and job["state"] == "scheduled" and await db.fetch_value(_LEFT_ALONE, (row["shop_domain"],)):
            alone = "failed too often and is left alone for a while"
            raise JobError(f"{row['shop_domain']} {alone} (HG412). It is tried again.", code="HG321")
        going |= bool(job and job["state"] in ("scheduled", "ready", "running"))
    return going


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


async def _watch(
    db: Database, numbers: list[int], *, coming: Callable[[], Awaitable[bool]] | None = None
) -> None:
    """Show progress until no shop is syncing, nor one that was just queued is `coming`; it may raise why it is not."""
    begun = False
    with Live(console=_console, refresh_per_second=4) as live:
        while True:
            told = await _told(db, numbers)
            live.update(_picture(told))
            syncing = any(one["overall_status"] == "syncing" for one in told)
            begun = begun or syncing
            if not syncing and (begun or coming is None or not await coming()):
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
    ensure_free(options["host"], options["port"], option="--port")
    if simulator.callback is not None:
        simulator.callback(**options)
