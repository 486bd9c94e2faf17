"""The surface as one object: settings, catalog, pool and verifier; a request goes in, an answer comes out."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from dataclasses import fields, replace
from typing import Any

import orjson
import structlog

from headgate.base.errors import SettingsError
from headgate.db.catalog import QUERIES, Catalog, QName, load_catalog
from headgate.db.notices import Notices
from headgate.db.pipeline import ConnectionLost, PipelinePool, PoolTimeout, ServerError, Step
from headgate.surface.auth.tokens import Identity, LiveKeys, TokenError, Verifier, read_keys
from headgate.surface.rest import errors, openapi
from headgate.surface.rest.errors import Header, RestError
from headgate.surface.rest.execute import Compiled, Executor, Settings, compile_plan
from headgate.surface.rest.parse import Incoming, Request, Template, parse_request, split, template
from headgate.surface.rest.payload import Payload, is_object, read_payload
from headgate.surface.rest.plan import find_table
from headgate.surface.rest.plans import call_target, plan_request
from headgate.surface.rest.render import name_of
from headgate.surface.rest.respond import Answer, respond
from headgate.surface.rest.settings import RestSettings
from headgate.surface.rest.sqlstate import from_server

log = structlog.get_logger(__name__)
PLANS_MAX = 4096
Head = tuple[str, bytes, bytes | None, bytes | None, bytes | None]  # of a GET: path, query, headers
RELOAD_CODES = (
    "42P01",
    "42703",
    "42883",
    "3F000",
)  # what is missing may have been renamed: read the catalog again
RELOAD_EVERY_S = 1.0
VARY: Header = ("Vary", "Accept, Prefer, Range")
LEGACY = (
    "Embedded resource was referenced by relation name even though it has an alias. "
    "This is deprecated and will stop working in a future release."
)


class Timing:
    """Milliseconds of each stage, for the Server-Timing header; keeps none unless `on`."""

    def __init__(self, *, on: bool) -> None:
        self.on = on
        self.last = time.perf_counter() if on else 0.0
        self.parts: list[str] = []

    def mark(self, name: str) -> None:
        """Close a stage."""
        if not self.on:
            return
        now = time.perf_counter()
        self.parts.append(f"{name};dur={(now - self.last) * 1000:.1f}")
        self.last = now

    def header(self) -> Header:
        """The header with all stages."""
        return ("Server-Timing", ", ".join(self.parts))


class RestService:
    """Serves PostgREST's interface on one database. Call `start` before and `close` after."""

    def __init__(self, settings: RestSettings, live: LiveKeys | None = None) -> None:
        self.given = settings
        self._live = live
        self.settings = settings
        self.catalog: Catalog | None = None
        self.pool = self._pool(settings)
        self.verifier = self._verifier(settings)
        self._plans: OrderedDict[Any, Compiled] = OrderedDict()
        self._heads: OrderedDict[Head, tuple[Request, Compiled]] = OrderedDict()
        self._templates: OrderedDict[Head, tuple[Request, Compiled, Template]] = OrderedDict()
        self._inserts: OrderedDict[tuple[Any, ...], tuple[Request, Compiled]] = OrderedDict()
        self._executor: Executor | None = None
        self._reload_lock = asyncio.Lock()
        self._reloaded_at = 0.0
        self._background: set[asyncio.Task[None]] = set()
        self._pending = False
        self._notices: Notices | None = None

    @staticmethod
    def _pool(settings: RestSettings) -> PipelinePool:
        return PipelinePool(
            settings.db_uri, size=settings.db_pool_size, timeout_s=settings.db_pool_acquisition_timeout,
            application_name="headgate-rest",
        )  # fmt: skip

    def _verifier(self, settings: RestSettings) -> Verifier:
        secret = settings.jwt_secret
        keys = read_keys(secret, is_base64=settings.jwt_secret_is_base64) if secret else None
        return Verifier(
            keys, anon_role=settings.db_anon_role, audience=settings.jwt_audience,
            role_path=settings.jwt_role_claim_key, cache_max=settings.jwt_cache_max_entries,
            live=self._live,
        )  # fmt: skip

    async def start(self) -> None:
        """Read the catalog; where the database is not there yet, the first request tries again."""
        with contextlib.suppress(ConnectionLost, ServerError, PoolTimeout):
            await self.reload()
        if self.settings.db_channel_enabled:
            self._notices = Notices(self.settings.db_uri, self.settings.db_channel, self._heard)
            self._notices.start()

    def _heard(self, payload: str | None) -> None:
        """`NOTIFY pgrst` asks for a new reading; so does a new connection, unless the last one was just now."""
        if payload is not None or time.monotonic() - self._reloaded_at > RELOAD_EVERY_S:
            self.reload_soon(at_once=True)

    async def close(self) -> None:
        """Close the connections."""
        if self._notices is not None:
            await self._notices.close()
        for task in self._background:
            task.cancel()
        await self.pool.close()

    async def reload(self) -> None:
        """Read settings and catalog again. Requests in flight go on with the old ones."""
        async with self._reload_lock:
            settings = await self._stored(self.given) if self.given.db_config else self.given
            catalog = await load_catalog(self.pool, settings.db_schemas, settings.db_extra_search_path)
            if settings != self.settings:
                self.verifier = self._verifier(settings)
            self.settings, self.catalog = settings, catalog
            self._plans, self._heads, self._inserts = OrderedDict(), OrderedDict(), OrderedDict()
            self._templates = OrderedDict()
            session = Settings(settings, catalog)
            self._executor = Executor(self.pool, settings, session, catalog)
            self._reloaded_at = time.monotonic()

    async def _stored(self, settings: RestSettings) -> RestSettings:
        """The settings with those kept in the database (`pgrst.…`) over them, and the pre-config function's over all.

        The stored ones are read from the catalog: a session would only know those of its own start.
        """
        steps = [Step(QUERIES["own_settings"].encode())]
        names = [f.name for f in fields(RestSettings)]
        if settings.db_pre_config:
            schema, _, name = settings.db_pre_config.rpartition(".")
            steps.append(Step(f"SELECT {name_of(QName(schema, name))}()".encode()))
            values = ", ".join(f"current_setting('pgrst.{n}', true)" for n in names)
            steps.append(Step(f"SELECT {values}".encode()))
        results = await self.pool.run([steps], shared=False)
        found: dict[str, str] = orjson.loads(results[0].get_value(0, 0) or b"{}")
        if settings.db_pre_config:
            given = {n: results[-1].get_value(0, i) for i, n in enumerate(names)}
            found.update({f"pgrst.{n}": v.decode() for n, v in given.items() if v})
        return settings.overlaid(found)

    def reload_soon(self, *, at_once: bool = False) -> None:
        """Read the catalog again in the background; unless told `at_once`, at most once a second."""
        if not at_once and time.monotonic() - self._reloaded_at < RELOAD_EVERY_S:
            return
        self._pending = True
        if self._background:
            return
        task = asyncio.create_task(self._reload_pending())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _reload_pending(self) -> None:
        while self._pending:
            self._pending = False
            try:
                await self.reload()
            except (ConnectionLost, ServerError, PoolTimeout) as error:
                log.warning("rest_catalog_unread", reason=str(error))
            except SettingsError as error:  # such as a malformed key stored while the server runs
                log.error("rest_settings_refused", reason=str(error))

    # ---------------------------------------------------------------- one request

    async def handle(self, incoming: Incoming) -> Answer:
        """Answer a request; every failure becomes an answer too."""
        identity: Identity | None = None
        try:
            timing = Timing(on=self.settings.server_timing_enabled)
            identity = self.identify(incoming)
            timing.mark("jwt")
            answer = await self._serve(incoming, identity, timing)
            if timing.on:
                timing.mark("response")
                answer.headers.append(timing.header())
            if not answer.varies:
                answer.headers.append(VARY)
            return answer
        except RestError as error:
            return self.refused(error)
        except ServerError as error:
            if error.code in RELOAD_CODES:
                self.reload_soon()
            known = identity is not None and not identity.anonymous
            return self.refused(from_server(error, authenticated=known))
        except PoolTimeout:
            return self.refused(RestError(*errors.POOL_TIMEOUT))
        except ConnectionLost as error:
            log.warning("rest_database_lost", reason=str(error))
            return self.refused(errors.database_down())

    def refused(self, error: RestError) -> Answer:
        """The answer that says what is wrong."""
        body = error.body(minimal=self.settings.client_error_verbosity == "minimal")
        headers = [
            ("Content-Type", "application/json; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Proxy-Status", f"PostgREST; error={error.code}"),
        ]
        return Answer(error.status, [*headers, *error.headers], body, error.reason)

    def identify(self, incoming: Incoming) -> Identity:
        """Who asks, by Authorization or else by API key. Raises RestError 401."""
        header = incoming.header(b"authorization")
        kind, _, rest = (header or "").partition(" ")
        token = rest.strip() if kind.lower() == "bearer" else None
        if incoming.key_role is not None:
            return self.verifier.identity(incoming.key_role, {})
        try:
            return self._identify(token, incoming.header(b"apikey"), known=incoming.key_known)
        except TokenError as error:
            raise _unauthorized(error) from None

    def _identify(self, token: str | None, key: str | None, *, known: bool) -> Identity:
        keys = self.settings.api_keys
        if self.settings.api_key_required and not known and key not in keys and token not in keys:
            if key is None:
                raise TokenError("PGRST302", "No API key found in request")
            self.verifier.identify(key)  # a key may be a token itself
        chosen = token if token is not None else key
        if chosen is not None and chosen in keys:
            return self.verifier.identity(keys[chosen], {})
        if token is None and key is not None and key.count(".") == 2:
            return self.verifier.identify(key)
        return self.verifier.identify(token)

    async def _ready(self) -> Executor:
        """What runs plans, after the catalog has been read."""
        if self._executor is None:
            with contextlib.suppress(ConnectionLost, ServerError):
                await self.reload()
        if self._executor is None:
            raise RestError(*errors.NO_CATALOG, headers=(("Retry-After", "1"),))
        return self._executor

    async def _serve(self, incoming: Incoming, identity: Identity, timing: Timing) -> Answer:
        executor = await self._ready()
        catalog = executor.catalog
        head = self._head(incoming)
        again = self._again(incoming, head)
        if again is not None:
            request, compiled = again
            timing.mark("parse")
            timing.mark("plan")
            got, estimate = await executor.run(compiled, incoming, request, identity)
            timing.mark("transaction")
            return respond(compiled.plan, request, got, estimate, self.settings)
        request = parse_request(incoming, self.settings)
        timing.mark("parse")
        if request.kind in ("info", "call_info"):
            return self._info(request, catalog)
        if request.kind == "root":
            return await openapi.answer(request, incoming, identity, executor)
        compiled = self._compiled(request, catalog)
        if head is not None and not compiled.plan.warnings:
            self._remember_read(head, request, compiled)
        elif request.kind == "create" and request.payload is not None and not compiled.plan.warnings:
            self._remember_insert(incoming, request, request.payload, compiled)
        timing.mark("plan")
        got, estimate = await executor.run(compiled, incoming, request, identity)
        timing.mark("transaction")
        answer = respond(compiled.plan, request, got, estimate, self.settings)
        if compiled.plan.warnings:
            pairs = ", ".join(f"`{name}` to `{alias}`" for name, alias in compiled.plan.warnings)
            text = f"{LEGACY} Update {pairs} in query string filters, orders or limits."
            answer.headers.append(("Warning", f'299 PostgREST "{text}"'))
        return answer

    async def steps(self, incoming: Incoming) -> list[Step]:
        """The statements that a read, write or call sends, for measurements. Raises RestError."""
        executor = await self._ready()
        request = parse_request(incoming, self.settings)
        compiled = self._compiled(request, executor.catalog)
        return executor.steps(compiled, incoming, request, self.identify(incoming))

    @staticmethod
    def _head(incoming: Incoming) -> Head | None:
        """What alone decides the plan and literals of a GET; None for other requests."""
        if incoming.method != "GET" or len(incoming.query) > 1024:
            return None
        first = incoming.first
        if b"prefer" in first or b"range" in first:
            return None
        get = first.get
        return incoming.path, incoming.query, get(b"accept"), get(b"accept-profile"), get(b"content-type")

    def _again(self, incoming: Incoming, head: Head | None) -> tuple[Request, Compiled] | None:
        """The request and plan of what came before, be it with other values or another body; None for what is new."""
        if head is None:
            return self._insert_again(incoming) if incoming.method == "POST" else None
        known = self._heads.get(head)
        if known is not None:
            return known
        text, values = split(head[1], head[0].startswith("/rpc/"))
        like = self._templates.get((head[0], text, *head[2:])) if values else None
        if like is None:
            return None
        request, compiled, made = like
        known = self._heads[head] = (request.with_string(made.fill(values)), compiled)
        if len(self._heads) > PLANS_MAX:
            self._heads.popitem(last=False)
        return known

    def _remember_read(self, head: Head, request: Request, compiled: Compiled) -> None:
        self._heads[head] = (request, compiled)
        if len(self._heads) > PLANS_MAX:
            self._heads.popitem(last=False)
        text, values = split(head[1], request.call_by_get)
        if values and (made := template(text, request.call_by_get)) is not None:
            self._templates[(head[0], text, *head[2:])] = (request, compiled, made)
            if len(self._templates) > PLANS_MAX:
                self._templates.popitem(last=False)

    @staticmethod
    def _insert_head(incoming: Incoming) -> tuple[Any, ...]:
        """What of an insert, beside its body, decides the plan."""
        get = incoming.first.get
        prefer = incoming.every(b"prefer")
        return (
            incoming.path, incoming.query, get(b"accept"), get(b"content-profile"), get(b"content-type"), *prefer,
        )  # fmt: skip

    def _insert_again(self, incoming: Incoming) -> tuple[Request, Compiled] | None:
        """The request and plan of an insert like an earlier one: only its body is read."""
        head = self._insert_head(incoming)
        known = self._inserts.get(head)
        if known is None:
            return None
        like, compiled = known
        payload = read_payload(incoming.body, like.content, like.string.query.columns, call=False)
        if like.payload is None or _form(payload) != _form(like.payload):
            return None
        return replace(like, payload=payload), compiled

    def _remember_insert(
        self, incoming: Incoming, request: Request, payload: Payload, compiled: Compiled
    ) -> None:
        if len(incoming.query) > 1024:
            return
        form = Payload(payload.raw[:64], payload.columns)  # not the body, which may be large
        if _form(form) == _form(payload):
            self._inserts[self._insert_head(incoming)] = (replace(request, payload=form), compiled)
            if len(self._inserts) > PLANS_MAX:
                self._inserts.popitem(last=False)

    def _compiled(self, request: Request, catalog: Catalog) -> Compiled:
        prefer, payload = request.preferences, request.payload
        rows = request.rows.capped(self.settings.db_max_rows)
        key = (
            request.kind, request.target, request.string.shape, request.accept, request.head,
            rows.limit, rows.offset != 0,
            request.rows.everything, prefer, request.call_by_get, request.content,
            None if payload is None else (
                payload.columns, payload.raw[:1] in b"{[" and payload.raw[:1], _looks_like_object(payload.raw),
                None if payload.arguments is None else tuple(n for n, _ in payload.arguments),
            ),
        )  # fmt: skip
        compiled = self._plans.get(key)
        if compiled is None:
            plan = plan_request(request, catalog, self.settings)
            plan.read.most, plan.read.skips = rows.limit, rows.offset != 0
            try:
                compiled = compile_plan(plan)
            except RecursionError:
                raise errors.not_implemented("The request is nested too deeply.") from None
            self._plans[key] = compiled
            if len(self._plans) > PLANS_MAX:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return compiled

    def _info(self, request: Request, catalog: Catalog) -> Answer:
        if request.kind == "call_info":
            function = call_target(request, catalog)
            allowed = "OPTIONS,POST" if function.volatility == "v" else "OPTIONS,GET,HEAD,POST"
        elif not request.target.name:
            allowed = "OPTIONS,GET,HEAD"
        else:
            table = find_table(catalog, request.target)
            verbs = ["OPTIONS,GET,HEAD"]
            verbs += ["POST"] if table.insertable else []
            verbs += ["PUT"] if table.insertable and table.updatable and table.key else []
            verbs += ["PATCH"] if table.updatable else []
            verbs += ["DELETE"] if table.deletable else []
            allowed = ",".join(verbs)
        return Answer(
            200, [("Content-Length", "0"), ("Access-Control-Allow-Origin", "*"), ("Allow", allowed)]
        )


def _form(payload: Payload) -> tuple[object, ...]:
    """What of a JSON body decides the plan of an insert."""
    return payload.columns, payload.raw[:1], is_object(payload.raw)


def _looks_like_object(raw: bytes) -> bool:
    return raw[:64].lstrip(b" \t\n\r")[:1] == b"{"


def _unauthorized(error: TokenError) -> RestError:
    if error.code == "PGRST300":
        return RestError(500, error.code, error.message)
    header = "Bearer"
    if error.code != "PGRST302":
        quoted = error.message.replace("\\", "\\\\").replace('"', '\\"')
        header = f'Bearer error="invalid_token", error_description="{quoted}"'
    return RestError(
        401, error.code, error.message, details=error.details, headers=(("WWW-Authenticate", header),)
    )
