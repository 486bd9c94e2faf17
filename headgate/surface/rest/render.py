"""Plans as SQL. Identifiers come from the catalog and are quoted; every text of the client is a parameter."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.db.catalog import QName
from headgate.surface.rest.ast import (
    PLAIN_OPERATORS,
    QUANTIFIED_OPERATORS,
    TEXT_SEARCH,
    Field,
)
from headgate.surface.rest.nodes import (
    Coerced,
    Group,
    Item,
    JsonEmbed,
    Node,
    NullEmbed,
    Sorted,
    Spread,
    SpreadField,
    Test,
    Where,
)

# What fills a parameter: the index of a literal, a constant, or a name that the executor knows.
Slot = int | bytes | str | tuple[str, int, int]


def ident(name: str) -> str:
    """An identifier, quoted."""
    return '"' + name.replace("\0", "").replace('"', '""') + '"'


def name_of(name: QName) -> str:
    """A qualified name, quoted; without a schema only the name."""
    return f"{ident(name.schema)}.{ident(name.name)}" if name.schema else ident(name.name)


class Sql:
    """Collects the parameters while a statement is put together."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []

    def param(self, slot: Slot) -> str:
        """A placeholder for a value; PostgreSQL infers its type."""
        self.slots.append(slot)
        return f"${len(self.slots)}"

    def text(self, constant: str) -> str:
        """A placeholder for a text that belongs to the shape of the request."""
        return self.param(constant.replace("\0", "").encode("utf-8", "surrogatepass"))


def column(table: QName, name: str) -> str:
    """`table.column`, or `table.*`."""
    return f"{name_of(table)}.{'*' if name == '*' else ident(name)}"


