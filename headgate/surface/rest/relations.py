"""Which relationship an embedded resource means, and what to say when none or several fit."""

from __future__ import annotations

from typing import Any

from headgate.db.catalog import Catalog, QName, Relationship
from headgate.surface.rest.errors import RestError
from headgate.surface.rest.hints import nearest


def find_relationship(
    catalog: Catalog, schema: str, origin: str, target: str, hint: str | None
) -> Relationship:
    """The one relationship from `origin` that `target` and `hint` name. Raises PGRST200 and PGRST201."""
    known = catalog.relationships.get((QName(schema, origin), schema), ())
    found = [r for r in known if _fits(r, target, hint)]
    if len(found) == 1:
        return found[0]
    raise _ambiguous(origin, target, found) if found else _missing(catalog, schema, origin, target, hint)


def _fits(r: Relationship, target: str, hint: str | None) -> bool:
    if r.function is not None:
        return target == r.function.name
    direct = r.kind != "m2m"
    here = r.columns[0][0] if direct and len(r.columns) == 1 else None
    there = r.columns[0][1] if direct and len(r.columns) == 1 else None
    if r.self_reference:
        if hint is None:
            return (target == r.foreign.name and r.kind == "o2m") or (target == here and r.kind == "m2o")
        return target == r.foreign.name and r.kind == "o2m" and hint == there
    if hint is None:
        by_key = (direct and target in (r.constraint, here)) and not r.foreign_is_view
        return target == r.foreign.name or by_key
    if target != r.foreign.name:
        return False
    return (
        hint in (r.constraint, here, there)
        if direct
        else r.junction is not None and hint == r.junction.table.name
    )


def _columns(names: list[str]) -> str:
    return f"({', '.join(names)})"


def describe(r: Relationship) -> dict[str, Any]:
    """A relationship as the details of an ambiguity list it."""
    if r.function is not None:
        return {}
    embedding = f"{r.table.name} with {r.foreign.name}"
    if r.junction is not None:
        j = r.junction
        return {
            "cardinality": "many-to-many",
            "embedding": embedding,
            "relationship": f"{j.table.name} using {j.constraint}{_columns([b for _, b in j.columns])}"
            f" and {j.constraint2}{_columns([b for _, b in j.columns2])}",
        }
    return {
        "cardinality": {"m2o": "many-to-one", "o2o": "one-to-one", "o2m": "one-to-many"}[r.kind],
        "embedding": embedding,
        "relationship": f"{r.constraint} using {r.table.name}{_columns([a for a, _ in r.columns])}"
        f" and {r.foreign.name}{_columns([b for _, b in r.columns])}",
    }


def _ambiguous(origin: str, target: str, found: list[Relationship]) -> RestError:
    def choice(r: Relationship) -> str:
        if r.function is not None:
            return ""
        return f"'{r.foreign.name}!{r.junction.table.name if r.junction else r.constraint}'"

    return RestError(
        300,
        "PGRST201",
        f"Could not embed because more than one relationship was found for '{origin}' and '{target}'",
        details=[describe(r) for r in found],
        hint=f"Try changing '{target}' to one of the following: {', '.join(choice(r) for r in found)}. "
        "Find the desired relationship in the 'details' key.",
    )


def _missing(catalog: Catalog, schema: str, origin: str, target: str, hint: str | None) -> RestError:
    using = f"' using the hint '{hint}" if hint is not None else ""
    return RestError(
        400,
        "PGRST200",
        f"Could not find a relationship between '{origin}' and '{target}' in the schema cache",
        details=f"Searched for a foreign key relationship between '{origin}' and '{target}{using}' "
        f"in the schema '{schema}', but no matches were found.",
        hint=_meant(catalog, schema, origin, target),
    )


def _meant(catalog: Catalog, schema: str, origin: str, target: str) -> str | None:
    known = catalog.relationships.get((QName(schema, origin), schema))
    if known is not None:
        children = [s for score, s in nearest((r.foreign.name for r in known), target) if score < 1]
        return f"Perhaps you meant '{children[0]}' instead of '{target}'." if children else None
    parents = nearest((t.name for t, s in catalog.relationships if s == schema), origin)
    return f"Perhaps you meant '{parents[0][1]}' instead of '{origin}'." if parents else None
