"""Every method of supabase-py's query builder against a running server. Prints one line per check."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from postgrest.exceptions import APIError
from postgrest.types import CountMethod, ReturnMethod
from supabase import create_client

URL, ANON, SERVICE = sys.argv[1:4]
anon, db = create_client(URL, ANON), create_client(URL, SERVICE)
failed = 0


def check(name: str, run: Callable[[], Any]) -> None:
    """Run one check and say how it went."""
    global failed  # noqa: PLW0603 - the exit status of the program
    try:
        run()
        print(f"ok {name}")
    except Exception as error:  # every failure is reported
        failed += 1
        print(f"not ok {name}: {error!r}")


def code(query: Any) -> str:
    """The error code of a query that must fail."""
    try:
        query.execute()
    except APIError as error:
        return str(error.code)
    raise AssertionError("it did not fail")


def ids(query: Any) -> list[int]:
    """The ids of the rows."""
    return [row["id"] for row in query.execute().data]


def equal(got: Any, wanted: Any) -> None:
    """Fail with both values."""
    assert got == wanted, f"{got!r} is not {wanted!r}"


FILTERS: dict[str, tuple[Callable[[Any], Any], list[int]]] = {
    "eq": (lambda q: q.eq("id", 1), [1]),
    "neq": (lambda q: q.neq("id", 1), [2, 3, 4]),
    "gt": (lambda q: q.gt("id", 3), [4]),
    "gte": (lambda q: q.gte("id", 3), [3, 4]),
    "lt": (lambda q: q.lt("id", 2), [1]),
    "lte": (lambda q: q.lte("id", 2), [1, 2]),
    "like": (lambda q: q.like("name", "Windows%"), [1, 2]),
    "like_all_of": (lambda q: q.like_all_of("name", "W%,%7"), [1]),
    "like_any_of": (lambda q: q.like_any_of("name", "%7,IOS"), [1, 3]),
    "ilike": (lambda q: q.ilike("name", "%OS"), [3]),
    "is_": (lambda q: q.is_("client_id", None), [4]),
    "in_": (lambda q: q.in_("name", ["IOS", "Windows 7"]), [1, 3]),
    "contains": (lambda q: q.contains("data", {"os": {"bits": 64}}), [2]),
    "contained_by": (lambda q: q.contained_by("data", {"os": {"bits": 32}}), [1, 4]),
    "text_search": (lambda q: q.filter("name", "wfts(english)", "windows"), [1, 2]),
    "match": (lambda q: q.match({"id": 2, "client_id": 1}), [2]),
    "not_": (lambda q: q.not_.is_("client_id", None), [1, 2, 3]),
    "or_": (lambda q: q.or_("id.eq.1,and(id.gt.2,name.eq.IOS)"), [1, 3]),
    "filter": (lambda q: q.filter("id", "in", "(1,4)"), [1, 4]),
    "range": (lambda q: q.range(1, 2), [2, 3]),
    "limit and offset": (lambda q: q.limit(1).offset(2), [3]),
}


def reads() -> None:
    """Filters, embeds, counts, single rows and other formats."""
    for name, (apply, wanted) in FILTERS.items():
        check(
            name, lambda a=apply, w=wanted: equal(ids(a(anon.table("projects").select("id").order("id"))), w)
        )
    spans = {"range_gt": ([0, 3], [2]), "range_lt": ([5, 9], [1, 2])}
    for name, (value, wanted) in spans.items():
        check(
            name,
            lambda n=name, v=value, w=wanted: equal(
                ids(getattr(anon.table("spans").select("id").order("id"), n)("span", v)), w
            ),
        )
    embedded = (
        anon.table("projects")
        .select("name, clients(name), tasks(id)")
        .eq("id", 1)
        .order("id", foreign_table="tasks")
    )
    check(
        "embeds",
        lambda: equal(
            embedded.limit(1, foreign_table="tasks").single().execute().data,
            {"name": "Windows 7", "clients": {"name": "Microsoft"}, "tasks": [{"id": 1}]},
        ),
    )
    for count in CountMethod:
        check(
            f"count {count}",
            lambda c=count: equal(
                isinstance(anon.table("projects").select("*", count=c, head=True).execute().count, int), True
            ),
        )
    check(
        "maybe_single",
        lambda: equal(anon.table("clients").select("*").eq("id", 99).maybe_single().execute(), None),
    )
    check("single", lambda: equal(code(anon.table("clients").select("*").single()), "PGRST116"))
    check(
        "csv",
        lambda: equal(anon.table("clients").select("id").order("id").limit(1).csv().execute().data, "id\n1"),
    )
    check("explain refused", lambda: equal(code(anon.table("clients").select("*").explain()), "PGRST107"))
    check("missing table", lambda: equal(code(anon.table("project").select("*")), "PGRST205"))
    check("schema refused", lambda: equal(code(anon.schema("private").table("x").select("*")), "PGRST106"))


def writes() -> None:
    """Inserts, upserts, updates, deletes and calls."""
    check(
        "insert",
        lambda: equal(
            db.table("clients").insert({"id": 200, "name": "n"}).execute().data, [{"id": 200, "name": "n"}]
        ),
    )
    check(
        "insert minimal",
        lambda: equal(
            db.table("clients")
            .insert({"id": 201, "name": "n"}, returning=ReturnMethod.minimal)
            .execute()
            .data,
            [],
        ),
    )
    check(
        "bulk with defaults",
        lambda: equal(
            len(
                db.table("counters")
                .insert([{"label": "r"}, {"label": "s", "hits": 2}], default_to_null=False)
                .execute()
                .data
            ),
            2,
        ),
    )
    check(
        "upsert",
        lambda: equal(
            db.table("counters")
            .upsert({"label": "r", "hits": 8}, on_conflict="label")
            .execute()
            .data[0]["hits"],
            8,
        ),
    )
    check(
        "upsert ignored",
        lambda: equal(
            db.table("counters")
            .upsert({"label": "r"}, on_conflict="label", ignore_duplicates=True)
            .execute()
            .data,
            [],
        ),
    )
    check(
        "update",
        lambda: equal(db.table("counters").update({"hits": 5}).eq("label", "s").execute().data[0]["hits"], 5),
    )
    check(
        "delete", lambda: equal(len(db.table("counters").delete().in_("label", ["r", "s"]).execute().data), 2)
    )
    check("clean", lambda: db.table("clients").delete().gte("id", 200).execute())
    check("duplicate", lambda: equal(code(db.table("clients").insert({"id": 1, "name": "x"})), "23505"))
    check(
        "max affected",
        lambda: equal(code(db.table("tasks").update({"name": "X"}).gt("id", 0).max_affected(1)), "PGRST124"),
    )
    check("rpc", lambda: equal(anon.rpc("add", {"a": 1, "b": 2}).execute().data, 3))
    check("rpc by get", lambda: equal(anon.rpc("add", {"a": 1}, get=True).execute().data, 11))
    check(
        "rpc with filters",
        lambda: equal(
            anon.rpc("find_projects", {"lowest": 0}).select("id").eq("id", 3).execute().data, [{"id": 3}]
        ),
    )
    check("rpc missing", lambda: equal(code(anon.rpc("nothing_such", {})), "PGRST202"))
    check(
        "anon may not write",
        lambda: equal(code(anon.table("clients").insert({"id": 9, "name": "x"})), "42501"),
    )


if __name__ == "__main__":
    reads()
    writes()
    sys.exit(1 if failed else 0)