class ReadRenderer:
    """Writes the SELECT of a read plan."""

    def __init__(self, sql: Sql) -> None:
        self.sql = sql

    # -- fields and filters

    def field(self, table: QName, f: Coerced, language: str | None = None) -> str:
        """A field with its JSON path, as a search vector where text is searched."""
        if f.full_row:
            text = ident(table.name)
        elif not f.path:
            text = column(table, f.name)
        else:
            text = f"to_jsonb({column(table, f.name)})" if f.to_json else column(table, f.name)
            text += self.path(Field(f.name, f.path))
        if not f.search:
            return text
        return f"to_tsvector({self._language(language)}{text})"

    def path(self, f: Field) -> str:
        """`->$1->>$2`: each step is a parameter."""
        steps = (
            f"{s.arrow}{self.sql.text(s.key)}::int" if s.is_index else f"{s.arrow}{self.sql.text(s.key)}"
            for s in f.path
        )
        return "".join(steps)

    def _language(self, language: str | None) -> str:
        return f"{self.sql.text(language)}, " if language is not None else ""

    def where(self, table: QName, w: Where) -> str:
        """A filter or a tree of filters as a condition."""
        if isinstance(w, Group):
            joined = f" {w.operator.upper()} ".join(self.where(table, t) for t in w.terms)
            return f"{'NOT ' if w.negated else ''}({joined})"
        if isinstance(w, NullEmbed):
            return f"{ident(w.alias)} IS {'' if w.negated else 'NOT '}DISTINCT FROM NULL"
        return self._test(table, w)

    def _test(self, table: QName, w: Test) -> str:
        f, asked = w.field, w.filter
        language = asked.modifier if asked.operator in TEXT_SEARCH else None
        text = f"{'NOT ' if asked.negated else ''}{self.field(table, f, language)}"
        op = asked.operator
        if asked.value is None:
            return f"{text} IS {asked.modifier}"
        if op in TEXT_SEARCH:
            return f"{text} @@ {TEXT_SEARCH[op]}({self._language(language)}{self.sql.param(asked.value)})"
        if op == "isdistinct":
            return f"{text} IS DISTINCT FROM {self.sql.param(asked.value)}"
        if op == "in":
            return f"{text} = ANY ({self._list(f, asked.value)})"
        value = self.sql.param(asked.value)
        plain = op in ("like", "ilike") or f.transform is None
        shown = value if plain else f"{f.transform}({value})"
        if op in PLAIN_OPERATORS:
            return f"{text} {PLAIN_OPERATORS[op]} {shown}"
        if asked.modifier:
            shown = f"{asked.modifier.upper()}({shown})"
        return f"{text} {QUANTIFIED_OPERATORS[op]} {shown}"

    def _list(self, f: Coerced, value: int) -> str:
        literal = self.sql.param(value)
        return f"SELECT {f.transform}(unnest({literal}::text[]))" if f.transform else literal

    # -- the columns of the result

    def _cast(self, text: str, cast: str | None) -> str:
        return f"CAST({text} AS {cast})" if cast else text

    def _aggregated(self, text: str, aggregate: str | None, cast: str | None) -> str:
        return self._cast(f"{aggregate}({text})", cast) if aggregate else text

    @staticmethod
    def _as(alias: str | None) -> str:
        return f" AS {ident(alias)}" if alias else ""

    def item(self, table: QName, i: Item) -> str:
        """A column of the result with its representation, cast, aggregate and alias."""
        text = self.field(table, i.field)
        if i.field.transform:
            text = f"{i.field.transform}({text})"
        text = self._cast(text, i.cast)
        return self._aggregated(text, i.aggregate, i.aggregate_cast) + self._as(i.alias)

    def _spread_item(self, alias: str, f: SpreadField) -> str:
        text = self._aggregated(column(QName("", alias), f.name), f.aggregate, f.aggregate_cast)
        return text + self._as(f.alias)

    def _joined_items(self, node: Node) -> Iterable[str]:
        for select in node.selects:
            if isinstance(select, Spread):
                yield from (self._spread_item(select.alias, f) for f in select.fields)
            elif select.empty:
                continue
            elif select.array:
                alias = ident(select.alias)
                yield f"COALESCE({alias}.{alias}, '[]') AS {ident(select.name)}"
            else:
                yield f"row_to_json({ident(select.alias)}.*)::jsonb AS {ident(select.name)}"

    # -- the statement

    def here(self, node: Node) -> QName:
        """How the rows of a node are called in its own SELECT."""
        if node.relation is not None and node.relation.kind == "computed":
            return QName("", node.source_alias or node.relation.foreign.name)
        return QName("", node.source_alias) if node.source_alias else node.source

    def source(self, node: Node) -> str:
        """The FROM clause, with the junction of a many-to-many relationship."""
        r = node.relation
        if r is not None and r.function is not None:
            origin = node.parent_alias or r.table.name
            text = f"{name_of(r.function)}({ident(origin)}::{name_of(r.table)})"
        else:
            text = name_of(node.source)
        if node.source_alias:
            text += f" AS {ident(node.source_alias)}"
        if r is not None and r.junction is not None:
            text += f", {name_of(r.junction.table)}"
        return f" FROM {text}"

    def links(self, node: Node) -> list[str]:
        """The conditions that tie a node to its parent."""
        r = node.relation
        if r is None or r.kind == "computed":
            return []
        parent = QName("", node.parent_alias) if node.parent_alias else r.table
        if r.junction is not None:
            j = r.junction
            return [
                *(f"{column(j.table, b)} = {column(r.foreign, a)}" for a, b in j.columns2),
                *(f"{column(j.table, b)} = {column(parent, a)}" for a, b in j.columns),
            ]
        here = self.here(node)
        return [f"{column(here, b)} = {column(parent, a)}" for a, b in r.columns]

    def select(self, node: Node) -> str:
        """The SELECT of a node and all that is embedded in it."""
        here = self.here(node)
        items = node.items if node.items or node.children else [Item(Coerced("*"))]
        columns = [self.item(here, i) for i in items]
        columns += [
            self.item(here if relation is None else QName("", relation), i)
            for relation, i in node.extra_items
        ]
        columns += self._joined_items(node)
        text = f"SELECT {', '.join(columns)}{self.source(node)}"
        text += "".join(
            self._join(select, child) for select, child in zip(node.selects, node.children, strict=True)
        )
        conditions = [self.where(here, w) for w in node.where] + self.links(node)
        if conditions:
            text += f" WHERE {' AND '.join(conditions)}"
        return text + self._group(here, node) + self.order(here, node.order) + self._limit(node)

    def _join(self, select: JsonEmbed | Spread, child: Node) -> str:
        alias = ident(select.alias)
        inner = child.join == "inner"
        text = self.select(child)
        condition = "TRUE"
        many = child.spread == "many" if isinstance(select, Spread) else select.array
        if many:
            columns = [f"json_agg({alias})::jsonb AS {alias}"]
            if isinstance(select, Spread):
                columns += [self._collected(select.alias, f, child) for f in select.fields]
            text = f"SELECT {', '.join(columns)} FROM ({text}) AS {alias}"
            condition = f"{alias} IS NOT NULL" if inner else "TRUE"
        return f" {'INNER' if inner else 'LEFT'} JOIN LATERAL ({text}) AS {alias} ON {condition}"

    def _collected(self, alias: str, f: SpreadField, child: Node) -> str:
        value = column(QName("", alias), f.name)
        order = self.order(QName("", alias), child.spread_order)
        return f"COALESCE(json_agg({value}{order}), '[]')::jsonb AS {ident(f.alias or f.name)}"

    def _group(self, here: QName, node: Node) -> str:
        spread = [f for s in node.selects if isinstance(s, Spread) for f in s.fields]
        if not any(i.aggregate for i in node.items) and not any(f.aggregate for f in spread):
            return ""
        terms = [
            ident(i.alias) if i.alias else self.field(here, i.field) for i in node.items if not i.aggregate
        ]
        for select in node.selects:
            if isinstance(select, JsonEmbed):
                terms.append(ident(select.name))
                continue
            terms += [
                f"{ident(select.alias)}.{ident(f.alias or f.name)}" for f in select.fields if not f.aggregate
            ]
        return f" GROUP BY {', '.join(terms)}" if terms else ""

    def order(self, here: QName, terms: list[Sorted]) -> str:
        """The ORDER BY clause."""
        if not terms:
            return ""
        shown = []
        for t in terms:
            table = here if t.relation is None else QName("", t.relation)
            f = t.field
            if t.relation is not None:
                f = Coerced(f.name, f.path, to_json=False)
            parts = [self.field(table, f), t.order.direction or "", t.order.nulls or ""]
            shown.append(" ".join(p for p in parts if p))
        return f" ORDER BY {', '.join(shown)}"

    def _limit(self, node: Node) -> str:
        if node.rows and node.depth == 0:
            # The limit is written out: PostgreSQL plans badly for an unknown one. It is a number by now.
            limit_text = f" LIMIT {node.most:d}" if node.most is not None else ""
            return limit_text + (f" OFFSET {self.sql.param('offset')}" if node.skips else "")
        limit: Slot | None = node.limit
        if node.max_rows is not None:
            capped = ("least", node.limit, node.max_rows) if node.limit is not None else None
            limit = capped or str(node.max_rows).encode()
        if limit is None and node.offset is None:
            return ""
        offset: Slot = node.offset if node.offset is not None else b"0"
        shown = self.sql.param(limit) if limit is not None else "ALL"
        return f" LIMIT {shown} OFFSET {self.sql.param(offset)}"

    # -- counting

    def count(self, node: Node) -> str:
        """A SELECT with one row for each row of the node, whatever its limit; for counting only."""
        here = self.here(node)
        conditions = [self._counted(here, w, node) for w in node.where] + self.links(node)
        conditions += [f"EXISTS ({self.count(c)})" for c in node.children if c.join == "inner"]
        tail = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT 1{self.source(node)}{tail}"

    def _counted(self, here: QName, w: Where, node: Node) -> str:
        if isinstance(w, Group):
            joined = f" {w.operator.upper()} ".join(self._counted(here, t, node) for t in w.terms)
            return f"{'NOT ' if w.negated else ''}({joined})"
        if isinstance(w, NullEmbed):
            child = next(c for c in node.children if c.join_alias == w.alias)
            return f"{'' if w.negated else 'NOT '}EXISTS ({self.count(child)})"
        return self.where(here, w)
