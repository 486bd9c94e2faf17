"""Which function a call means: by name, argument names and the body's type. Knows overloads; calls nothing."""

from __future__ import annotations

from headgate.db.catalog import Catalog, Function, QName
from headgate.surface.rest import media
from headgate.surface.rest.errors import RestError
from headgate.surface.rest.hints import nearest, nearest_name

UNNAMED = {
    media.TEXT: ("text",),
    media.XML: ("xml",),
    media.BINARY: ("bytea",),
    media.JSON: ("json", "jsonb"),
}
RAW = (media.TEXT, media.XML, media.BINARY)


def find_function(
    catalog: Catalog, name: QName, keys: frozenset[str], content: str, *, post: bool
) -> Function:
    """The function for these argument names. Raises PGRST202 where none fits and PGRST203 where several do."""
    overloads = catalog.functions.get(name, ())
    fitting = [f for f in overloads if _accepts(f, keys, content, post=post)]
    if not fitting and post:
        fitting = [f for f in overloads if takes_body(f, content)]
    if len(fitting) == 1:
        return fitting[0]
    raise _ambiguous(fitting) if fitting else _missing(catalog, name, sorted(keys), content, post=post)


def takes_body(function: Function, content: str) -> bool:
    """Whether the one parameter has no name and a type that the body can be as a whole."""
    if len(function.parameters) != 1:
        return False
    only = function.parameters[0]
    return only.name == "" and only.type in UNNAMED.get(content, ())


def _accepts(function: Function, keys: frozenset[str], content: str, *, post: bool) -> bool:
    if not function.parameters:
        return not keys and not (post and content in RAW)
    required = {p.name for p in function.parameters if p.required}
    optional = {p.name for p in function.parameters if not p.required}
    return keys - optional == required if required else keys <= optional


def _ambiguous(found: list[Function]) -> RestError:
    def signature(f: Function) -> str:
        return f"{f.schema}.{f.name}({', '.join(f'{p.name} => {p.type}' for p in f.parameters)})"

    return RestError(
        300,
        "PGRST203",
        f"Could not choose the best candidate function between: {', '.join(signature(f) for f in found)}",
        hint="Try renaming the parameters or the function itself in the database "
        "so function overloading can be resolved",
    )


def _missing(catalog: Catalog, name: QName, keys: list[str], content: str, *, post: bool) -> RestError:
    full = f"{name.schema}.{name.name}"
    raw = post and content in RAW
    listed = ", ".join(keys)
    plain = " without parameters"
    shown = "" if raw else f"({listed})" if keys else plain
    if raw:
        detail = f" with a single unnamed {UNNAMED[content][0]} parameter"
    else:
        detail = f" with parameter{'s' if len(keys) > 1 else ''} {listed}" if keys else plain
        if post and content == media.JSON:
            detail += " or with a single unnamed json/jsonb parameter"
    return RestError(
        404,
        "PGRST202",
        f"Could not find the function {full}{shown} in the schema cache",
        details=f"Searched for the function {full}{detail}, but no matches were found in the schema cache.",
        hint=None if raw else _meant(catalog, name, keys),
    )


def _meant(catalog: Catalog, name: QName, keys: list[str]) -> str | None:
    overloads = catalog.functions.get(name)
    if overloads is None:
        near = nearest_name((f.name for f in catalog.functions if f.schema == name.schema), name.name)
        return f"Perhaps you meant to call the function {name.schema}.{near}" if near else None
    signatures = [f"({', '.join(sorted(p.name for p in f.parameters))})" for f in overloads]
    found = nearest(signatures, f"({', '.join(keys)})")
    return f"Perhaps you meant to call the function {name.schema}.{name.name}{found[0][1]}" if found else None
