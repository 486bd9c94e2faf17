"""Every method of supabase-py's query builder against a running server, with the sync and the async client.

Prints a table of methods at the end and exits with 1 if a check failed or a method was never called.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import postgrest
from postgrest import APIError, base_request_builder
from postgrest._async import client as async_client
from postgrest._async import request_builder as async_builder
from postgrest._sync import client as sync_client
from postgrest._sync import request_builder as sync_builder
from postgrest.types import CountMethod, ReturnMethod
from supabase import acreate_client, create_client

URL, ANON, SERVICE = sys.argv[1:4]
MODULES = (base_request_builder, sync_builder, async_builder, sync_client, async_client)
INNER = {"send", "should_retry", "to_httpx", "from_http_request_response", "auth", "aclose", "create_session"}
methods: dict[str, list[int]] = {}  # name → calls, passed, failed
inside: set[str] = set()
failures: list[str] = []
Run = Callable[[Any], Awaitable[Any]]
Check = Callable[[Any, Any, Run], Awaitable[None]]
CHECKS: list[Check] = []


def watched(name: str, method: Any) -> Any:
    """A method that notes that it was called."""

    @functools.wraps(method)
    def noted(*args: Any, **options: Any) -> Any:
        inside.add(name)
        methods[name][0] += 1
        return method(*args, **options)

    return noted


def watch() -> None:
    """Note the calls of every public method of the builders and clients."""
    for module in MODULES:
        for kind in vars(module).values():
            if not inspect.isclass(kind) or kind.__module__ != module.__name__:
                continue
            if not kind.__name__.removeprefix("Async").removeprefix("Sync").endswith(("Builder", "Client")):
                continue
            for name, method in list(vars(kind).items()):
                if name.startswith("_") or name in INNER or not inspect.isfunction(method):
                    continue
                methods.setdefault(name, [0, 0, 0])
                setattr(kind, name, watched(name, method))


def check(run: Check) -> Check:
    """Add a check, by its name."""
    CHECKS.append(run)
    return run


def equal(got: Any, wanted: Any) -> None:
    """Fail with both values."""
    assert got == wanted, f"{got!r} is not {wanted!r}"


async def code(run: Run, query: Any) -> str:
    """The code of the error that a query must end in."""
    try:
        reply = await run(query)
    except APIError as error:
        return str(error.code)
    raise AssertionError(f"no error, but {reply!r}")


def filters(q: Callable[[], Any]) -> Iterator[tuple[Any, list[int]]]:
    """Queries with each filter, and the ids they find."""
    yield q().eq("id", 1), [1]
    yield q().eq("facts->>year", "1971"), [2]
    yield q().neq("id", 1), [2, 3, 4]
    yield q().gt("price", 9), [1, 3]
    yield q().gte("price", 9.5), [1, 3]
    yield q().lt("price", 9), [2]
    yield q().lte("facts->year", 1971), [2, 3]
    yield q().like("title", "The %"), [1, 2]
    yield q().like_all_of("title", "The%,%Heaven"), [2]
    yield q().like_any_of("title", "Sol%,Unt%"), [3, 4]
    yield q().ilike("title", "the %"), [1, 2]
    yield q().ilike_all_of("title", "the%,%heaven"), [2]
    yield q().ilike_any_of("title", "SOL%,UNT%"), [3, 4]
    yield q().is_("price", None), [4]
    yield q().is_("printed", True), [1, 2]
    yield q().in_("title", ["Solaris", "Untitled", 'with, (odd) "signs"']), [3, 4]
    yield q().contains("tags", ["dreams"]), [2, 3]
    yield q().contains("facts", {"awards": ["hugo"]}), [1]
    yield q().contains("pages", "[250,260)"), [1, 3]
    yield q().contained_by("tags", ["dreams", "ocean"]), [2, 3, 4]
    yield q().contained_by("facts", {"year": 1961, "more": 1}), [3, 4]
    yield q().cs("tags", ["moon"]), [1]
    yield q().cd("tags", ["dreams"]), [2, 4]
    yield q().ov("tags", ["moon", "ocean"]), [1, 3]
    yield q().overlaps("tags", ["moon", "ocean"]), [1, 3]
    yield q().range_gt("pages", (1, 200)), [3]
    yield q().range_gte("pages", (2, 250)), [3]
    yield q().range_lt("pages", (299, 500)), [2, 3]
    yield q().range_lte("pages", (1, 300)), [2, 3]
    yield q().range_adjacent("pages", (299, 400)), [3]
    yield q().sr("pages", (1, 200)), [3]
    yield q().nxl("pages", (2, 250)), [3]
    yield q().sl("pages", (299, 500)), [2, 3]
    yield q().nxr("pages", (1, 300)), [2, 3]
    yield q().adj("pages", (299, 400)), [3]
    yield q().fts("words", "dispossessed|solaris"), [1, 3]
    yield q().plfts("words", "lathe heaven"), [2]
    yield q().phfts("words", "lathe of heaven"), [2]
    yield q().wfts("words", "heaven or solaris"), [2, 3]
    yield q().match({"author_id": 1, "price": 8}), [2]
    yield q().not_.is_("author_id", None), [1, 2, 3]
    yield q().not_.in_("id", [1, 2]), [3, 4]
    yield q().or_("id.eq.1,and(price.gt.10,title.not.like.The*)"), [1, 3]
    yield q().filter("id", "in", "(1,4)"), [1, 4]
    yield q().limit(2), [1, 2]
    yield q().range(1, 2), [2, 3]
    yield q().limit(1).offset(2), [3]
    yield (
        q().text_search("words", "heaven or solaris", {"type": "web_search", "config": "english"}),
        [2, 3],
    )


@check
async def every_filter(anon: Any, admin: Any, run: Run) -> None:
    for query, wanted in filters(lambda: anon.table("books").select("id").order("id")):
        found = [row["id"] for row in (await run(query)).data]
        assert found == wanted, f"{query.request.params}: {found} is not {wanted}"


@check
async def select_embeds_and_spreads(anon: Any, admin: Any, run: Run) -> None:
    query = anon.from_("books").select(
        "name:title, cost:price::text, year:facts->year, authors(name), genres(name)"
    )
    equal(
        (await run(query.eq("id", 2).single())).data,
        {
            "name": "The Lathe of Heaven", "cost": "8.00", "year": 1971, "authors": {"name": "Ursula"},
            "genres": [{"name": "science fiction"}],
        },
    )  # fmt: skip
    spread = anon.from_("authors").select("name, ...books(titles:title)").eq("id", 2).single()
    equal((await run(spread)).data, {"name": "Stanislaw", "titles": ["Solaris"]})
    inner = anon.from_("authors").select("name", "books!inner(title)").eq("books.title", "Solaris")
    equal((await run(inner)).data, [{"name": "Stanislaw", "books": [{"title": "Solaris"}]}])


@check
async def or_order_limit_inside_embeds(anon: Any, admin: Any, run: Run) -> None:
    query = anon.from_("authors").select("id, books(id)").or_("id.eq.1,price.gt.12", reference_table="books")
    equal([[b["id"] for b in a["books"]] for a in (await run(query.order("id"))).data], [[1], [3], []])
    last = anon.from_("authors").select("books(id)").eq("id", 1).order("id", desc=True, foreign_table="books")
    equal((await run(last.limit(1, foreign_table="books").single())).data, {"books": [{"id": 2}]})
    part = anon.from_("authors").select("books(id)").eq("id", 1).order("id", foreign_table="books")
    equal((await run(part.range(1, 1, foreign_table="books").single())).data, {"books": [{"id": 2}]})


@check
async def order_with_nulls(anon: Any, admin: Any, run: Run) -> None:
    first = anon.table("books").select("id").order("price", nullsfirst=True)
    equal([r["id"] for r in (await run(first)).data], [4, 2, 1, 3])
    last = anon.table("books").select("id").order("price", desc=True, nullsfirst=False)
    equal([r["id"] for r in (await run(last)).data], [3, 1, 2, 4])


@check
async def counts_and_head(anon: Any, admin: Any, run: Run) -> None:
    for count in CountMethod:
        reply = await run(anon.table("books").select("*", count=count, head=True))
        assert isinstance(reply.count, int), count
    reply = await run(anon.table("books").select("id", count=CountMethod.exact).range(0, 1))
    equal((reply.count, len(reply.data)), (4, 2))


@check
async def single_and_maybe_single(anon: Any, admin: Any, run: Run) -> None:
    equal(
        (await run(anon.table("genres").select("*").eq("id", 2).single())).data, {"id": 2, "name": "utopia"}
    )
    equal(await code(run, anon.table("genres").select("*").single()), "PGRST116")
    found = await run(anon.table("genres").select("*").eq("id", 2).maybe_single())
    equal(found.data, {"id": 2, "name": "utopia"})
    equal(await run(anon.table("genres").select("*").eq("id", 9).maybe_single()), None)


@check
async def csv_explain_strip_nulls_retry(anon: Any, admin: Any, run: Run) -> None:
    text = (await run(anon.table("genres").select("*").order("id").csv())).data
    equal(text, 'id,name\n1,"science fiction"\n2,utopia')
    assert "cost=" in await run(anon.table("books").select("id").explain())
    plan = await run(anon.table("books").select("id").explain(analyze=True, format="json"))
    assert "Plan" in plan.data[0]
    equal((await run(anon.table("authors").select("id, born").eq("id", 3).strip_nulls())).data, [{"id": 3}])
    equal(len((await run(anon.table("books").select("id").retry(False))).data), 4)


@check
async def schemas_and_tables(anon: Any, admin: Any, run: Run) -> None:
    letters = [{"id": 1, "body": "Dear reader"}]
    equal((await run(anon.schema("archive").table("letters").select("*"))).data, letters)
    equal((await run(anon.schema("archive").from_table("letters").select("*"))).data, letters)
    equal((await run(anon.schema("archive").rpc("count_letters", {}))).data, 1)
    equal(await code(run, anon.schema("private").table("x").select("*")), "PGRST106")
    equal(await code(run, anon.table("book").select("*")), "PGRST205")


@check
async def insert(anon: Any, admin: Any, run: Run) -> None:
    equal((await run(admin.table("genres").insert({"id": 10, "name": "t"}))).data, [{"id": 10, "name": "t"}])
    quiet = admin.table("genres").insert({"id": 11, "name": "e"}, returning=ReturnMethod.minimal)
    equal((await run(quiet)).data, [])
    rows = [{"title": "x"}, {"title": "y", "sold": 3}]
    filled = await run(admin.table("books").insert(rows, default_to_null=False, count=CountMethod.exact))
    equal((filled.count, [r["sold"] for r in filled.data]), (2, [0, 3]))
    equal(await code(run, admin.table("books").insert(rows)), "23502")
    equal(await code(run, admin.table("genres").insert({"id": 10, "name": "z"})), "23505")
    equal(await code(run, anon.table("genres").insert({"id": 12, "name": "z"})), "42501")


@check
async def upsert(anon: Any, admin: Any, run: Run) -> None:
    equal((await run(admin.table("genres").upsert({"id": 10, "name": "T"}))).data, [{"id": 10, "name": "T"}])
    by_name = admin.table("authors").upsert({"name": "Ursula", "country": "US"}, on_conflict="name")
    equal((await run(by_name)).data[0]["id"], 1)
    ignored = admin.table("genres").upsert({"id": 10, "name": "no"}, ignore_duplicates=True)
    equal((await run(ignored)).data, [])
    rows = [{"id": 900, "title": "p"}, {"id": 901, "title": "q", "sold": 2}]
    filled = await run(admin.table("books").upsert(rows, default_to_null=False))
    equal([r["sold"] for r in filled.data], [0, 2])


@check
async def update_with_limits(anon: Any, admin: Any, run: Run) -> None:
    changed = await run(
        admin.table("books").update({"sold": 9}, count=CountMethod.exact).in_("title", ["x", "y"])
    )
    equal((changed.count, [r["sold"] for r in changed.data]), (2, [9, 9]))
    equal(await code(run, admin.table("books").update({"sold": 1}).gt("id", 0).max_affected(1)), "PGRST124")
    chosen = admin.table("books").update({"sold": 8}).eq("title", "x").max_affected(1).select("sold")
    equal((await run(chosen)).data, [{"sold": 8}])


@check
async def delete(anon: Any, admin: Any, run: Run) -> None:
    gone = await run(admin.table("genres").delete(count=CountMethod.exact).gte("id", 10))
    equal((gone.count, len(gone.data)), (2, 2))
    quiet = admin.table("books").delete(returning=ReturnMethod.minimal).gt("id", 4)
    equal((await run(quiet)).data, [])


@check
async def rpc(anon: Any, admin: Any, run: Run) -> None:
    equal((await run(anon.rpc("add", {"a": 1, "b": 2}))).data, 3)
    equal((await run(anon.rpc("add", {"a": 1}, get=True))).data, 11)
    head = await run(anon.rpc("books_over", {"lowest": 9}, count=CountMethod.exact, head=True))
    equal(head.count, 2)
    embedded = anon.rpc("books_over", {"lowest": 0}).select("id, authors(name)").eq("id", 3)
    equal((await run(embedded)).data, [{"id": 3, "authors": {"name": "Stanislaw"}}])
    one = anon.rpc("books_over", {"lowest": 10}).select("id").single()
    equal((await run(one)).data, {"id": 3})
    perhaps = anon.rpc("books_over", {"lowest": 100}).select("id").maybe_single()
    equal(await run(perhaps), None)
    equal((await run(anon.rpc("books_over", {"lowest": 10}).select("id").csv())).data, "id\n3")
    equal(await code(run, anon.rpc("nothing_such", {})), "PGRST202")


async def everything(kind: str, anon: Any, admin: Any) -> None:
    """All checks with one pair of clients."""

    async def run(query: Any) -> Any:
        reply = query.execute()
        return await reply if inspect.isawaitable(reply) else reply

    for one in CHECKS:
        inside.clear()
        name, place = f"{kind} {one.__name__}", 1
        try:
            await one(anon, admin, run)
            print(f"ok {name}")
        except Exception as error:  # every failure is reported, and the next check runs
            failures.append(name)
            place = 2
            print(f"not ok {name}: {error!r}")
        for used in inside:
            methods[used][place] += 1


async def main() -> int:
    """Run both kinds of client; print the table."""
    watch()
    print(f"supabase-py with postgrest {postgrest.__version__}")
    await everything("sync", create_client(URL, ANON), create_client(URL, SERVICE))
    await everything("async", await acreate_client(URL, ANON), await acreate_client(URL, SERVICE))
    for name, (calls, passed, bad) in sorted(methods.items()):
        verdict = "FAIL" if bad else "pass" if passed else "NEVER CALLED"
        print(f"{name:16} {calls:4} calls  {verdict}")
    passing = sum(1 for _, passed, bad in methods.values() if passed and not bad)
    print(f"{passing} of {len(methods)} methods pass")
    return int(bool(failures) or passing < len(methods))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
