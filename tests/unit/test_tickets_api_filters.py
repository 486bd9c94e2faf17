"""Suffix filters and ordering accept what is documented and refuse the rest by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.apps.tickets.api_errors import ApiError
from headgate.apps.tickets.api_filters import documented, narrow

COLUMNS = {
    "id": "integer",
    "name": "text",
    "price": "number",
    "active": "boolean",
    "starts_at": "time",
    "day": "date",
}
KNOWN = frozenset({"limit"})


def _where(*pairs: tuple[str, str]) -> tuple[str, dict[str, object]]:
    found = narrow(pairs, COLUMNS, known=KNOWN, order="id.asc")
    return found.where.as_string(None), found.params


@pytest.mark.parametrize(
    ("name", "value", "sql"),
    [
        ("id_eq", "3", '"id" = %(f0)s'),
        ("id_neq", "3", '"id" <> %(f0)s'),
        ("price_gt", "1.5", '"price" > %(f0)s'),
        ("price_gte", "1.5", '"price" >= %(f0)s'),
        ("price_lt", "1.5", '"price" < %(f0)s'),
        ("starts_at_lte", "2026-01-01T00:00:00Z", '"starts_at" <= %(f0)s'),
        ("name_like", "%Open%", '"name"::text ilike %(f0)s'),
        ("id_in", "1,2, 3", '"id" = any(%(f0)s)'),
    ],
)
def test_each_suffix_becomes_its_operator(name: str, value: str, sql: str) -> None:
    where, params = _where((name, value))
    assert where == f"where {sql}"
    assert list(params) == ["f0"]


def test_filters_are_joined_with_and() -> None:
    where, params = _where(("id_gte", "1"), ("id_lt", "9"), ("limit", "5"))
    assert where == 'where "id" >= %(f0)s and "id" < %(f1)s'
    assert params == {"f0": 1, "f1": 9}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unknown_eq", "1"),
        ("id", "1"),
        ("id_eq", "x"),
        ("id_eq", "9" * 40),
        ("price_gt", "NaN"),
        ("price_gt", "Infinity"),
        ("active_eq", "maybe"),
        ("starts_at_gt", "yesterday"),
        ("id_like", "%1%"),
        ("name_eq", "a\x00b"),
        ("name_eq", "x" * 201),
        ("id_in", ",".join("1" * 101)),
        ("order", "name.up"),
        ("order", "password.asc"),
        ("order", "id.asc,"),
    ],
)
def test_what_is_not_documented_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ApiError) as refused:
        _where((name, value))
    assert refused.value.code == "VALIDATION_ERROR"
    assert refused.value.details["parameter"] in (name, "order")


def test_order_takes_several_columns_and_puts_missing_values_last() -> None:
    found = narrow([("order", "price.desc,name")], COLUMNS, known=KNOWN, order="id.asc")
    assert found.order.as_string(None) == 'order by "price" desc nulls last, "name" asc nulls last'


@given(st.text(max_size=30), st.text(max_size=60))
def test_any_text_is_a_filter_or_a_refusal_and_never_reaches_sql_as_text(name: str, value: str) -> None:
    try:
        where, params = _where((name, value))
    except ApiError as refused:
        assert refused.code == "VALIDATION_ERROR"
    else:
        assert where == "" or set(params) == {"f0"}


def test_documentation_lists_every_filter() -> None:
    names = {parameter["name"] for parameter in documented(COLUMNS)}
    assert "price_gte" in names and "name_like" in names and "price_like" not in names
    assert len(names) == 6 * 7 + 1


def test_a_time_without_an_offset_is_meant_in_utc() -> None:
    _, params = _where(("starts_at_gte", "2026-03-08T02:30:00"))
    assert [str(value) for value in params.values()] == ["2026-03-08 02:30:00+00:00"]
