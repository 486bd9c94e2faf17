"""The one door to the outside: polite, bounded, guarded GET requests.

Every request passes the URL guard, robots.txt, the host's rate limit and breaker; every reply is read within caps
and reported to the host's row. Redirects are followed by hand, each hop like a request of its own. Bot protection
is never evaded: who does not want us is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Literal, Self

from yarl import URL

from headgate.base import address, log
from headgate.base.address import Target
from headgate.base.clock import monotonic, now
from headgate.base.metrics import FETCH_SECONDS, FETCHES
from headgate.db import Database
from headgate.engine import limits, robots
from headgate.engine.body import ENCODINGS, Body
from headgate.engine.fetch_errors import (
    BadRedirect,
    Blocked,
    BreakerOpen,
    BrokenReply,
    Disallowed,
    FetchError,
    HttpStatus,
    NotRecorded,
    RateLimited,
    TimedOut,
    TooLarge,
    UnsafeAddress,
)
from headgate.engine.record import Recorder, Recording, harmless, is_secret_name, safe_url
from headgate.engine.transport import AioTransport, Answer, Caps, Request, Transport

__all__ = [
    "AioTransport",
    "Answer",
    "BadRedirect",
    "Blocked",
    "BreakerOpen",
    "BrokenReply",
    "Caps",
    "Disallowed",
    "FetchError",
    "Fetcher",
    "HttpStatus",
    "NotRecorded",
    "RateLimited",
    "Reply",
    "Request",
    "TimedOut",
    "TooLarge",
    "Transport",
    "UnsafeAddress",
]

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ROBOTS_TIMEOUT_S = 15.0
# Headers that belong to the connection, not to the caller.
_OWN_HEADERS = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "accept-encoding",
        "te",
        "upgrade",
        "expect",
    }
    | {"proxy-authorization", "user-agent"}
)
_log = log.get("engine.fetch")


@dataclass(frozen=True)
class Reply:
    """What came back. `url` is where it came from after redirects; header names are lower case; `body` is plain."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float
    not_modified: bool
    fetched_at: datetime

    @property
    def etag(self) -> str | None:
        """The validator for the next conditional request."""
        return self.headers.get("etag")

    @property
    def last_modified(self) -> str | None:
        """The other validator."""
        return self.headers.get("last-modified")


@dataclass(frozen=True)
class _Hop:
    """What stays the same over the hops of one `get`, and what a hop may lose (headers)."""

    headers: Mapping[str, str]
    max_bytes: int
    ends: float
    wait_s: float
    want: Literal["json"] | None
    robots: bool


