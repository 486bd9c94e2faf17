"""The reference on fetching says what the code does: every error, every limit."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from headgate.db import Database
from headgate.engine import body, fetch, fetch_errors, limits, record, robots
from headgate.engine.record import Recording
from headgate.engine.transport import Caps

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "fetch.md").read_text()
POLITE = (Path(__file__).parents[2] / "docs" / "explanation" / "politeness.md").read_text()


def test_docs_fetch_lists_every_error_with_its_code_and_whether_to_retry() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (HG\d+) \| .* \| (yes|no|for .*) \|$", PAGE, re.MULTILINE)
    classes = {
        name: kind
        for name, kind in inspect.getmembers(fetch_errors, inspect.isclass)
        if issubclass(kind, fetch_errors.FetchError)
    }
    assert {name: code for name, code, _ in rows} == {
        name: kind.default_code for name, kind in classes.items()
    }
    assert {name: word == "yes" for name, _, word in rows if name != "HttpStatus"} == {
        name: kind.retryable for name, kind in classes.items() if name != "HttpStatus"
    }


def test_docs_fetch_lists_every_parameter_with_its_default() -> None:
    table = PAGE.split("## `Fetcher.get", 1)[1].split("## Errors", 1)[0]
    documented = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE))))
    parameters = inspect.signature(fetch.Fetcher.get).parameters
    assert documented == set(parameters) - {"self", "url"}
    assert f"| {parameters['max_bytes'].default:,} |" in table
    assert f"| {parameters['timeout_s'].default:g} |" in table


def test_docs_fetch_figures_are_those_of_the_code() -> None:
    caps = Caps()
    assert f"included | {caps.connect_s:g} s" in PAGE
    assert f"after that | {caps.headers_s:g} s" in PAGE
    assert f"two reads | {caps.read_s:g} s" in PAGE
    assert f"{caps.stall_bytes} bytes in every {caps.stall_s:g} s" in PAGE
    assert f"redirects | {fetch.MAX_REDIRECTS}" in PAGE
    assert f"{robots.MAX_BYTES // 1024} KiB" in PAGE
    assert f"more than {body.MAX_RATIO}-fold" in PAGE
    assert f"{record.KEEP_DAYS} days" in PAGE
    assert f"up to {robots.MAX_CRAWL_DELAY_S:g} s" in POLITE
    assert limits.MAX_RETRY_AFTER_S == 3600 and "up to an hour" in POLITE


async def test_docs_fetch_examples_run(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both Python examples, on recorded replies in place of the network."""
    url = "https://api.example.com/stations"
    replies = [Recording(url, 200, b"[]", {"etag": '"1"'}), Recording(url, 304, b"")]
    monkeypatch.setattr(fetch, "AioTransport", lambda **_: record.RecordedTransport(replies))
    names = {"db": database}
    for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        code = compile(example, "fetch.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result
    assert names["again"].not_modified  # type: ignore[attr-defined]
