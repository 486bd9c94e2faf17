"""Rows as clients get them: PostgreSQL's texts as JSON values of the column's type."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from headgate.surface.realtime.pgoutput import Change, Texts

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_ZONE = re.compile(r"([+-]\d\d)$")
Convert = Callable[[str], Any]


def _number(text: str) -> Any:
    return orjson.Fragment(text) if _NUMBER.fullmatch(text) else text  # NaN and infinities have no JSON form


def _timestamp(text: str) -> str:
    return text.replace(" ", "T", 1)


def _timestamptz(text: str) -> str:
    return _ZONE.sub(r"\1:00", text.replace(" ", "T", 1))


_CONVERT: dict[str, Convert] = {
    **dict.fromkeys(("int2", "int4", "int8", "oid", "float4", "float8", "numeric"), _number),
    "bool": lambda text: text == "t",
    "json": orjson.Fragment,
    "jsonb": orjson.Fragment,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
}


def convert(text: str | None, kind: str) -> Any:
    """A value as JSON; arrays of a known type become lists."""
    if text is None:
        return None
    if kind.startswith("_"):
        return _array(text, _CONVERT.get(kind[1:], str))
    found = _CONVERT.get(kind)
    return found(text) if found else text


_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^{},"]+)|([{},])')


def _array(text: str, element: Convert) -> Any:
    """`{1,2,NULL,"a b"}` as a list; other lower bounds than 1 are dropped."""
    text = text[text.index("{") :]
    stack: list[list[Any]] = [[]]
    for quoted, plain, mark in _ELEMENT.findall(text):
        if mark == "{":
            stack.append([])
        elif mark == "}":
            done = stack.pop()
            stack[-1].append(done)
        elif plain:
            stack[-1].append(None if plain.upper() == "NULL" else element(plain))
        elif mark != ",":
            stack[-1].append(element(re.sub(r"\\(.)", r"\1", quoted)))
    return stack[0][0] if stack[0] else []


def document(texts: Texts, types: dict[str, str]) -> dict[str, Any]:
    """A row for `jsonb_populate_record`: JSON stays JSON, everything else is the text that its type reads."""
    return {
        name: orjson.Fragment(text) if text is not None and types.get(name) in ("json", "jsonb") else text
        for name, text in texts.items()
    }


def data(change: Change, columns: frozenset[str], types: dict[str, str], more: dict[str, Any]) -> bytes:
    """The `data` of a push with these columns only. `more`: its `cursor`, and whether to show the `old` row."""
    relation = change.relation
    shown = [name for name in relation.columns if name in columns]
    body: dict[str, Any] = {
        "schema": relation.schema,
        "table": relation.table,
        "commit_timestamp": change.transaction.at,
        "type": change.kind,
        "columns": [{"name": name, "type": types[name]} for name in shown],
        "errors": None,
        "cursor": more["cursor"],
    }
    if change.kind != "DELETE":
        body["record"] = _row(change.new, shown, types)
    if change.kind != "INSERT":
        body["old_record"] = _row(change.old if more["old"] else None, shown, types)
    return orjson.dumps(body)


def _row(texts: Texts | None, shown: Iterable[str], types: dict[str, str]) -> dict[str, Any]:
    return (
        {} if texts is None else {name: convert(texts[name], types[name]) for name in shown if name in texts}
    )
