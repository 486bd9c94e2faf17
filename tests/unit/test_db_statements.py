"""Splitting SQL text into statements."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.db.statements import fingerprint, first_words, split, tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (";;", []),
        ("-- nothing\n/* at all */", []),
        ("select 1; select 2", ["select 1", "select 2"]),
        ("select ';'; select \";\"", ["select ';'", 'select ";"']),
        ("select 'it''s;'; select E'\\';'", ["select 'it''s;'", "select E'\\';'"]),
        ("do $$ begin; end $$; select 1", ["do $$ begin; end $$", "select 1"]),
        ("do $a$ select $b$;$b$; $a$; x", ["do $a$ select $b$;$b$; $a$", "x"]),
        ("select $1; select a$b$c", ["select $1", "select a$b$c"]),
        ("-- one;\nselect 1; -- two;\nselect 2", ["-- one;\nselect 1", "-- two;\nselect 2"]),
        ("/* a; /* b; */ c; */ select 1;", ["/* a; /* b; */ c; */ select 1"]),
        (
            "create function f() returns int begin atomic select 1; select case when true then 2 end; end; select 3",
            [
                "create function f() returns int begin atomic select 1; select case when true then 2 end; end",
                "select 3",
            ],
        ),
        ("select 1 as begin; select 2", ["select 1 as begin", "select 2"]),
    ],
)
def test_statements_end_at_their_own_semicolons_only(text: str, expected: list[str]) -> None:
    assert split(text) == expected


SQL_LIKE = st.lists(
    st.sampled_from(
        [
            "select",
            "'",
            "''",
            '"',
            "$$",
            "$a$",
            ";",
            "--",
            "\n",
            "/*",
            "*/",
            " ",
            "E'",
            "\\",
            "$1",
            "x",
            "é",
            "begin",
            "atomic",
            "end",
        ]
    ),
    max_size=40,
).map("".join)


@given(SQL_LIKE)
@example("$$ unfinished")
@example("'unfinished")
@example("/* unfinished")
def test_tokens_lose_nothing(text: str) -> None:
    assert "".join(piece for _, piece in tokens(text)) == text


@given(SQL_LIKE)
@example("$$\n")
def test_split_says_the_same_as_the_text(text: str) -> None:
    kinds = [kind for kind, _ in tokens(text)]
    if "other" not in kinds or not any(mark in text for mark in ("'", '"', "$", "/*", "--")):
        assert fingerprint(split(text)) == fingerprint([text])


def test_fingerprint_sees_meaning_and_not_layout() -> None:
    assert fingerprint("select 1 ;") == fingerprint(["-- one\nselect   1"])
    assert fingerprint("select 'a b'") != fingerprint("select 'a  b'")
    assert fingerprint("select a b") != fingerprint("select ab")
    assert fingerprint("select '-- no comment'") != fingerprint("select ''")


def test_first_words_skip_comments() -> None:
    assert first_words("/* x */ -- y\n Start  TRANSACTION read only") == "start transaction"
