"""Running a plan: settings of the request, pre-request function, the statement, and how the transaction ends.

One write and one read, unless the end depends on the result. Nothing set here outlives the transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from time import perf_counter
from typing import Any

import orjson

from headgate.db.catalog import Catalog, QName
from headgate.db.pipeline import Parameters, PipelinePool, ServerError, Step
from headgate.surface.auth.tokens import Identity
from headgate.surface.rest import errors, statements
from headgate.surface.rest.errors import RestError
from headgate.surface.rest.nodes import Plan
from headgate.surface.rest.parse import Incoming, Request
from headgate.surface.rest.ranges import Rows
from headgate.surface.rest.render import Slot, Sql, name_of
from headgate.surface.rest.settings import RestSettings
from headgate.surface.rest.statements import BODY, HEADERS, LOCATION, NEW, PAGE, STATUS, TOTAL, WRITE_COLUMNS

SYNC_CONSTRAINTS = Step(b"SET CONSTRAINTS ALL IMMEDIATE")
ROLLBACK, COMMIT = Step(b"ROLLBACK"), Step(b"COMMIT")
ISOLATION = {"serializable", "repeatable read", "read committed", "read uncommitted"}
JSONB_OID = 3802
SHORT_S = 0.01  # a read that takes less may share a connection that is busy
STALE_CODES = ("26000", "0A000")


@dataclass(slots=True)
class Compiled:
    """A plan as SQL. `name` prepares it; it is given from the second use on."""

    plan: Plan
    sql: bytes
    slots: tuple[Slot, ...]
    estimate: tuple[bytes, tuple[Slot, ...]] | None
    key: str
    uses: int = 0
    typical_s: float = 1.0  # how long it takes from sending to answer, lately

    def name(self, role: str, *, prepared: bool) -> bytes | None:
        """The statement's name for a role; row-level security makes plans differ by role."""
        self.uses += 1
        return f"r{self.key}_{_short(role)}".encode() if prepared and self.uses > 1 else None


@dataclass(slots=True)
class Rows7:
    """What a statement returned: totals, Location pairs, body, and what functions set about the answer."""

    total: int | None
    page: int
    location: list[tuple[str, str]]
    body: bytes
    headers: bytes | None
    status: str | None
    inserted: int | None


@lru_cache(maxsize=1024)
def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def compile_plan(plan: Plan) -> Compiled:
    """Render a plan once; requests of its shape fill in their literals."""
    text, sql = statements.render(plan)
    estimate = None
    if plan.kind == "read" and plan.count in ("planned", "estimated"):
        other, other_sql = statements.render_estimate(plan)
        estimate = (other.encode(), tuple(other_sql.slots))
    return Compiled(plan, text.encode(), tuple(sql.slots), estimate, _short(text))


def fill(slots: Sequence[Slot], request: Request, rows: Rows) -> list[bytes | None]:
    """The parameters of a statement for one request."""
    values, payload = request.string.values, request.payload
    out: list[bytes | None] = []
    for slot in slots:
        if isinstance(slot, int):
            out.append(values[slot])
        elif isinstance(slot, bytes):
            out.append(slot)
        elif slot == "body":
            out.append(payload.raw if payload else None)
        elif slot == "bytes":
            out.append(b"\\x" + payload.raw.hex().encode() if payload else None)
        elif slot == "offset":
            out.append(str(rows.offset).encode())
        elif isinstance(slot, tuple) and slot[0] == "least":
            out.append(str(min(int(values[slot[1]] or b"0"), slot[2])).encode())
        elif isinstance(slot, tuple) and payload is not None and payload.arguments is not None:
            out.append(payload.arguments[-1 - slot[1]][1].encode())
    if any(v is not None and b"\0" in v for v in out):
        raise RestError(
            400, "22P05", "unsupported Unicode escape sequence", details="\\u0000 cannot be text."
        )
    return out


# ---------------------------------------------------------------- settings of a request


def _json(pairs: Mapping[str, str]) -> bytes:
    return orjson.dumps(dict(pairs))


