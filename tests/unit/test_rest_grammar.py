"""The query string is read as PostgREST reads it, and any text at all is read or refused, never worse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.surface.rest import grammar
from headgate.surface.rest.ast import Embed, Field, Filter, Logic, Selected, Values
from headgate.surface.rest.errors import RestError
from headgate.surface.rest.hints import nearest_name
from headgate.surface.rest.media import accepted, decode
from headgate.surface.rest.parse import Incoming, QueryString, _read, parse_request, query_string
from headgate.surface.rest.prefer import preferences
from headgate.surface.rest.settings import RestSettings, from_environment


def test_select_reads_aliases_casts_paths_aggregates_and_embeds() -> None:
    star, path, embed, total = grammar.parse_select(
        "*,b:data->a->>0::text,c:clients!fk!inner(id),amount.sum()::int"
    )
    assert star == Selected(Field("*"))
    assert isinstance(path, Selected)
    assert (path.alias, path.cast, [s.key for s in path.field.path]) == ("b", "text", ["a", "+0"])
    assert embed == Embed("clients", "c", "fk", "inner", False, (Selected(Field("id")),))
    assert isinstance(total, Selected)
    assert (total.aggregate, total.aggregate_cast) == ("sum", "int")


def test_filter_keeps_its_literal_apart() -> None:
    values = Values()
    found = grammar.parse_filter("clients.name", 'not.in.(a,"b,c",d)', values)
    assert found == (("clients",), Filter(Field("name"), "in", negated=True, value=0))
    assert values.items == [b'{"a","b,c","d"}']


def test_like_takes_a_star_for_a_percent_sign() -> None:
    values = Values()
    grammar.parse_filter("name", "ilike(any).{a*,b}", values)
    assert values.items == [b"{a%,b}"]


def test_logic_nests_and_negates() -> None:
    values = Values()
    path, tree = grammar.parse_logic("tasks.not.or", "(id.eq.1,and(name.like.*x,id.not.is.null))", values)
    assert path == ("tasks",)
    assert isinstance(tree, Logic)
    assert (tree.operator, tree.negated, len(tree.terms)) == ("or", True, 2)


@pytest.mark.parametrize(
    ("rule", "text", "message", "details"),
    [
        (
            grammar.parse_order,
            "id.asc.nullslasttt",
            '"failed to parse order (id.asc.nullslasttt)" (line 1, column 17)',
            "unexpected 't' expecting \",\" or end of input",
        ),
        (
            lambda t: grammar.parse_columns(t, "columns parameter"),
            "",
            '"failed to parse columns parameter ()" (line 1, column 1)',
            "unexpected end of input expecting field name (* or [a..z0..9_$])",
        ),
        (
            lambda t: grammar.parse_filter("id", t, Values()),
            "noop.1",
            '"failed to parse filter (noop.1)" (line 1, column 1)',
            'unexpected "o" expecting "not" or operator (eq, gt, ...)',
        ),
    ],
)
def test_errors_say_where_and_what_was_expected(rule: object, text: str, message: str, details: str) -> None:
    with pytest.raises(RestError) as caught:
        rule(text)  # type: ignore[operator]
    assert (caught.value.code, caught.value.message, caught.value.details) == ("PGRST100", message, details)


def test_equal_shapes_share_a_plan_and_other_shapes_do_not() -> None:
    one = query_string(b"select=id&name=eq.a&id=in.(1,2)", False)
    two = query_string(b"select=id&name=eq.b&id=in.(3)", False)
    other = query_string(b"select=id&name=neq.b&id=in.(3)", False)
    assert one.shape == two.shape != other.shape
    assert two.values == (b"b", b'{"3"}')


def test_deep_trees_and_long_lists_are_refused_clearly() -> None:
    for raw in (
        b"or=" + b"(and" * 400 + b"(a.eq.1" + b")" * 800,
        b"select=" + b"a(" * 400 + b")" * 400,
        b"id=in.(" + b"1," * 30_000 + b"1)",
        b"&".join(b"a=eq.1" for _ in range(5000)),
    ):
        with pytest.raises(RestError) as caught:
            query_string(raw, False)
        assert caught.value.status == 400


def test_accept_goes_by_quality_and_plan_options_are_read() -> None:
    assert [m.name for m in accepted("text/csv;q=0.5, application/json")] == ["application/json", "text/csv"]
    plan = decode('application/vnd.pgrst.plan+json; for="text/csv"; options=analyze|wal').plan
    assert plan is not None
    assert (plan.of.name, plan.options) == ("text/csv", ("analyze", "wal"))


def test_preferences_keep_the_first_of_each_and_know_the_unknown() -> None:
    found = preferences(
        ("return=minimal, count=exact", "return=representation, foo=bar", "max-affected=3"), False
    )
    assert (found.returning, found.count, found.max_affected, found.invalid) == (
        "minimal",
        "exact",
        3,
        ("foo=bar",),
    )
    assert found.applied() == "return=minimal, count=exact"


def test_a_near_name_is_suggested_and_a_far_one_is_not() -> None:
    names = ["projects", "clients", "tasks"]
    assert nearest_name(names, "project") == "projects"
    assert nearest_name(names, "zebra") is None


def test_settings_come_from_postgrests_own_variables() -> None:
    found = from_environment(
        {"PGRST_DB_SCHEMAS": "a, b", "PGRST_DB_MAX_ROWS": "7", "PGRST_DB_PLAN_ENABLED": "true"}
    )
    assert (found.db_schemas, found.db_max_rows, found.db_plan_enabled) == (("a", "b"), 7, True)


PIECES = st.sampled_from(
    ["select", "or", "and", "not", "eq", "in", "is", "(", ")", ",", ".", "->", "->>", "::", ":", "!", "inner", "...",
     "*",
     '"', "\\", "{", "}", "null", "fts", "any", "count()", "limit", "offset", "order", "=", "&", " ", "%", "a", "9"]
)  # fmt: skip
QUERIES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=25).map(lambda p: "".join(p).encode()))


@settings(max_examples=600, deadline=None)
@given(
    raw=QUERIES,
    call=st.booleans(),
    method=st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "X"]),
)
def test_any_bytes_are_read_or_refused_with_a_client_error(raw: bytes, call: bool, method: str) -> None:
    path = "/rpc/f" if call else "/t"
    headers = [(b"prefer", raw), (b"accept", raw), (b"range", raw), (b"content-type", b"application/json")]
    try:
        parse_request(Incoming(method, path, raw, headers, raw), RestSettings())
    except RestError as error:
        assert 400 <= error.status < 500
        assert error.body()


_PLAIN = st.text("ab01.-_:", min_size=1, max_size=4)
_ODD = st.sampled_from(["", "%41", "a+b", "(1,2)", "null", '"x"', "hg0value", "a;b", "é", "*", "%00"])
_KEY = st.sampled_from(
    ["id", "b", "a.id", "order", "limit", "a.limit", "select", "or", "col->>x", "%69d", "hg0value"]
)
_OPERATOR = st.sampled_from(["eq.", "not.eq.", "gt.", "like.", "in.", "is.", "eq(any).", ""])


@given(
    st.lists(st.builds("{}={}{}".format, _KEY, _OPERATOR, _PLAIN | _ODD), min_size=1, max_size=5),
    st.booleans(),
)
def test_a_query_string_read_by_template_equals_one_read_whole(parts: list[str], call: bool) -> None:
    raw = "&".join(parts).encode()

    def read(how: Callable[[bytes, bool], QueryString]) -> object:
        try:
            string = how(raw, call)
        except RestError as error:
            return error.code, error.message, error.details
        return string.query, string.values, string.canonical, string.limit, string.offset

    assert read(query_string) == read(_read)
