"""Reading database URLs."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from headgate.base.errors import DatabaseError
from headgate.db.address import read

SECRET = "s3cret%2Fword"


@pytest.mark.parametrize(
    ("url", "prepare"),
    [
        ("postgresql://u@h/d", True),
        ("postgresql://u@h:6543/d", False),
        ("postgresql://u@h:6543/d?prepare=on", True),
        ("postgresql://u@h/d?prepare=off", False),
        ("postgresql://u@h/d?sslmode=require&pgbouncer=true", False),
        ("host=h port=6543 dbname=d", False),
    ],
)
def test_transaction_poolers_get_no_prepared_statements(url: str, prepare: bool) -> None:
    found = read(url)
    assert found.prepare is prepare
    assert "pgbouncer" not in found.conninfo and "prepare" not in found.conninfo
    assert read(url, prepare=True).prepare is True


def test_place_names_host_port_and_database_but_no_password() -> None:
    found = read(f"postgresql://me:{SECRET}@db.example.org:5433/shop?prepare=off")
    assert found.place == 'database "shop" as "me" at db.example.org:5433'
    assert conninfo_to_dict(found.conninfo)["password"] == "s3cret/word"
    assert "s3cret" not in repr(found), "a frame's local variables may be logged"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@h/d?nonsense=1",
        f"postgresql://me:{SECRET}@h:port/d?sslmode=",
        f"postgres://me:{SECRET}%zz@h/d",
        f"host=h password={SECRET} wat",
        f"mysql://me:{SECRET}@h/d",
    ],
)
def test_unreadable_urls_are_refused_without_repeating_them(url: str) -> None:
    try:
        found = read(url)
    except DatabaseError as error:
        assert error.code == "HG202"
        assert "s3cret" not in str(error)
    else:
        assert "s3cret" not in found.place
