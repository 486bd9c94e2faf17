"""The grammar of the query string: select, filters, logic, order, columns. Knows no table and writes no SQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeVar

from headgate.surface.rest.ast import (
    IS_VALUES,
    PLAIN_OPERATORS,
    QUANTIFIED_OPERATORS,
    TEXT_SEARCH,
    Embed,
    EmbedPath,
    Field,
    Filter,
    JsonStep,
    Logic,
    Order,
    Select,
    Selected,
    Values,
)
from headgate.surface.rest.errors import RestError, unparsable
from headgate.surface.rest.scan import IDENTIFIER, PLAIN_VALUE, Scanner, Stuck, quoted

T = TypeVar("T")
FIELD_NAME = "field name (* or [a..z0..9_$])"
JSON_KEY = "any non reserved character different from: .,>()"
JSON_KEY_CHARS = re.compile(r"[^(\-:.,>)]+")
DIGITS = re.compile(r"[0-9]+")
ARRAY = re.compile(r"\{[^{}]*\}")
FILTER = re.compile(
    r"(not\.)?(eq|neq|gte|gt|lte|lt|like|ilike|match|imatch|cs|cd|ov|sl|sr|nxr|nxl|adj)(?:\((any|all)\))?\.",
    re.S,
)
MAX_DEPTH = 60  # nested logic
MAX_EMBED_DEPTH = 16  # each level is a lateral join, and planning time grows faster than their number
MAX_EMBEDS = 100
MAX_COLUMNS = 1600  # PostgreSQL itself allows 1664
MAX_ITEMS = 20_000  # members of one in(…) list


def whole(text: str, what: str, rule: Callable[[Scanner], T], *, to_end: bool = True) -> T:
    """Read all of `text` by a rule, or raise PGRST100."""
    scanner = Scanner(text, what)
    try:
        value = rule(scanner)
        if to_end and not scanner.at_end():
            raise Stuck
    except Stuck:
        raise scanner.error() from None
    except RecursionError:
        raise too_deep(what) from None
    return value


def too_deep(what: str, most: int = MAX_DEPTH) -> RestError:
    """The text is nested beyond what is planned."""
    return unparsable(f'"failed to parse {what}"', f"nested deeper than {most} levels")


def _check_size(select: Select) -> Select:
    """Refuse what PostgreSQL could only fail at: too many columns in one resource or resources in one request."""
    embeds, pending = 0, [select]
    while pending:
        items = pending.pop()
        inner = [i.select for i in items if isinstance(i, Embed)]
        embeds += len(inner)
        pending += inner
        if len(items) > MAX_COLUMNS or embeds > MAX_EMBEDS:
            limits = f"more than {MAX_COLUMNS} columns or {MAX_EMBEDS} embedded resources"
            raise unparsable('"failed to parse select parameter"', limits)
    return select


def quoted_value(s: Scanner) -> str | None:
    """`"…"` with backslash escapes, or None where no quote is next."""
    if s.peek() != '"':
        return None
    at, text, out = s.pos + 1, s.text, []
    while at < len(text) and text[at] != '"':
        if text[at] == "\\":
            at += 1
            if at >= len(text):
                break
        out.append(text[at])
        at += 1
    if at >= len(text):
        s.note('"\\""', at=len(text))
        raise Stuck
    s.pos = at + 1
    return "".join(out)


def _dashed(s: Scanner, part: re.Pattern[str], label: str) -> str:
    """Names joined by dashes, where `->` is no dash."""
    names = []
    while True:
        start = s.pos
        name = s.match(part)
        if not name:
            s.note(label)
            raise Stuck
        names.append(name.strip())
        if part is IDENTIFIER:
            s.note("letter", at=s.pos)
            s.note("digit", at=s.pos)
        if s.peek() == "-" and s.text[s.pos + 1 : s.pos + 2] != ">":
            s.pos += 1
            continue
        if start < s.pos:
            s.note('"-"')
        return "-".join(names)


def field_name(s: Scanner) -> str:
    """A column, table, alias or hint."""
    value = quoted_value(s)
    return value if value is not None else _dashed(s, IDENTIFIER, FIELD_NAME)


def json_path(s: Scanner) -> tuple[JsonStep, ...]:
    """`->a->>b->0`, possibly empty."""
    steps: list[JsonStep] = []
    while True:
        arrow: Literal["->", "->>"]
        if s.take("->>"):
            arrow = "->>"
        elif s.take("->"):
            arrow = "->"
        else:
            return tuple(steps)
        steps.append(_json_step(s, arrow))


def _json_step(s: Scanner, arrow: Literal["->", "->>"]) -> JsonStep:
    start = s.pos
    sign = "-" if s.take("-") else "+"
    if digits := s.match(DIGITS):
        rest = s.text[s.pos :]
        if not rest or rest.startswith(("->", "::", ".", ",")):
            return JsonStep(arrow, sign + digits, is_index=True)
    else:
        s.note("digit")
    s.pos = start
    value = quoted_value(s)
    return JsonStep(
        arrow, value if value is not None else _dashed(s, JSON_KEY_CHARS, JSON_KEY), is_index=False
    )


def column(s: Scanner) -> Field:
    """A name and its JSON path, blanks around it."""
    s.spaces()
    name = field_name(s)
    path = json_path(s)
    s.spaces()
    return Field(name, path)


def _attempt(s: Scanner, rule: Callable[[Scanner], T]) -> T | None:
    start = s.pos
    try:
        return rule(s)
    except Stuck:
        s.pos = start
        return None


def _alias(s: Scanner) -> str | None:
    def rule(s: Scanner) -> str:
        name = field_name(s)
        s.need(":")
        if s.peek() == ":":
            raise Stuck
        return name

    return _attempt(s, rule)


def _cast(s: Scanner) -> str | None:
    if not s.take("::"):
        return None
    name = s.match(IDENTIFIER).strip()
    if not name:
        s.note("letter")
        s.note("digit")
        raise Stuck
    return name


def _item_end(s: Scanner) -> None:
    if s.peek() in (")", ","):
        return
    s.note('")"')
    s.note('","')
    if not s.at_end():
        raise Stuck


def _star(s: Scanner) -> Selected:
    s.need("*")
    _item_end(s)
    return Selected(Field("*"))


def _count(s: Scanner) -> Selected:
    alias = _alias(s)
    s.need("count()")
    cast = _cast(s)
    _item_end(s)
    return Selected(Field("*"), alias, aggregate="count", aggregate_cast=cast)


def _aggregate(s: Scanner) -> str | None:
    def rule(s: Scanner) -> str:
        s.need(".")
        for name in ("sum", "avg", "count", "max", "min"):
            if s.take(name):
                s.need("()")
                return name
        raise Stuck

    return _attempt(s, rule)


def _selected(s: Scanner) -> Selected:
    s.spaces()
    for rule in (_star, _count):
        if (found := _attempt(s, rule)) is not None:
            s.spaces()
            return found
    alias = _alias(s)
    field = column(s)
    cast = _cast(s)
    aggregate = _aggregate(s)
    aggregate_cast = _cast(s)
    _item_end(s)
    s.spaces()
    return Selected(field, alias, cast, aggregate, aggregate_cast)


def _embed_head(s: Scanner) -> tuple[str, str | None, str | None, Literal["inner", "left"] | None, bool]:
    s.spaces()
    spread = s.take("...")
    alias = None if spread else _alias(s)
    name = field_name(s)
    if name == "count" and not spread:
        raise Stuck
    hint: str | None = None
    join: Literal["inner", "left"] | None = None
    for _ in range(2):
        if not s.take("!"):
            break
        if s.take("left"):
            join = join or "left"
        elif s.take("inner"):
            join = join or "inner"
        else:
            text = field_name(s)
            hint = hint if hint is not None else text
    if s.peek() != "(":
        s.note('"("')
        raise Stuck
    s.spaces()
    return name, alias, hint, join, spread


def _select_items(s: Scanner, depth: int) -> Select:
    if depth > MAX_EMBED_DEPTH:
        raise too_deep("select parameter", MAX_EMBED_DEPTH)
    items: list[Selected | Embed] = []
    if s.pos >= len(s.text) or s.peek() == ")":
        s.note(FIELD_NAME)
        return ()
    while True:
        head = _attempt(s, _embed_head)
        if head is None:
            items.append(_selected(s))
        else:
            s.need("(")
            inner = _select_items(s, depth + 1)
            s.need(")")
            items.append(Embed(*head, inner))
        start = s.pos
        s.spaces()
        if not s.take(","):
            s.pos = start if s.pos >= len(s.text) else s.pos
            return tuple(items)
        s.spaces()


@lru_cache(maxsize=2048)
def parse_select(text: str) -> Select:
    """`select=…`; an empty text selects nothing."""
    return _check_size(whole(text, "select parameter", lambda s: _select_items(s, 0)))


@lru_cache(maxsize=2048)
def parse_path(text: str) -> tuple[EmbedPath, Field]:
    """`a.b.column->path`: the embedded resource that is meant, and the column."""

    def rule(s: Scanner) -> tuple[EmbedPath, Field]:
        names = [field_name(s)]
        while s.take(".", "delimiter (.)"):
            names.append(field_name(s))
        return tuple(names[:-1]), Field(names[-1], json_path(s))

    return whole(text, "tree path", rule, to_end=False)


@lru_cache(maxsize=2048)
def parse_order(text: str) -> tuple[Order, ...]:
    """`order=a.desc.nullslast,embedded(b)`."""
    return whole(text, "order", lambda s: _separated(s, _order_term), to_end=False)


@lru_cache(maxsize=2048)
def parse_columns(text: str, what: str) -> tuple[str, ...]:
    """`columns=…` or `on_conflict=…`."""
    return whole(text, what, lambda s: _separated(s, field_name), to_end=False)


def _separated(s: Scanner, rule: Callable[[Scanner], T]) -> tuple[T, ...]:
    items = [rule(s)]
    while True:
        start = s.pos
        s.spaces()
        if not s.take(","):
            s.pos = start
            return tuple(items)
        s.spaces()
        items.append(rule(s))


def _order_term(s: Scanner) -> Order:
    def related(s: Scanner) -> Order:
        name = field_name(s)
        s.need("(")
        field = column(s)
        s.need(")")
        return _direction(s, field, name)

    s.spaces()
    term = _attempt(s, related) or _direction(s, column(s), None)
    s.spaces()
    return term


def _direction(s: Scanner, field: Field, relation: str | None) -> Order:
    direction: Any = None
    nulls: Any = None
    if s.take(".asc"):
        direction = "ASC"
    elif s.take(".desc"):
        direction = "DESC"
    if s.take(".nullsfirst"):
        nulls = "NULLS FIRST"
    elif s.take(".nullslast"):
        nulls = "NULLS LAST"
    if s.peek() != ",":
        s.note('","')
        if not s.at_end():
            raise Stuck
    return Order(field, direction, nulls, relation)


# ---------------------------------------------------------------- filters


def array_literal(items: list[str]) -> str:
    """A PostgreSQL array literal of texts; PostgreSQL infers the type of its members."""
    if items == [""]:
        return "{}"
    escaped = ('"' + i.replace("\\", "\\\\").replace('"', '\\"') + '"' for i in items)
    return "{" + ",".join(escaped) + "}"


def _list_element(s: Scanner) -> str:
    def quoted_rule(s: Scanner) -> str:
        value = quoted_value(s)
        if value is None or s.peek() not in (",", ")", ""):
            raise Stuck
        return value

    if s.peek() == '"' and (value := _attempt(s, quoted_rule)) is not None:
        return value
    return s.match(PLAIN_VALUE)


def _list(s: Scanner) -> list[str]:
    s.spaces()
    s.need("(")
    s.spaces()
    items = [_list_element(s)]
    while s.take(","):
        items.append(_list_element(s))
        if len(items) > MAX_ITEMS:
            raise unparsable('"failed to parse filter"', f"more than {MAX_ITEMS} members in one list")
    s.spaces()
    s.need(")")
    s.spaces()
    return items


def _fold(s: Scanner, literal: str) -> bool:
    if s.text[s.pos : s.pos + len(literal)].lower() == literal:
        s.pos += len(literal)
        return True
    s.note(quoted(literal))
    return False


def operation(s: Scanner, field: Field, values: Values, literal: Callable[[Scanner], str]) -> Filter:
    """`[not.]operator.value`, with the literal read by `literal`."""
    negated = s.take("not.", '"not"')
    start = s.pos
    if s.text.startswith("in.", start):
        s.pos += 3
        return Filter(field, "in", negated, value=values.add(array_literal(_list(s))))
    if s.text.startswith("is.", start):
        s.pos += 3
        for keyword in IS_VALUES:
            if _fold(s, keyword):
                return Filter(field, "is", negated, IS_VALUES[keyword])
        raise Stuck
    if s.text.startswith("isdistinct.", start):
        s.pos += 11
        return Filter(field, "isdistinct", negated, value=values.add(literal(s)))
    if (search := _attempt(s, _text_search)) is not None:
        return Filter(field, search[0], negated, search[1], values.add(literal(s)))
    found = FILTER.match(s.text, start)
    if found is None or found.group(1) or (found.group(3) and found.group(2) in PLAIN_OPERATORS):
        s.note("operator (eq, gt, ...)", at=start)
        if after := _known_operator(s.text, start):
            s.note("delimiter (.)", at=after)
        raise Stuck
    s.pos = found.end()
    name = found.group(2)
    text = literal(s)
    if name in ("like", "ilike"):
        text = text.replace("*", "%")
    return Filter(field, name, negated, found.group(3), values.add(text))


def _known_operator(text: str, start: int) -> int:
    names = sorted((*PLAIN_OPERATORS, *QUANTIFIED_OPERATORS), key=len, reverse=True)
    return next((start + len(n) for n in names if text.startswith(n, start)), 0)


def _text_search(s: Scanner) -> tuple[str, str | None]:
    name = next((n for n in TEXT_SEARCH if s.text.startswith(n, s.pos)), None)
    if name is None:
        raise Stuck
    s.pos += len(name)
    language = _attempt(s, _in_parentheses)
    s.need(".", "delimiter (.)")
    return name, language


def _in_parentheses(s: Scanner) -> str:
    s.need("(")
    name = s.match(IDENTIFIER).strip()
    s.need(")")
    return name


def _rest(s: Scanner) -> str:
    text = s.text[s.pos :]
    s.pos = len(s.text)
    return text


def parse_filter(
    key: str, text: str, values: Values, *, call: bool = False
) -> tuple[EmbedPath, Filter] | None:
    """`key=text` as a filter of the resource that the key's path names.

    None where `call` is set and the text has no operator: it is an argument of the function then.
    """
    path, field = parse_path(key)
    quick = FILTER.match(text)
    if quick and not (quick.group(3) and quick.group(2) in PLAIN_OPERATORS):
        negated, name, modifier = quick.groups()
        value = text[quick.end() :]
        if name in ("like", "ilike"):
            value = value.replace("*", "%")
        return path, Filter(field, name, bool(negated), modifier, values.add(value))
    scanner = Scanner(text, "filter")
    try:
        return path, operation(scanner, field, values, _rest)
    except Stuck:
        if call and scanner.pos == 0:
            return None
        raise scanner.error() from None


def _logic_value(s: Scanner) -> str:
    if s.peek() == '"':
        return _list_element(s)
    if s.peek() == "{" and (found := ARRAY.match(s.text, s.pos)):
        s.pos = found.end()
        return found.group()
    return s.match(PLAIN_VALUE)


def _logic(s: Scanner, values: Values, depth: int) -> Filter | Logic:
    if depth > MAX_DEPTH:
        raise too_deep("logic tree")

    def as_filter(s: Scanner) -> Filter:
        field = column(s)
        s.need(".", "delimiter (.)")
        return operation(s, field, values, _logic_value)

    kept = len(values.items)
    if (found := _attempt(s, as_filter)) is not None:
        return found
    del values.items[kept:]
    negated = s.take("not.", "negation operator (not)")
    operator: Literal["and", "or"]
    if s.take("and", "logic operator (and, or)"):
        operator = "and"
    elif s.take("or", "logic operator (and, or)"):
        operator = "or"
    else:
        raise Stuck
    s.spaces()
    s.need("(")
    s.spaces()
    terms = [_logic(s, values, depth + 1)]
    while True:
        s.spaces()
        if not s.take(","):
            break
        s.spaces()
        terms.append(_logic(s, values, depth + 1))
    s.need(")")
    s.spaces()
    return Logic(operator, tuple(terms), negated)


def parse_logic(key: str, text: str, values: Values) -> tuple[EmbedPath, Filter | Logic]:
    """`and=(…)`, `or=(…)`, `a.b.not.or=(…)`."""

    def names_rule(s: Scanner) -> list[str]:
        names = [field_name(s)]
        while s.take(".", "delimiter (.)"):
            names.append(field_name(s))
        return names

    names = whole(key, "logic path", names_rule, to_end=False)
    operator = f"not.{names[-1]}" if "not" in names else names[-1]
    tree = whole(operator + text, "logic tree", lambda s: _logic(s, values, 0), to_end=False)
    return tuple(n for n in names[:-1] if n != "not"), tree
