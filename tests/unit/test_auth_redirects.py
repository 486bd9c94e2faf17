"""The redirect allow-list: what fits, and every way round it that we know."""

from __future__ import annotations

import pytest

from headgate.surface.auth.redirects import is_allowed, with_fragment, with_query

SITE = "https://site.example"
LISTED = "https://*.app.example/**, myapp://callback, https://exact.example/in, http://[::1]:3000/*"


@pytest.mark.parametrize(
    "url",
    [
        "https://site.example", "https://site.example/", "https://site.example/a/b?c=d#e",
        "https://one.app.example/any/where?x=1.2", "myapp://callback",
        "https://exact.example/in", "http://[::1]:3000/here",
    ],
)  # fmt: skip
def test_allowed(url: str) -> None:
    assert is_allowed(url, site=SITE, listed=LISTED)


@pytest.mark.parametrize(
    "url",
    [
        "", "/", "//evil.example", "///evil.example", "https:evil.example", "https:/evil.example", "evil.example",
        "https://evil.example", "https://site.example.evil.example", "https://site.example@evil.example",
        "https://evil.example#@site.example", "https://evil.example?https://site.example",
        "https://evil.example\\@site.example", "https://evil.example\\.app.example/", "http://site.example",
        "https://site.example:8443/", "https://a.b.app.example/", "https://evil.example/.app.example/",
        "https://evil.example?.app.example/", "https://evil.example#.app.example/", "https://app.example/",
        "https://exact.example/in/more", "https://exact.example/inn", "javascript:alert(1)", "JaVaScRiPt:alert(1)",
        "data:text/html,x", "vbscript:x", "java\tscript:alert(1)", "\x00https://site.example", " https://site.example",
        "https://site.example\r\nX: y", "https://site.example /", "myapp://callback/more", "myapp://other",
        "https://[::1", "https://site.example:port/", "https://site。example/", "https://evil／.app.example/",
        "https://" + "a" * 5000 + ".app.example/", "http://[::1]:3001/here",
    ],
)  # fmt: skip
def test_refused(url: str) -> None:
    assert not is_allowed(url, site=SITE, listed=LISTED)


def test_parameters_are_added_where_they_belong() -> None:
    assert with_query("https://a.example/?x=1#f", {"code": "a b"}) == "https://a.example/?x=1&code=a+b#f"
    assert with_fragment("https://a.example/?x=1#f", {"t": "&"}) == "https://a.example/?x=1#t=%26"
