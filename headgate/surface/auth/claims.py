"""What a token's claims say: still valid, meant for us, and for which role. Checks no signature."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import orjson

SKEW_S = 30  # clocks of issuers may be off by this many seconds
STEP = re.compile(
    r"\.(?P<name>[A-Za-z0-9_@-]+)|\.?\[\s*(?P<quote>[\"'])(?P<quoted>.*?)(?P=quote)\s*\]|\.?\"(?P<bare>[^\"]+)\""
    r"|\[(?P<index>-?\d+)\]|\[\?(?P<filter>.+)\]",
)
COMPARE = re.compile(r"^\(?\s*@\s*(==|!=|\^==|==\^|\*==)\s*([\"'])(.*)\2\s*\)?$")
SEARCH = re.compile(r"^\(?\s*(search|match)\(\s*@\s*,\s*([\"'])(.*)\2\s*\)\s*\)?$")


class ClaimsError(Exception):
    """The claims do not let the token in; the text is what the client is told."""


def check_claims(claims: Mapping[str, Any], *, audience: str | None, now: float | None = None) -> None:
    """Raise ClaimsError unless exp, nbf, iat and aud hold."""
    moment = int(time.time() if now is None else now)

    def seconds(name: str) -> int | None:
        value = claims.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ClaimsError(f"The JWT '{name}' claim must be a number")
        return int(value)

    if (exp := seconds("exp")) is not None and moment - SKEW_S > exp:
        raise ClaimsError("JWT expired")
    if (nbf := seconds("nbf")) is not None and moment + SKEW_S < nbf:
        raise ClaimsError("JWT not yet valid")
    if (iat := seconds("iat")) is not None and moment + SKEW_S < iat:
        raise ClaimsError("JWT issued at future")
    _check_audience(claims.get("aud"), audience)


def _check_audience(given: Any, wanted: str | None) -> None:
    if given is None:
        return
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list) or not all(isinstance(a, str) for a in listed):
        raise ClaimsError("The JWT 'aud' claim must be a string or an array of strings")
    if wanted is None or (isinstance(given, list) and not given):
        return
    if not any(_fits(a, wanted) for a in listed):
        raise ClaimsError("JWT not in audience")


def _fits(given: str, wanted: str) -> bool:
    """The setting is a text or a regular expression for the whole claim."""
    if given == wanted:
        return True
    try:
        return re.fullmatch(wanted, given) is not None
    except re.error:
        return False


def claim_at(claims: Any, path: str) -> str | None:
    """The role by a path like `$.app.roles[0]` or `$.roles[?search(@, "^web_")]`; None where there is none."""
    values = [claims]
    text = path.removeprefix("$")
    at = 0
    while at < len(text):
        found = STEP.match(text, at)
        if found is None:
            return None
        at = found.end()
        values = [v for value in values for v in _step(value, found)]
    if not values or values[0] is None:
        return None
    return values[0] if isinstance(values[0], str) else orjson.dumps(values[0]).decode()


def _step(value: Any, found: re.Match[str]) -> list[Any]:
    name = found["name"] or found["quoted"] or found["bare"]
    if name is not None:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if found["index"] is not None:
        index = int(found["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    return [v for v in value if isinstance(v, str) and _passes(v, found["filter"])]


def _passes(text: str, condition: str) -> bool:
    if (found := SEARCH.match(condition)) is not None:
        try:
            return (re.search if found.group(1) == "search" else re.fullmatch)(
                found.group(3), text
            ) is not None
        except re.error:
            return False
    found = COMPARE.match(condition)
    if found is None:
        return False
    operator, _, wanted = found.groups()
    return {
        "==": text == wanted, "!=": text != wanted, "^==": text.startswith(wanted),
        "==^": text.endswith(wanted), "*==": wanted in text,
    }[operator]  # fmt: skip
