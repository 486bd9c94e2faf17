"""An HTTP request as what it asks for: target, query, rows, preferences, payload. Touches no database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, unquote, unquote_to_bytes

from headgate.db.catalog import QName
from headgate.surface.rest import errors, grammar, media, ranges
from headgate.surface.rest.ast import EmbedPath, Filter, Logic, Query, Selected, Values
from headgate.surface.rest.errors import RestError
from headgate.surface.rest.payload import Payload, read_payload
from headgate.surface.rest.prefer import Preferences, preferences
from headgate.surface.rest.ranges import Rows
from headgate.surface.rest.settings import RestSettings

RESERVED = ("select", "columns", "on_conflict")
RESERVED_LAST = ("order", "limit", "offset", "and", "or")
_RESERVED = frozenset(name.encode() for name in RESERVED + RESERVED_LAST)
WRITES = {"POST": "create", "PATCH": "update", "PUT": "upsert", "DELETE": "delete"}
MAX_PARAMETERS = 2000
NEGATIVE = "Limit should be greater than or equal to zero."
REVERSED = "The lower boundary must be lower than or equal to the upper boundary in the Range header."


@dataclass(frozen=True, slots=True)
class QueryString:
    """One query string, read. `rows` are its own limit and offset; `shape` names equal queries."""

    query: Query
    values: tuple[bytes | None, ...]
    canonical: str
    limit: int | None
    offset: int
    shape: int


@dataclass(slots=True)
class Incoming:
    """A request as the server hands it over: the path as sent, header names in lower case."""

    method: str
    path: str
    query: bytes
    raw: Sequence[tuple[bytes, bytes]]
    body: bytes = b""
    key_known: bool = False  # an opaque API key that is good came with it
    key_role: str | None = None  # the role of that key, where no token outranks it
    first: dict[bytes, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.first = dict(self.raw[::-1])

    def header(self, name: bytes) -> str | None:
        """The first header of that name."""
        value = self.first.get(name)
        return None if value is None else value.decode("latin-1")

    def every(self, name: bytes) -> list[str]:
        """All headers of that name."""
        return [v.decode("latin-1") for k, v in self.raw if k == name] if name in self.first else []


@dataclass(slots=True)
class Request:
    """What is asked for. `kind` is read, call, create, update, upsert, delete, root or info."""

    kind: str
    target: QName
    schema: str
    negotiated: bool
    head: bool
    method: str
    query: Query
    string: QueryString
    rows: Rows
    preferences: Preferences
    accept: tuple[media.Media, ...]
    content: media.Media
    payload: Payload | None = None
    call_by_get: bool = False

    def with_string(self, string: QueryString) -> Request:
        """The same with another query string of its shape."""
        return Request(
            self.kind, self.target, self.schema, self.negotiated, self.head, self.method, self.query, string,
            self.rows, self.preferences, self.accept, self.content, self.payload, self.call_by_get,
        )  # fmt: skip


def parse_request(incoming: Incoming, settings: RestSettings) -> Request:
    """Read a request. Raises RestError for what PostgREST would refuse before planning."""
    kind, name = _target(incoming, settings)
    schema, negotiated = _schema(incoming, settings)
    method = incoming.method
    by_get = kind == "call" and method in ("GET", "HEAD")
    string = (
        query_string(incoming.query, by_get) if len(incoming.query) < 4096 else _read(incoming.query, by_get)
    )
    content = media.decode(incoming.header(b"content-type") or media.JSON)
    rows = _rows(method, string, incoming.header(b"range"))
    prefer = tuple(incoming.every(b"prefer"))
    request = Request(
        kind=kind, target=QName(schema, name), schema=schema, negotiated=negotiated, head=method == "HEAD",
        method=method, query=string.query, string=string, rows=rows,
        preferences=preferences(prefer, settings.tx_override),
        accept=media.accepted(incoming.header(b"accept")), content=content, call_by_get=by_get,
    )  # fmt: skip
    if kind in ("create", "update", "upsert") or (kind == "call" and not by_get):
        columns = None if kind == "upsert" else string.query.columns
        request.payload = read_payload(incoming.body, content, columns, call=kind == "call")
    return request


def _target(incoming: Incoming, settings: RestSettings) -> tuple[str, str]:
    parts = [unquote(p, errors="replace") for p in incoming.path.split("/")[1:]]
    if parts and parts[-1] == "":
        parts.pop()
    method = incoming.method
    if not parts:
        if settings.openapi_mode == "disabled":
            raise RestError(*errors.OPENAPI_OFF)
        if settings.db_root_spec:
            return _call(method, settings.db_root_spec.rpartition(".")[2])
        if method in ("GET", "HEAD"):
            return "root", ""
        if method == "OPTIONS":
            return "info", ""
        raise errors.unsupported_method(method)
    if len(parts) == 2 and parts[0] == "rpc":
        return _call(method, parts[1])
    if len(parts) != 1:
        raise RestError(*errors.INVALID_PATH)
    if method in ("GET", "HEAD"):
        return "read", parts[0]
    if method == "OPTIONS":
        return "info", parts[0]
    if method not in WRITES:
        raise errors.unsupported_method(method)
    return WRITES[method], parts[0]


def _call(method: str, name: str) -> tuple[str, str]:
    if method in ("GET", "HEAD", "POST"):
        return "call", name
    if method == "OPTIONS":
        return "call_info", name
    raise RestError(405, "PGRST101", f"Cannot use the {method} method on RPC")


def _schema(incoming: Incoming, settings: RestSettings) -> tuple[str, bool]:
    header = b"content-profile" if incoming.method in WRITES else b"accept-profile"
    asked = incoming.header(header)
    if asked is None:
        return settings.db_schemas[0], len(settings.db_schemas) != 1
    asked = asked.encode("latin-1", "replace").decode("utf-8", "replace")
    if asked not in settings.db_schemas:
        raise errors.unknown_schema(asked, settings.db_schemas)
    return asked, True


def _rows(method: str, string: QueryString, header: str | None) -> Rows:
    """The rows of the outermost resource, from limit, offset and the Range header together."""
    lower = string.offset
    upper = None if string.limit is None else lower + string.limit - 1
    zero = upper == -1
    if method == "GET" and (asked := ranges.header_range(header)) is not None:
        first, last = asked
        if last is not None and last < first:
            raise errors.invalid_range(REVERSED)
        lower = max(lower, first)
        upper = last if upper is None else upper if last is None else min(upper, last)
    lower = max(lower, 0)
    if zero:
        rows = Rows(0, 0)
    elif upper is not None and upper < lower:
        raise errors.invalid_range(NEGATIVE)
    else:
        rows = Rows(lower, None if upper is None else upper - lower + 1)
    if method == "PUT" and not rows.everything:
        raise RestError(*errors.PUT_LIMITS)
    return rows


def _pairs(raw: bytes) -> Iterable[tuple[bytes, bytes | None]]:
    for part in raw.replace(b";", b"&").split(b"&"):
        if part:
            key, equals, value = part.replace(b"+", b" ").partition(b"=")
            yield unquote_to_bytes(key), unquote_to_bytes(value) if equals else None


#: The value of a comparison that needs no decoding. What this takes by mistake, `template` refuses.
_COMPARED = re.compile(rb"(=(?:not\.)?(?:eq|neq|gte?|lte?)\.)([A-Za-z0-9_.:-]+)(?=&|\Z)")
#: The same, and an argument of a function that can be no comparison.
_ARGUMENT = re.compile(
    b"(="
    + b"".join(rb"(?<![.&]%b=)" % name for name in sorted(_RESERVED))
    + rb"(?:(?=[A-Za-z0-9_-]+(?:&|\Z))|(?:not\.)?(?:eq|neq|gte?|lte?)\.))([A-Za-z0-9_.:-]+)(?=&|\Z)"
)
TEMPLATED_MAX = 16  # values


@dataclass(frozen=True, slots=True)
class Template:
    """A query string read once for all values of its comparisons: where each value goes."""

    string: QueryString
    places: tuple[int, ...]  # in `string.values`
    texts: tuple[str, ...]  # of the canonical form, around the values
    order: tuple[int, ...]  # of the values in it

    def fill(self, found: list[bytes]) -> QueryString:
        """The query string with these values."""
        values = list(self.string.values)
        for place, value in zip(self.places, found, strict=True):
            values[place] = value
        pieces = [self.texts[0]]
        for number, text in zip(self.order, self.texts[1:], strict=True):
            pieces += (found[number].decode("ascii").replace(":", "%3A"), text)
        string = self.string
        return QueryString(
            string.query, tuple(values), "".join(pieces), string.limit, string.offset, string.shape
        )


def split(raw: bytes, call: bool) -> tuple[bytes, list[bytes]]:
    """A query string with a NUL in place of each plain value, and the values; as it is where there are none."""
    parts = _ARGUMENT.split(b"&" + raw) if call else _COMPARED.split(raw)
    found = parts[2::3]
    if not found or len(found) > TEMPLATED_MAX or b"\0" in raw:
        return raw, []
    parts[2::3] = [b"\0"] * len(found)
    return b"".join(parts).removeprefix(b"&") if call else b"".join(parts), found


def query_string(raw: bytes, call: bool) -> QueryString:
    """Read a query string. Strings that differ in plain values alone are parsed once."""
    text, found = split(raw, call)
    made = template(text, call) if found else None
    return _whole(raw, call) if made is None else made.fill(found)


@lru_cache(maxsize=1024)
def _whole(raw: bytes, call: bool) -> QueryString:
    return _read(raw, call)


@lru_cache(maxsize=2048)
def template(raw: bytes, call: bool) -> Template | None:
    """The template, or None where a value would not come out as it went in. A NUL stands for each value."""
    pieces = raw.split(b"\0")
    marks = [b"hg%dvalue" % n for n in range(len(pieces) - 1)]
    text = b"".join(b"".join(pair) for pair in zip(pieces, [*marks, b""], strict=True))
    try:
        string = _read(text, call)
    except RestError:
        return None
    if any(string.values.count(mark) != 1 or text.count(mark) != 1 for mark in marks):
        return None
    order = sorted(range(len(marks)), key=lambda n: string.canonical.find(marks[n].decode()))
    texts = re.split("|".join(mark.decode() for mark in reversed(marks)), string.canonical)
    if len(texts) != len(marks) + 1:
        return None
    places = tuple(string.values.index(mark) for mark in marks)
    return Template(string, places, tuple(texts), tuple(order))


@lru_cache(maxsize=8192)
def _quoted(part: bytes) -> str:
    return quote(part, safe="")


_shapes: dict[Query, int] = {}


def _shape(query: Query) -> int:
    """A number that equal queries share; the numbers of forgotten shapes are never used again."""
    if (number := _shapes.get(query)) is None:
        if len(_shapes) > 8192:
            _shapes.clear()
        global _next_shape  # noqa: PLW0603 - one counter per process
        _next_shape += 1
        number = _shapes[query] = _next_shape
    return number


_next_shape = 0


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _read(raw: bytes, call: bool) -> QueryString:
    pairs = list(_pairs(raw))
    if len(pairs) > MAX_PARAMETERS:
        raise errors.unparsable('"failed to parse query string"', f"more than {MAX_PARAMETERS} parameters")
    texts = [(k.decode("utf-8", "replace"), v.decode("utf-8", "replace")) for k, v in pairs if v is not None]
    first: dict[str, str] = {}
    for key, text in texts:
        first.setdefault(key, text)
    values = Values()
    query = _query(texts, first, values, call)
    limit = ranges.integer(dict(texts).get("limit", ""))
    offset = ranges.integer(dict(texts).get("offset", ""))
    encoded = sorted(((k, v or b"") for k, v in pairs), key=lambda p: p[0])
    canonical = "&".join(f"{_quoted(k)}={_quoted(v)}" for k, v in encoded)
    return QueryString(query, tuple(values.items), canonical, limit, offset or 0, _shape(query))


def _query(texts: list[tuple[str, str]], first: dict[str, str], values: Values, call: bool) -> Query:
    filters: list[tuple[EmbedPath, Filter]] = []
    arguments: list[tuple[str, int]] = []
    logic: list[tuple[EmbedPath, Filter | Logic]] = []
    orders = [(grammar.parse_path(k)[0], grammar.parse_order(v)) for k, v in texts if _last(k) == "order"]
    for key, text in texts:
        if _last(key) in ("and", "or"):
            logic.append(grammar.parse_logic(key, text, values))
    columns = first.get("columns")
    named = None if columns is None else frozenset(grammar.parse_columns(columns, "columns parameter"))
    select = grammar.parse_select(first.get("select", "*"))
    plain = [(k, v) for k, v in texts if k not in RESERVED and _last(k) not in RESERVED_LAST]
    for key, text in plain:
        found = grammar.parse_filter(key, text, values, call=call)
        if found is not None:
            filters.append(found)
        else:
            arguments.append((grammar.parse_path(key)[1].name, values.add(text)))
    conflict = first.get("on_conflict")
    return Query(
        select=select,
        filters=tuple(filters),
        logic=tuple(logic),
        orders=tuple(orders),
        ranges=tuple(_embedded_ranges(texts, values)),
        columns=named,
        on_conflict=None if conflict is None else grammar.parse_columns(conflict, "on_conflict parameter"),
        arguments=tuple(arguments),
        filter_fields=frozenset(k for k, _ in plain),
    )


def _embedded_ranges(
    texts: list[tuple[str, str]], values: Values
) -> Iterable[tuple[EmbedPath, int | None, int | None]]:
    found: dict[EmbedPath, dict[str, int]] = {}
    for key, text in texts:
        which = _last(key)
        if which in ("limit", "offset") and key != which:
            path = grammar.parse_path(key)[0]
            if (number := ranges.integer(text)) is not None:
                found.setdefault(path, {})[which] = number
            else:
                found.setdefault(path, {})
    for path, given in found.items():
        limit = values.add(str(given["limit"])) if "limit" in given else None
        offset = values.add(str(given["offset"])) if "offset" in given else None
        yield path, limit, offset


def selects_everything(query: Query) -> bool:
    """Whether `select` is `*` alone, so that a handler of the whole row may be used."""
    return (
        len(query.select) == 1 and isinstance(query.select[0], Selected) and query.select[0].field.name == "*"
    )