def _cookies(incoming: Incoming) -> dict[str, str]:
    try:
        jar: SimpleCookie = SimpleCookie(incoming.header(b"cookie") or "")
    except CookieError:
        return {}
    return {k: morsel.value for k, morsel in jar.items()}


class Settings:
    """Builds the one statement that sets role, claims and the rest for a transaction."""

    def __init__(self, settings: RestSettings, catalog: Catalog) -> None:
        self.settings = settings
        self.catalog = catalog
        sends = settings.request_settings
        self.tells_request = sends == "all" or (sends == "auto" and catalog.reads_request)
        self.tells_request = self.tells_request or settings.db_pre_request is not None
        self._short: dict[tuple[str, str, bool], tuple[Step, int]] = {}
        self._paths = {s: self._search_path(s) for s in settings.db_schemas}
        pre = settings.db_pre_request
        self.pre_request = None
        if pre:
            schema, _, name = pre.rpartition(".")
            self.pre_request = Step(f"SELECT {name_of(QName(schema, name))}()".encode())

    def _search_path(self, schema: str) -> bytes:
        quoted = ('"' + s.replace('"', '""') + '"' for s in (schema, *self.settings.db_extra_search_path))
        return ", ".join(quoted).encode()

    def step(
        self, incoming: Incoming, request: Request | None, identity: Identity, *, read_only: bool,
        function_settings: Mapping[str, str] | None = None, schema: str,
    ) -> Step:  # fmt: skip
        """The statement that gives a transaction its role, claims, search path and request."""
        role = identity.role
        if (
            not self.tells_request
            and not function_settings
            and (request is None or not request.preferences.timezone)
        ):
            return self._short_step(schema, identity, read_only=read_only)
        pairs: list[tuple[str, bytes]] = [("search_path", self._paths[schema])]
        pairs += [(k, v.encode()) for k, v in self.catalog.role_settings.get(role, {}).items()]
        pairs.append(("role", role.replace("\0", "").encode()))
        pairs.append(("request.jwt.claims", identity.claims))
        if self.tells_request:
            headers = {
                k.decode("latin-1"): v.decode("utf-8", "replace") for k, v in incoming.raw if k != b"cookie"
            }
            pairs.append(("request.method", incoming.method.encode()))
            pairs.append(("request.path", incoming.path.encode("utf-8", "surrogatepass")))
            pairs.append(("request.headers", _json(headers)))
            pairs.append(("request.cookies", _json(_cookies(incoming))))
        if request is not None and request.preferences.timezone is not None:
            pairs.append(("timezone", request.preferences.timezone.encode()))
        pairs += [(k, v.encode()) for k, v in (function_settings or {}).items()]
        pairs += self._last(role, read_only=read_only)
        return self._set(pairs)

    def _last(self, role: str, *, read_only: bool) -> list[tuple[str, bytes]]:
        pairs = [(k, v.encode()) for k, v in self.settings.app_settings.items()]
        if self.settings.statement_timeout_ms and "statement_timeout" not in self.catalog.role_settings.get(
            role, {}
        ):
            pairs.append(("statement_timeout", str(self.settings.statement_timeout_ms).encode()))
        return [*pairs, ("transaction_read_only", b"on")] if read_only else pairs

    def _set(self, pairs: list[tuple[str, bytes]]) -> Step:
        sql, name = _set_statement(tuple(k for k, _ in pairs))
        values = [v.replace(b"\0", b"") for _, v in pairs]
        return Step(sql, values, name if self.settings.db_prepared_statements else None)

    def _short_step(self, schema: str, identity: Identity, *, read_only: bool) -> Step:
        """The same where nobody asks about the request: only the claims differ between users of a role."""
        key = (schema, identity.role, read_only)
        known = self._short.get(key)
        if known is None:
            role = identity.role
            pairs = [("search_path", self._paths[schema])]
            pairs += [(k, v.encode()) for k, v in self.catalog.role_settings.get(role, {}).items()]
            pairs.append(("role", role.replace("\0", "").encode()))
            place = len(pairs)
            step = self._set([*pairs, ("request.jwt.claims", b""), *self._last(role, read_only=read_only)])
            if len(self._short) > 256:
                self._short.clear()
            known = self._short[key] = (step, place)
        step, place = known
        values = list(step.parameters)
        values[place] = identity.claims
        return Step(step.sql, values, step.name)


