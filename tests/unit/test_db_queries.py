"""Named queries."""

from __future__ import annotations

import pytest

from headgate.base.errors import DatabaseError
from headgate.db.queries import parse


def test_queries_are_attributes_without_their_semicolon() -> None:
    found = parse("-- a file\n-- name: one\nselect 1;\n\n-- name: two\n-- why\nselect ';'\n", "x.sql")
    assert found.one == "select 1"
    assert found.two == "-- why\nselect ';'"
    assert dir(found) == ["one", "two"]


def test_unknown_query_names_the_file() -> None:
    with pytest.raises(AttributeError, match=r"x\.sql has no query named 'three'"):
        _ = parse("-- name: one\nselect 1", "x.sql").three


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("select 1", "no `-- name:`"),
        ("-- name: one\n\n-- name: two\nselect 1", "`one` is empty"),
        ("-- name: one\nselect 1;\n-- name: one\nselect 2;", "twice"),
    ],
)
def test_malformed_files_are_refused(text: str, why: str) -> None:
    with pytest.raises(DatabaseError, match=why) as caught:
        parse(text, "x.sql")
    assert caught.value.code == "HG211"
