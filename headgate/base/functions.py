"""What a function of an application gets and gives: an HTTP request and its answer, without any framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, kw_only=True)
class FunctionCall:
    """One call of a function. `path` is what follows the function's name (`""` or `/…`); `headers` have lower-case
    names; `claims` are the caller's, with `role`: pass them to `db.as_role` to act as the caller.
    """

    method: str
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    claims: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""

    def json(self) -> Any:
        """The body read as JSON; None when it is empty. Raises ValueError when it is none."""
        return orjson.loads(self.body) if self.body else None


@dataclass(frozen=True, kw_only=True)
class FunctionAnswer:
    """The answer: a status, headers, and a body as bytes."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


#: A function may answer with a `FunctionAnswer`, with bytes, with text, or with anything JSON can say; None is 204.
Function = Callable[[FunctionCall], Awaitable[Any]]
