"""What an application says about itself: frozen dataclasses, validated when built. Runs nothing and reads no database.

A wrong description raises `ManifestError` (HG6xx) at import time, naming the application and the field, so it
can never be discovered half-way through a run. `docs/reference/manifest.md` lists every field.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headgate.base.errors import ManifestError
from headgate.base.functions import Function

if TYPE_CHECKING:
    from headgate.engine.progress import Run, RunReport

ENTRY_POINTS = "headgate.apps"

_FUNCTION = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,79}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DOTTED = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_RELATION = re.compile(r"[a-z_][a-z0-9_]{0,62}\.[a-z_][a-z0-9_]{0,62}")
_COLUMN = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_TYPE = re.compile(r"[a-z_][a-z0-9_ .]*(\(\d+(, ?\d+)?\))?(\[\])?")
_TRUNCATING = re.compile(r"(character|char|varchar|bpchar|bit|varbit)\b.*\(\d+\)|char(\[\])?|name(\[\])?")

#: A position in a source: any JSON value. `None` as `Page.next` leaves the stored position as it is.
Cursor = Any
Fetch = Callable[["SourceContext", Cursor], AsyncIterator["Page"]]


def _require(ok: bool, code: str, message: str, hint: str | None = None) -> None:
    if not ok:
        raise ManifestError(message, code=code, hint=hint)


@dataclass(frozen=True, kw_only=True)
class Page:
    """One bounded piece of a source, promoted in one transaction.

    `rows`: mappings, or the bytes of JSON lines (one object per line; of files, a `Parser` may read some).
    `next`: the position after this page (JSON), stored with its rows; `None` leaves the position alone.
    `expected`: how many rows the whole run is expected to see, if the upstream says so; feeds the ETA.
    `meta`: JSON handed to the promote function and to checks. `last`: the run ends with this page, in the
    same transaction. `step`: what the page is, for people ("listings 3 of 9").
    """

    rows: Sequence[Mapping[str, Any]] | bytes = ()
    next: Cursor = None
    expected: int | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    last: bool = False
    step: str = "page"


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """Lines of a file that Python has read. `rows`: by temporary table, in COPY's text format, each row with its end of
    line. `rest`: the lines as they were given, with `b""` in place of each that was read; `lines`: how many these are.
    """

    rows: Mapping[str, bytes]
    rest: Sequence[bytes]
    lines: int


@dataclass(frozen=True, kw_only=True)
class Parser:
    """Reads lines of a file in Python, where that costs less than to have PostgreSQL make jsonb of each.

    `parse(lines, first_line)`, given some hundred lines at a time, knows nothing but these, and leaves what it does not
    surely know to PostgreSQL: a chunk whose rows are refused is staged again, whole, as JSON. It blocks the event loop.
    `tables`: an SQL function `schema.name() returns void` that makes the session's temporary tables.
    """

    parse: Callable[[Sequence[bytes], int], Parsed]
    tables: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """A data-quality check of a staged batch, inside the promote transaction and before anything is written.

    `sql`: a query with the parameters `%(batch)s` (rows in `stage.rows`), `%(run)s` and `%(meta)s` (jsonb)
    that returns no row when all is well; the first row it returns is kept as the finding.
    `action`: `stop` fails the run and promotes nothing; `hold` keeps the batch for a person to release or
    discard (`control.holds`); `warn` records the finding and goes on.
    """

    name: str
    sql: str
    action: Literal["stop", "hold", "warn"] = "stop"
    message: str = ""

    def __post_init__(self) -> None:
        _require(bool(_NAME.fullmatch(self.name)), "HG610", f"Check name {self.name!r} is not a plain name.")
        _require(
            self.action in ("stop", "hold", "warn"),
            "HG611",
            f"Check {self.name!r} has the unknown action {self.action!r}.",
            "Use stop, hold or warn.",
        )
        _require(
            bool(self.sql.strip()) and not self.sql.rstrip().endswith(";"),
            "HG612",
            f"Check {self.name!r} needs one query without a final semicolon.",
        )


@dataclass(frozen=True, kw_only=True)
class Column:
    """A typed column of a `Table` and where its value is in the row's JSON.

    `path`: keys from the top of the object, dots between (`venue.id`), or a sequence of keys when one has a
    dot in it; empty: the column's own name. `required`: a row without it is rejected, with the reason.
    """

    type: str
    path: str | tuple[str, ...] = ""
    required: bool = False

    def keys(self, name: str) -> tuple[str, ...]:
        """The path as keys; `name` is the column's own name."""
        if isinstance(self.path, tuple):
            return self.path
        return tuple((self.path or name).split("."))


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that promote writes: typed columns, a key, and what may overwrite what.

    The application's migrations create it; `columns` maps each written column to a type or a `Column`.
    `key`: columns of a unique index. `version`: a column; a row with a lower one never overwrites a higher one.
    `history`: a table that keeps every version (the same columns, then `valid_from`, `valid_to`, `operation`,
    `run_id`). `deleted`: a `timestamptz` column set when a full snapshot lacks the row; without it the row is
    deleted. Rows equal in every column write nothing.
    """

    name: str
    key: Sequence[str]
    columns: Mapping[str, str | Column]
    version: str | None = None
    history: str | None = None
    deleted: str | None = None

    def __post_init__(self) -> None:
        where = f"Table {self.name!r}"
        _require(
            bool(_RELATION.fullmatch(self.name)), "HG620", f"{where} is not a name of the form schema.table."
        )
        _require(
            self.history is None or bool(_RELATION.fullmatch(self.history)),
            "HG620",
            f"{where}: history {self.history!r} is not a name of the form schema.table.",
        )
        _require(bool(self.columns), "HG621", f"{where} has no columns.")
        for name, column in self.typed().items():
            _check_column(where, name, column)
        missing = [name for name in self.key if name not in self.columns]
        _require(
            bool(self.key) and not missing,
            "HG623",
            f"{where}: key columns {missing or 'are empty'}; each must be among its columns.",
        )
        _require(
            self.version is None or self.version in self.columns,
            "HG624",
            f"{where}: version column {self.version!r} is not among its columns.",
        )
        _require(
            self.deleted is None
            or (self.deleted not in self.columns and bool(_COLUMN.fullmatch(self.deleted))),
            "HG625",
            f"{where}: deleted column {self.deleted!r} must be a column of its own that no row fills.",
        )

    def typed(self) -> dict[str, Column]:
        """Every column as a `Column`, key columns required."""
        found = {n: c if isinstance(c, Column) else Column(type=c) for n, c in self.columns.items()}
        return {
            n: Column(type=c.type, path=c.path, required=True) if n in self.key else c
            for n, c in found.items()
        }


def _check_column(where: str, name: str, column: Column) -> None:
    _require(bool(_COLUMN.fullmatch(name)), "HG622", f"{where}: column {name!r} is not a plain SQL name.")
    _require(
        bool(_TYPE.fullmatch(column.type)),
        "HG622",
        f"{where}: column {name!r} has the unreadable type {column.type!r}.",
    )
    _require(
        not _TRUNCATING.match(column.type),
        "HG622",
        f"{where}: column {name!r} of type {column.type!r} would cut values off silently.",
        "Use text with a check constraint.",
    )
    _require(
        column.type not in ("json", "xml"),
        "HG622",
        f"{where}: column {name!r} of type {column.type!r} cannot be compared.",
        "Use jsonb or text.",
    )
    _require(all(column.keys(name)), "HG622", f"{where}: column {name!r} has an empty key in its path.")


@dataclass(frozen=True, kw_only=True)
class Rollup:
    """A table of aggregates over a `Table`, kept by dirty keys and equal to a rebuild byte for byte.

    `name`: plain and unique in the application. `source`: the table whose changes make keys dirty. `target`:
    the rollup's table, with a unique index on the key columns. `key`: column → expression over `r`, a row of
    the source. `values`: column → aggregate over `r`; use exact types (integers, numeric) so that order never
    shows. `where`: which source rows count.
    """

    name: str
    source: str
    target: str
    key: Mapping[str, str]
    values: Mapping[str, str]
    where: str = "true"

    def __post_init__(self) -> None:
        where = f"Rollup {self.name!r}"
        _require(bool(_NAME.fullmatch(self.name)), "HG630", f"{where} is not a plain name.")
        for relation in (self.source, self.target):
            _require(
                bool(_RELATION.fullmatch(relation)),
                "HG631",
                f"{where}: {relation!r} is not a name of the form schema.table.",
            )
        _require(bool(self.key) and bool(self.values), "HG632", f"{where} needs a key and values.")
        names = [*self.key, *self.values]
        _require(
            all(_COLUMN.fullmatch(n) for n in names) and len(set(names)) == len(names),
            "HG632",
            f"{where}: columns must be plain, different SQL names.",
        )


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where rows come from and which of the two ways they are promoted.

    `fetch(ctx, cursor)`: an async generator of pages from `cursor` (None at first). Exactly one of `table`
    (the name of one of the application's tables) and `promote` (an SQL function
    `schema.name(p_batch bigint, p_run bigint, p_meta jsonb) returns jsonb` reading `stage.rows`).
    `prepare`: an SQL function of the same arguments that may do a part of `promote`'s work earlier in the same
    transaction, while another chunk of the same file is promoted: into temporary tables, taking no lock that
    promoting takes. It is called for files only and not for every chunk, so `promote` must do without it too.
    `parser`: reads a part of a file's lines (needs `prepare`, and no `checks`, which look at staged JSON); `promote`
    finds these lines in the temporary tables, as many as the step has `seen` but neither `staged` nor `rejected`.
    `snapshot`: a run is the whole truth, so it starts without a position and rows it lacks are deleted at its
    end (needs `table`), unless more than `max_deleted` (a share) would go: then the run fails.
    `checks` run in order. `host`: the upstream's `host:port`, for limits. `drift`: record the fields seen.
    """

    name: str
    fetch: Fetch
    promote: str | None = None
    prepare: str | None = None
    parser: Parser | None = None
    table: str | None = None
    checks: Sequence[Check] = ()
    host: str | None = None
    snapshot: bool = False
    max_deleted: float = 0.5
    drift: bool = True

    def __post_init__(self) -> None:
        where = f"Source {self.name!r}"
        _require(bool(_DOTTED.fullmatch(self.name)), "HG640", f"{where}: use the form app.name.")
        _require(
            (self.promote is None) != (self.table is None),
            "HG641",
            f"{where} needs exactly one of promote (an SQL function) and table.",
        )
        _require(
            self.prepare is None or self.promote is not None,
            "HG641",
            f"{where}: prepare is for a source with promote.",
        )
        _require(
            self.parser is None or (self.prepare is not None and not self.checks),
            "HG641",
            f"{where}: parser is for a source with prepare and without checks.",
        )
        tables = None if self.parser is None else self.parser.tables
        for relation in (self.promote, self.prepare, tables, self.table):
            _require(
                relation is None or bool(_RELATION.fullmatch(relation)),
                "HG641",
                f"{where}: {relation!r} is not a name of the form schema.name.",
            )
        _require(
            not self.snapshot or self.table is not None,
            "HG642",
            f"{where}: a snapshot source needs a table to delete from.",
        )
        _require(0 <= self.max_deleted <= 1, "HG642", f"{where}: max_deleted is a share from 0 to 1.")
        _require(callable(self.fetch), "HG643", f"{where}: fetch must be an async generator function.")