@lru_cache(maxsize=256)
def _set_statement(names: tuple[str, ...]) -> tuple[bytes, bytes]:
    calls = ", ".join(f"set_config({statements.literal(n)}, ${i}, true)" for i, n in enumerate(names, 1))
    text = f"SELECT {calls}"
    return text.encode(), f"s{_short(text)}".encode()


# ---------------------------------------------------------------- running


def read_row(result: Any, *, write: bool = False) -> Rows7:
    """The row of the request's statement."""
    if result.ntuples == 0:
        return Rows7(0, 0, [], b"", None, None, None)
    found: list[bytes | None] = [result.get_value(0, i) for i in range(7)]
    kind = result.ftype(WRITE_COLUMNS.index(BODY) if write else BODY)
    if write:
        found = [found[WRITE_COLUMNS.index(i)] for i in range(7)]
    total, page, inserted = found[TOTAL], found[PAGE], found[NEW]
    location, body, status = found[LOCATION], found[BODY] or b"", found[STATUS]
    if kind == JSONB_OID:
        body = body[1:]  # the version byte of jsonb's binary form
    return Rows7(
        int(total) if total is not None else None,
        int(page or 0),
        [(k, v) for k, v in orjson.loads(location)] if location else [],
        body,
        found[HEADERS],
        status.decode("utf-8", "replace") if status is not None else None,
        int(inserted) if inserted is not None else None,
    )


def check_rows(plan: Plan, request: Request, row: Rows7) -> None:
    """Refuse a result with the wrong number of rows; the caller rolls back."""
    if plan.kind == "upsert":
        if row.page != 1:
            raise RestError(*errors.PUT_MISMATCH)
        return
    if plan.body.media.single and row.page != 1:
        raise errors.not_single(row.page)
    most = request.preferences.max_affected
    bounded = plan.kind in ("update", "delete", "call") and request.preferences.strict
    if bounded and most is not None and row.page > most:
        raise errors.too_many_affected(row.page)


