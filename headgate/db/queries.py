"""Named queries: SQL text lives in `.sql` files beside the module that uses it, never in Python strings."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from headgate.base.errors import DatabaseError

_NAME = re.compile(r"^--\s*name:\s*([a-z_][a-z0-9_]*)\s*$", re.MULTILINE)


class Queries:
    """The queries of one file as attributes: `Q.claim` is the text after `-- name: claim`."""

    def __init__(self, source: str, queries: dict[str, str]) -> None:
        self._source = source
        self._queries = queries

    def __getattr__(self, name: str) -> str:
        try:
            return self._queries[name]
        except KeyError:
            raise AttributeError(f"{self._source} has no query named {name!r}") from None

    def __dir__(self) -> list[str]:
        return sorted(self._queries)


@cache
def load(package: str, file: str) -> Queries:
    """The named queries of `file` in `package`. Raises DatabaseError HG211 if the file is not well-formed."""
    return parse(resources.files(package).joinpath(file).read_text(encoding="utf-8"), f"{package}/{file}")


def parse(text: str, source: str) -> Queries:
    """Split `text` at its `-- name:` lines. Every query has a name of its own and a body."""
    names = list(_NAME.finditer(text))
    if not names:
        raise _malformed(source, "it has no `-- name:` line")
    found: dict[str, str] = {}
    ends = [match.start() for match in names[1:]] + [len(text)]
    for match, end in zip(names, ends, strict=True):
        name, body = match.group(1), text[match.end() : end].strip().removesuffix(";").rstrip()
        if name in found:
            raise _malformed(source, f"the name `{name}` is there twice")
        if not body:
            raise _malformed(source, f"the query `{name}` is empty")
        found[name] = body
    return Queries(source, found)


def _malformed(source: str, why: str) -> DatabaseError:
    return DatabaseError(
        f"The query file {source} is malformed: {why}.",
        code="HG211",
        hint="Reinstall the package, or repair the file.",
    )