@dataclass(frozen=True, kw_only=True)
class SourceContext:
    """What a source is given: its means and its run, nothing global.

    `args` are the run's arguments (JSON), `settings` the application's settings, `key` the scope of the
    cursor (one event, one shop), `log` a structured logger bound to the run.
    """

    fetch: Any
    db: Any
    run: Run
    key: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    log: Any = None


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the composition root hands to job-handler and router factories of an application."""

    db: Any
    fetcher: Any
    app: App
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A page of the console: an ES module in the application's `pages` folder."""

    name: str
    title: str
    module: str

    def __post_init__(self) -> None:
        _require(bool(_NAME.fullmatch(self.name)), "HG650", f"Screen name {self.name!r} is not a plain name.")
        _require(
            self.module.endswith(".js") and "/" not in self.module,
            "HG650",
            f"Screen {self.name!r}: module {self.module!r} must be a .js file of the pages folder.",
        )


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A simulator of the upstream, as `headgate up --demo` runs it.

    `arguments`: of the `headgate` command that runs it. `url`: where it then listens; `ready_path` answers 200
    there once it is ready. `environment`: settings that point the application's sources at it. `jobs`: kinds of jobs
    to run at each start.
    """

    arguments: Sequence[str]
    url: str
    ready_path: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    jobs: Sequence[str] = ()


Handler = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class App:
    """An application: everything the engine, the server and the console need to know of it.

    `folder`: where it lives (`Path(__file__).parent`); its `migrations`, `rollbacks` and `pages` are the
    folders of those names in it. `jobs`: kind → factory(Services) → handler. `api`: factory(Services) → a
    FastAPI router. `schedules`: the timetable's lines. `settings`: a pydantic-settings class read at start.
    `functions`: name → factory(Services) → function, served below `/functions/v1`.
    `demo`: port → how to run its simulator there; each application's gets a port of its own.
    `replay(db, app, file)`: sends a recording through the pipeline.
    """

    name: str
    title: str
    folder: Path
    sources: Sequence[Source] = ()
    tables: Sequence[Table] = ()
    rollups: Sequence[Rollup] = ()
    schedules: Sequence[Any] = ()
    jobs: Mapping[str, Callable[[Services], Handler]] = field(default_factory=dict)
    api: Callable[[Services], Any] | None = None
    functions: Mapping[str, Callable[[Services], Function]] = field(default_factory=dict)
    screens: Sequence[Screen] = ()
    settings: type[Any] | None = None
    demo: Callable[[int], Demo] | None = None
    replay: Callable[[Any, App, Path], Awaitable[Sequence[RunReport]]] | None = None

    def __post_init__(self) -> None:
        where = f"App {self.name!r}"
        _require(bool(_NAME.fullmatch(self.name)), "HG601", f"{where}: the name must be a plain name.")
        _require(bool(self.title.strip()), "HG601", f"{where} has no title.")
        _require(self.folder.is_dir(), "HG602", f"{where}: folder {self.folder.name!r} does not exist.")
        self._check_unique(where)
        tables = {table.name for table in self.tables}
        for source in self.sources:
            _require(
                source.name.startswith(self.name + "."),
                "HG604",
                f"{where}: source {source.name!r} must start with {self.name + '.'!r}.",
            )
            _require(
                source.table is None or source.table in tables,
                "HG605",
                f"{where}: source {source.name!r} names the table {source.table!r}, which is not declared.",
            )
        for rollup in self.rollups:
            _require(
                rollup.source in tables,
                "HG605",
                f"{where}: rollup {rollup.name!r} names the table {rollup.source!r}, which is not declared.",
            )
        for name, make in self.functions.items():
            _require(
                bool(_FUNCTION.fullmatch(name)) and callable(make),
                "HG606",
                f"{where}: function {name!r} must have a plain name (letters, digits, - and _) and a factory.",
            )
        for kind, factory in self.jobs.items():
            _require(
                kind.startswith(self.name + ".") and callable(factory),
                "HG606",
                f"{where}: job kind {kind!r} must start with {self.name + '.'!r} and have a factory.",
            )

    def _check_unique(self, where: str) -> None:
        for what, names in (
            ("source", [s.name for s in self.sources]),
            ("table", [t.name for t in self.tables]),
            ("rollup", [r.name for r in self.rollups]),
            ("screen", [s.name for s in self.screens]),
        ):
            twice = sorted({n for n in names if names.count(n) > 1})
            _require(not twice, "HG603", f"{where} declares the {what} {', '.join(twice)} twice.")

    @property
    def migrations(self) -> Path:
        """The folder of the application's migrations."""
        return self.folder / "migrations"

    @property
    def rollbacks(self) -> Path:
        """The folder of the application's rollbacks, same file names as the migrations."""
        return self.folder / "rollbacks"

    @property
    def pages(self) -> Path:
        """The folder of the console's modules of this application."""
        return self.folder / "pages"

    def source(self, name: str) -> Source:
        """The source called `name`, with or without the application's prefix; `ManifestError` if none is."""
        for source in self.sources:
            if source.name in (name, f"{self.name}.{name}"):
                return source
        known = ", ".join(s.name for s in self.sources) or "none"
        raise ManifestError(
            f"App {self.name!r} has no source {name!r}.", code="HG607", hint=f"It has: {known}."
        )

    def table(self, name: str) -> Table:
        """The table called `name`; `ManifestError` if none is."""
        for table in self.tables:
            if table.name == name:
                return table
        raise ManifestError(f"App {self.name!r} has no table {name!r}.", code="HG607")


def installed_apps(names: Sequence[str] = ()) -> list[App]:
    """Applications found by the entry point `headgate.apps`, by name; only `names` if any are given.

    Raises `ManifestError` when one cannot be loaded, is no `App`, is called differently from its entry point,
    or a wanted name is not installed.
    """
    found: dict[str, App] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if names and point.name not in names:
            continue
        try:
            loaded = point.load()
        except ManifestError:
            raise
        except Exception as error:
            raise ManifestError(
                f"App {point.name!r} cannot be loaded: {type(error).__name__}: {error}", code="HG608"
            ) from error
        _require(
            isinstance(loaded, App) and loaded.name == point.name,
            "HG608",
            f"Entry point {point.name!r} does not lead to an App of that name.",
        )
        found[point.name] = loaded
    missing = [name for name in names if name not in found]
    _require(not missing, "HG609", f"Not installed: {', '.join(missing)}.", "Check HEADGATE_APPS.")
    return [found[name] for name in sorted(found)]
