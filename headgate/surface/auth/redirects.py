"""Where people may be sent after a link or a provider: the site itself, and the addresses that the operator allows.

Everything else becomes the site's address, so that nobody's link of ours leads to a stranger's page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from headgate.surface.auth.exchange import AuthRequest

if TYPE_CHECKING:
    from headgate.surface.auth.core import Core

MAX = 4096
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
#: Schemes that run or show what they carry.
_NEVER = frozenset({"javascript", "data", "vbscript", "file", "blob", "about", "view-source"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def allowed_redirect(core: Core, request: AuthRequest) -> str:
    """The address that the request asks to be sent to, if it may be; else the site's."""
    asked, listed = request.redirect_to, core.settings.auth_redirect_urls
    fits = any(is_allowed(asked, site=site, listed=listed) for site in (core.site_url, core.base_url))
    return asked if fits else core.site_url


def is_allowed(url: str, *, site: str, listed: str) -> bool:
    """Whether `url` is on the site, or fits one of the comma-separated patterns `listed`.

    In a pattern `*` stands for any characters but `.` and `/`, `**` for any; neither crosses from host to path.
    """
    if not url or len(url) > MAX or not url.isprintable() or "\\" in url or " " in url:
        return False
    try:
        parts, home = urlsplit(url), urlsplit(site)
        host, port = parts.hostname, parts.port
        home_port = home.port
    except ValueError:
        return False
    if not _SCHEME.fullmatch(parts.scheme) or parts.scheme in _NEVER or "@" in parts.netloc:
        return False
    if parts.scheme in ("http", "https"):
        same_port = (
            port == home_port or host in _LOOPBACK
        )  # development servers of one machine have many ports
        if host and host == home.hostname and parts.scheme == home.scheme and same_port:
            return True
    plain = parts._replace(fragment="").geturl()
    return any(_pattern(one.strip()).fullmatch(plain) for one in listed.split(",") if one.strip())


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    scheme, mark, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    if not mark:
        return re.compile(_regex(text, any_="[^#]*", one="[^./#]*"))
    # a wildcard of the host must not swallow the end of the host
    host = _regex(authority, any_="[^/?#@]*", one="[^./?#@]*")
    return re.compile(re.escape(scheme + mark) + host + slash + _regex(path, any_="[^#]*", one="[^./#]*"))


def _regex(text: str, *, any_: str, one: str) -> str:
    pieces = re.split(r"(\*\*|\*)", text)
    return "".join(any_ if p == "**" else one if p == "*" else re.escape(p) for p in pieces)


def with_query(url: str, values: Mapping[str, str]) -> str:
    """`url` with further parameters in its query, in the place of those of the same name."""
    parts = urlsplit(url)
    kept = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k not in values]
    return urlunsplit(parts._replace(query=urlencode([*kept, *values.items()])))


def with_fragment(url: str, values: Mapping[str, str]) -> str:
    """`url` with `values` as its fragment."""
    return urlunsplit(urlsplit(url)._replace(fragment=urlencode(values)))