class Fetcher:
    """Fetches for one process; any number of them, anywhere, share the hosts' limits through the database."""

    def __init__(
        self,
        db: Database,
        *,
        user_agent: str,
        allow_private: Collection[str] = frozenset(),
        transport: Transport | None = None,
        recorder: Recorder | None = None,
        caps: Caps | None = None,
    ) -> None:
        self._db = db
        self._agent = user_agent
        self._allow = frozenset(entry.strip().lower() for entry in allow_private if entry.strip())
        self._transport = transport or AioTransport(allow_private=self._allow)
        self._recorder = recorder
        self._caps = caps or Caps()
        self._robots = robots.Robots(db, user_agent)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection to upstreams."""
        await self._transport.close()

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        etag: str | None = None,
        last_modified: str | None = None,
        max_bytes: int = 20_000_000,
        timeout_s: float = 30.0,
        robots: bool = True,
        wait_s: float = 0.0,
        want: Literal["json"] | None = None,
    ) -> Reply:
        """Fetch `url`, following up to five redirects.

        `etag` and `last_modified` make the request conditional; a 304 comes back with `not_modified` and no body.
        `max_bytes` bounds the body before and after decompression, `timeout_s` everything but waiting for a slot.
        If the host's next slot is further off than `wait_s` seconds, RateLimited is raised at once. With
        `want="json"` a page in place of JSON is Blocked and counts against the host.
        Raises HttpStatus for 400 and above, and the other kinds of FetchError; each knows `retryable`.
        """
        sent = self._headers(headers, etag, last_modified, want)
        hop = _Hop(sent, max_bytes, timeout_s, wait_s, want, robots)
        target = address.parse(url, self._allow)
        for _ in range(MAX_REDIRECTS + 1):
            started = monotonic()
            reply, spent = await self._hop(target, hop)
            if reply.status not in _REDIRECTS:
                return self._checked(reply)
            onward = self._next(target, reply)
            # Further hops wait for their slots: giving up here would ask for the first one again and again.
            left = max(hop.ends - spent, 0.0)
            hop = replace(hop, ends=left, wait_s=max(hop.wait_s, left))
            if onward.origin != target.origin:
                hop = replace(hop, headers=_public(hop.headers))
            target = onward
            _log.debug("redirect", to=safe_url(target.url), after_s=round(monotonic() - started, 3))
        raise BadRedirect(f"{safe_url(url)} redirects more than {MAX_REDIRECTS} times.")

    async def report_bad(self, reply: Reply | str, note: str) -> None:
        """Tell that a reply that looked good was not (a challenge page, nonsense); it counts against its host."""
        url = reply if isinstance(reply, str) else reply.url
        key = address.parse(url, self._allow).key
        await limits.report_bad(self._db, key, note)
        FETCHES.labels(key, "challenge").inc()

    def _headers(
        self, given: Mapping[str, str] | None, etag: str | None, last_modified: str | None, want: str | None
    ) -> dict[str, str]:
        sent = {name.lower(): value for name, value in (given or {}).items()}
        sent = {name: value for name, value in sent.items() if name not in _OWN_HEADERS}
        sent.setdefault("accept", "application/json" if want == "json" else "*/*")
        sent["accept-encoding"] = ENCODINGS
        sent["user-agent"] = self._agent
        if etag:
            sent["if-none-match"] = etag
        if last_modified:
            sent["if-modified-since"] = last_modified
        return sent

    def _next(self, target: Target, reply: Reply) -> Target:
        location = reply.headers.get("location", "")
        if not location:
            raise BadRedirect(f"{target.key} redirects to nowhere (status {reply.status}, no Location).")
        try:
            joined = target.url.join(URL(location))
        except ValueError:
            raise BadRedirect(f"{target.key} redirects to a malformed address.") from None
        onward = address.parse(joined, self._allow)
        if target.scheme == "https" and onward.scheme == "http":
            raise BadRedirect(f"{target.key} redirects from https to http.")
        return onward

    def _checked(self, reply: Reply) -> Reply:
        if reply.status < 400:
            return reply
        wait = limits.retry_after(reply.headers, now())
        raise HttpStatus(f"{safe_url(reply.url)} answered {reply.status}.", reply=reply, retry_after_s=wait)

    async def _hop(self, target: Target, hop: _Hop) -> tuple[Reply, float]:
        """One request of a chain: robots.txt, slot, exchange. Returns the reply and the seconds it used."""
        if hop.robots and target.url.path != "/robots.txt":
            await self._obey(target)
        slot = await limits.take(self._db, target.key, wait_s=hop.wait_s, probe_s=hop.ends + 10)
        started = monotonic()
        reply = await self._exchange(target, hop, slot)
        return reply, monotonic() - started

    async def _obey(self, target: Target) -> None:
        async def ask() -> robots.Found:
            return await self._ask_robots(target)

        async def tell(delay_s: float) -> None:
            await self._db.execute(limits.Q.set_crawl_delay, {"host": target.key, "delay_s": delay_s})

        rules = await self._robots.rules(target.origin, ask, tell)
        if not rules.allows(str(target.url)):
            FETCHES.labels(target.key, "disallowed").inc()
            raise Disallowed(
                f"robots.txt of {target.key} does not let us fetch {target.url.path}.",
                hint="Leave it alone, or ask the owner of the site.",
            )

    async def _ask_robots(self, target: Target) -> robots.Found:
        """Fetch robots.txt itself: it takes no slot, but respects breaker and Retry-After; five redirects."""
        where = address.parse(f"{target.origin}/robots.txt", self._allow)
        headers = self._headers({"accept": "text/plain, */*;q=0.5"}, None, None, None)
        hop = _Hop(headers, robots.MAX_BYTES, _ROBOTS_TIMEOUT_S, 0.0, None, False)
        for _ in range(MAX_REDIRECTS + 1):
            slot = await limits.take(self._db, where.key, probe_s=_ROBOTS_TIMEOUT_S + 10, cost=0)
            try:
                reply = await self._exchange(where, hop, slot, cut=True)
            except UnsafeAddress:
                raise
            except FetchError as error:
                _log.info("robots.txt unreadable", host=where.key, code=error.code)
                return robots.Found(None)
            if reply.status not in _REDIRECTS:
                return robots.Found(reply.status, reply.body)
            try:
                where = self._next(where, reply)
            except FetchError:
                return robots.Found(
                    404
                )  # RFC 9309 section 2.3.1.2: redirects that lead nowhere mean unavailable
        return robots.Found(404)

    async def _exchange(self, target: Target, hop: _Hop, slot: limits.Slot, *, cut: bool = False) -> Reply:
        """Send, read, judge, report, record. Reports exactly once, whatever happens."""
        result = limits.Outcomes("neutral", note="interrupted")
        started = monotonic()
        word = "interrupted"
        try:
            reply, latency, raw = await self._read(target, hop, cut=cut)
            result = _judge(reply, latency, raw, hop.want)
            word = result.outcome if result.status is None or result.status < 400 else str(result.status)
            if result.outcome == "challenge":
                raise Blocked(
                    f"{target.key} sent a page where JSON was asked for.",
                    details={"status": reply.status, "content_type": reply.headers.get("content-type")},
                    hint="The site may not want automated readers; they are not tricked.",
                )
            return reply
        except FetchError as error:
            if result.outcome == "neutral":
                result = _failed(error)
                word = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__)
            raise
        finally:
            FETCHES.labels(target.key, word.lower()).inc()
            FETCH_SECONDS.labels(target.key).observe(monotonic() - started)
            await limits.report(self._db, slot, result)
            _log.debug("fetch", url=safe_url(target.url), outcome=word, s=round(monotonic() - started, 3))

    async def _read(self, target: Target, hop: _Hop, *, cut: bool) -> tuple[Reply, float, int]:
        """Send one request and read its body. Returns the reply, the seconds to its headers, the bytes read."""
        started = monotonic()
        fetched_at = now()
        request = Request(target, hop.headers, self._caps)
        try:
            async with asyncio.timeout(max(hop.ends, 0.001)), self._transport.send(request) as answer:
                latency = monotonic() - started
                body = Body(answer.headers.get("content-encoding", ""), hop.max_bytes)
                if answer.status not in {204, 304}:
                    await _fill(body, answer.chunks(), cut=cut)
                plain = body.finish()
        except TimeoutError as error:
            raise TimedOut(f"{target.key} took longer than {hop.ends:.3g} s.") from error
        reply = Reply(
            status=answer.status,
            url=str(target.url),
            headers=answer.headers,
            body=plain,
            elapsed_s=monotonic() - started,
            not_modified=answer.status == 304,
            fetched_at=fetched_at,
        )
        if self._recorder is not None:
            await self._recorder.record(_recording(target, reply))
        return reply, latency, body.raw_bytes


async def _fill(body: Body, chunks: AsyncGenerator[bytes, None], *, cut: bool) -> None:
    """Read all of `chunks` into `body`; with `cut`, what is beyond the cap is left off instead of refused."""
    async with contextlib.aclosing(chunks) as source:
        async for chunk in source:
            try:
                body.feed(chunk)
            except TooLarge:
                if not cut:
                    raise
                body.cut()
                return


def _recording(target: Target, reply: Reply) -> Recording:
    return Recording(
        url=safe_url(target.url),
        status=reply.status,
        body=reply.body,
        headers=harmless(reply.headers),
        elapsed_s=reply.elapsed_s,
        fetched_at=reply.fetched_at,
        host=target.key,
    )


def _public(headers: Mapping[str, str]) -> dict[str, str]:
    """What may be sent to another origin: no credentials, no cookies, no validators."""
    private = {"authorization", "cookie", "if-none-match", "if-modified-since", "referer", "origin"}
    return {
        name: value for name, value in headers.items() if name not in private and not is_secret_name(name)
    }


def looks_like_page(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a reply is a page for browsers rather than JSON."""
    if "html" in headers.get("content-type", "").lower():
        return True
    return body[:512].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _judge(reply: Reply, latency: float, raw: int, want: str | None) -> limits.Outcomes:
    """What a whole reply says about its host. A 404 or another plain refusal says nothing against it."""
    status = reply.status
    outcome: limits.Outcome = "ok"
    note = None
    if status >= 500 or status in {401, 403, 407, 408, 425, 429, 451}:
        outcome, note = "bad", f"status {status}"
    elif status < 300 and want == "json" and looks_like_page(reply.headers, reply.body):
        outcome, note = "challenge", "a page where JSON was asked for"
    wait = limits.retry_after(reply.headers, now()) if status >= 400 else None
    return limits.Outcomes(outcome, status, latency, wait, raw, note)


def _failed(error: FetchError) -> limits.Outcomes:
    """What a failed exchange says: our own caps and guards say nothing against the host."""
    if isinstance(error, UnsafeAddress | NotRecorded | TooLarge):
        return limits.Outcomes("neutral", note=type(error).__name__)
    return limits.Outcomes("bad", note=error.message)