@dataclass(slots=True)
class Executor:
    """Runs compiled plans on the pool."""

    pool: PipelinePool
    settings: RestSettings
    session: Settings
    catalog: Catalog

    async def run(
        self, compiled: Compiled, incoming: Incoming, request: Request, identity: Identity
    ) -> tuple[Rows7 | bytes, int | None]:
        """The row (or the execution plan as text) and the estimated number of rows."""
        plan = compiled.plan
        steps = self.steps(compiled, incoming, request, identity)
        decides = not plan.read_only and self._depends(plan, request)
        isolation = self._isolation(plan, identity.role)
        rollback = self._rolls_back(request)
        short = plan.read_only and compiled.typical_s < SHORT_S
        shared = short or plan.kind != "call"  # a function may take long
        if decides and not rollback:
            results = await self._decided(plan, request, steps, isolation)
        elif rollback:
            begin = self._begin(isolation, read_only=plan.read_only)
            groups = [[begin, *steps, SYNC_CONSTRAINTS], [ROLLBACK]]
            results = (await self.pool.run(groups, shared=shared))[1:-2]
        elif isolation is not None:
            begin = self._begin(isolation, read_only=plan.read_only)
            results = (await self.pool.run([[begin, *steps, COMMIT], [ROLLBACK]], shared=shared))[1:-2]
        else:
            began = perf_counter()
            results = await self.pool.run([steps], shared=shared, short=short)
            compiled.typical_s += (perf_counter() - began - compiled.typical_s) * 0.2
        return self._answer(plan, request, results, decided=decides and not rollback)

    def _answer(
        self, plan: Plan, request: Request, results: Sequence[Any], *, decided: bool
    ) -> tuple[Rows7 | bytes, int | None]:
        main = 2 if self.session.pre_request else 1
        if plan.body.media.plan is not None:
            lines = [results[main].get_value(i, 0) or b"" for i in range(results[main].ntuples)]
            return b"\n".join(lines) + b"\n", None
        row = read_row(results[main], write=plan.write is not None)
        if not decided:
            check_rows(plan, request, row)
        estimate = None
        if len(results) > main + 1:
            explained = orjson.loads(results[main + 1].get_value(0, 0) or b"[]")
            estimate = int(explained[0]["Plan"]["Plan Rows"])
        return row, estimate

    def steps(
        self, compiled: Compiled, incoming: Incoming, request: Request, identity: Identity
    ) -> list[Step]:
        """The settings, the pre-request function and the statements of a request."""
        plan, rows = compiled.plan, request.rows.capped(self.settings.db_max_rows)
        hoisted: dict[str, str] = {}
        if plan.call is not None:
            wanted = self.settings.db_hoisted_tx_settings
            hoisted = {k: v for k, v in plan.call.function.settings.items() if k in wanted}
            hoisted.pop("default_transaction_isolation", None)
        steps = [
            self.session.step(
                incoming, request, identity, read_only=plan.read_only, function_settings=hoisted,
                schema=request.schema,
            )
        ]  # fmt: skip
        if self.session.pre_request:
            steps.append(self.session.pre_request)
        name = compiled.name(identity.role, prepared=self.settings.db_prepared_statements)
        steps.append(Step(compiled.sql, fill(compiled.slots, request, rows), name))
        if compiled.estimate is not None:
            sql, slots = compiled.estimate
            steps.append(Step(sql, fill(slots, request, rows)))
        return steps

    @staticmethod
    def _depends(plan: Plan, request: Request) -> bool:
        """Whether the number of rows decides if the transaction stands."""
        limited = request.preferences.strict and request.preferences.max_affected is not None
        return plan.kind == "upsert" or plan.body.media.single or limited

    def _rolls_back(self, request: Request) -> bool:
        tx = request.preferences.tx
        return tx == "rollback" or (self.settings.rollback_all and tx != "commit")

    def _isolation(self, plan: Plan, role: str) -> str | None:
        own = plan.call.function.settings.get("default_transaction_isolation") if plan.call else None
        wanted = (
            own or self.catalog.role_settings.get(role, {}).get("default_transaction_isolation") or ""
        ).strip('"')
        wanted = wanted.lower()
        return wanted if wanted in ISOLATION and wanted != "read committed" else None

    @staticmethod
    def _begin(isolation: str | None, *, read_only: bool) -> Step:
        text = f"BEGIN ISOLATION LEVEL {(isolation or 'read committed').upper()}"
        return Step(f"{text} READ {'ONLY' if read_only else 'WRITE'}".encode())

    async def _decided(
        self, plan: Plan, request: Request, steps: list[Step], isolation: str | None
    ) -> Sequence[Any]:
        try:
            return await self._attempt(plan, request, steps, isolation)
        except ServerError as error:
            if error.code not in STALE_CODES:
                raise
        unnamed = [Step(s.sql, s.parameters) for s in steps]  # what was prepared there is out of date
        return await self._attempt(plan, request, unnamed, isolation)

    async def _attempt(
        self, plan: Plan, request: Request, steps: list[Step], isolation: str | None
    ) -> Sequence[Any]:
        async with self.pool.exclusive() as line:
            results = (await line.run([[self._begin(isolation, read_only=False), *steps]]))[1:]
            main = 2 if self.session.pre_request else 1
            if plan.body.media.plan is None:
                check_rows(plan, request, read_row(results[main], write=plan.write is not None))
            await line.run([[COMMIT]])
        return results


__all__ = ["Compiled", "Executor", "Parameters", "Rows7", "Settings", "Sql", "compile_plan", "fill"]
