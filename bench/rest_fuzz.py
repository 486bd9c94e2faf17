"""`python -m bench.rest_fuzz [N]`: N parses (default 1,000,000) of random requests; only an answer or a 4xx will do.

Hypothesis makes the texts in batches; each example is read as a query string, a filter, a select, headers and a body.
"""

from __future__ import annotations

import sys
import time

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from headgate.surface.rest.errors import RestError
from headgate.surface.rest.parse import Incoming, parse_request
from headgate.surface.rest.settings import RestSettings

PIECES = [
    b"select", b"or", b"and", b"not", b"eq", b"in", b"is", b"(", b")", b",", b".", b"->", b"->>", b"::", b":", b"!",
    b"inner", b"...", b"*", b'"', b"\\", b"{", b"}", b"null", b"fts", b"(any)", b"count()", b"limit", b"offset",
    b"order",
    b"=", b"&", b" ", b"%", b"%00", b"\xff", b"a", b"9", b"-", b".sum()", b"on_conflict", b"columns", b";", b"+",
]  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=16).map(b"".join)
TEXTS = st.lists(TEXT, min_size=40, max_size=60)
METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD")
SETTINGS = RestSettings()


def parse_all(texts: list[bytes]) -> int:
    """Read each text in every place where a request has text; the number of parses."""
    done = 0
    for number, text in enumerate(texts):
        headers = [
            (b"prefer", text),
            (b"accept", text),
            (b"range", text),
            (b"content-type", b"application/json"),
        ]
        for path in ("/t", "/rpc/f"):
            for query in (text, b"select=" + text, b"or=(" + text + b")", b"a=" + text, b"order=" + text):
                try:
                    parse_request(Incoming(METHODS[number % 6], path, query, headers, text), SETTINGS)
                except RestError as error:
                    if not 400 <= error.status < 500:
                        raise
                done += 1
    return done


def main() -> None:
    """Fuzz until the number is reached, and say how fast."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    total, began, batch = 0, time.perf_counter(), 0
    while total < wanted:
        batch += 1

        @seed(batch)
        @settings(
            max_examples=200,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(TEXTS)
        def check(texts: list[bytes]) -> None:
            nonlocal total
            total += parse_all(texts)

        check()
    seconds = time.perf_counter() - began
    print(f"{total} parses in {seconds:.0f} s ({total / seconds:.0f}/s): no crash, every refusal a 4xx")


if __name__ == "__main__":
    main()
