"""`/functions/v1/NAME`: Python functions of the applications, called as Supabase's edge functions are.

Runs the function and says what went wrong; decides nothing else. A function's own failure is a 500 without details;
what the service itself refuses carries `x-relay-error`, as clients expect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
import structlog

from headgate.base.functions import Function, FunctionAnswer, FunctionCall
from headgate.surface.callers import CallerError, Callers

log = structlog.get_logger(__name__)
PREFIX = "/functions/v1"
_JSON = "application/json"


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = _json(status, {"code": code, "message": message}, {"x-relay-error": "true"})


class FunctionsService:
    """The registry and its calls. `timeout_s` bounds one call, `max_body_bytes` what it is sent."""

    def __init__(
        self, functions: Mapping[str, Function], callers: Callers, *, timeout_s: float, max_body_bytes: int
    ) -> None:
        self.functions = dict(functions)
        self._callers = callers
        self._timeout_s = timeout_s
        self._most = max_body_bytes

    async def start(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Call the function that the path names."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 4404, "reason": "functions have no websockets"})
            return
        try:
            name, call = await self._read(scope, receive)
            answer = await self._run(name, call)
        except _Refused as refused:
            answer = refused.answer
        headers = {"content-length": str(len(answer.body)), **answer.headers}
        if answer.status == 204:
            del headers["content-length"]
        raw = [(_header(k.lower()), _header(v)) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    async def _read(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    ) -> tuple[str, FunctionCall]:
        name, slash, rest = scope["path"].removeprefix(PREFIX).removeprefix("/").partition("/")
        try:
            caller = await self._callers.of(scope["headers"], scope["query_string"])
        except CallerError as error:
            raise _Refused(401, "UNAUTHORIZED", error.message) from None
        if name not in self.functions:
            raise _Refused(404, "NOT_FOUND", "Requested function was not found")
        body = await self._body(receive)
        headers: dict[str, str] = {}
        for key, value in scope["headers"]:
            headers.setdefault(key.decode("latin-1").lower(), value.decode("latin-1"))
        return name, FunctionCall(
            method=scope["method"],
            path=slash + rest,
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            headers=headers,
            body=body,
            claims=caller.claims,
            request_id=scope.get("state", {}).get("request_id", ""),
        )

    async def _body(self, receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Refused(400, "BAD_REQUEST", "The request ended before its body did")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > self._most:
                raise _Refused(413, "TOO_LARGE", f"The body is longer than {self._most} bytes")
        return b"".join(parts)

    async def _run(self, name: str, call: FunctionCall) -> FunctionAnswer:
        try:
            async with asyncio.timeout(self._timeout_s) as clock:
                return _answer(await self.functions[name](call))
        except TimeoutError:
            if not clock.expired():
                return self._failed(name)
            log.warning("function_too_slow", function=name, timeout_s=self._timeout_s)
            text = f"The function did not answer within {self._timeout_s:g} s"
            raise _Refused(504, "TIMEOUT", text) from None
        except Exception:
            return self._failed(name)

    @staticmethod
    def _failed(name: str) -> FunctionAnswer:
        log.exception("function_failed", function=name)
        return _json(500, {"code": "INTERNAL", "message": "The function failed; the log has more."})


def _answer(value: Any) -> FunctionAnswer:
    if isinstance(value, FunctionAnswer):
        return value
    if value is None:
        return FunctionAnswer(status=204)
    if isinstance(value, (bytes, bytearray)):
        return FunctionAnswer(body=bytes(value), headers={"content-type": "application/octet-stream"})
    if isinstance(value, str):
        return FunctionAnswer(body=value.encode(), headers={"content-type": "text/plain; charset=utf-8"})
    return _json(200, value)


def _json(status: int, value: Any, headers: Mapping[str, str] | None = None) -> FunctionAnswer:
    return FunctionAnswer(
        status=status, body=orjson.dumps(value), headers={"content-type": _JSON, **(headers or {})}
    )


def _header(text: str) -> bytes:
    return text.replace("\r", " ").replace("\n", " ").encode("latin-1", "replace")
