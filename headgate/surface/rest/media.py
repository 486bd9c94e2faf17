"""Media types: what a client accepts, what it sends, and what can be made for it. Decides; renders nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

JSON = "application/json"
GEOJSON = "application/geo+json"
CSV = "text/csv"
TEXT = "text/plain"
XML = "text/xml"
OPENAPI = "application/openapi+json"
FORM = "application/x-www-form-urlencoded"
BINARY = "application/octet-stream"
ANY = "*/*"
SINGLE = "application/vnd.pgrst.object+json"
ARRAY_STRIPPED = "application/vnd.pgrst.array+json;nulls=stripped"
KNOWN = (JSON, GEOJSON, CSV, TEXT, XML, OPENAPI, FORM, BINARY)
PLAN_OPTIONS = ("analyze", "verbose", "settings", "buffers", "wal")
TYPE = re.compile(r"\s*([A-Za-z0-9.*]+)/([A-Za-z0-9.*+\-]+)")
PARAMETER = re.compile(r"\s*;\s*([A-Za-z0-9\-]+)\s*=\s*(?:\"([^\"]*)\"|([A-Za-z0-9|\-.]+))")


@dataclass(frozen=True, slots=True)
class Plan:
    """`application/vnd.pgrst.plan`: the plan of what would make `of`."""

    of: Media
    form: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Media:
    """A media type by its canonical name. `plan` is set for execution plans."""

    name: str
    plan: Plan | None = None

    @property
    def single(self) -> bool:
        """Whether exactly one row is wanted."""
        return self.name.startswith(SINGLE)

    @property
    def stripped(self) -> bool:
        """Whether keys with null are left out."""
        return self.name.endswith(";nulls=stripped")

    @property
    def content_type(self) -> str:
        """The Content-Type header of an answer."""
        standard = self.name in KNOWN or self.single or self.plan is not None or self.name == ARRAY_STRIPPED
        return f"{self.name}; charset=utf-8" if standard and self.name != BINARY else self.name


@lru_cache(maxsize=512)
def decode(text: str) -> Media:
    """A media type as written in a header."""
    found = TYPE.match(text)
    if found is None:
        return Media(text)
    parameters = {k.lower(): q or v for k, q, v in PARAMETER.findall(text[found.end() :])}
    main, sub = found.group(1).lower(), found.group(2).lower()
    name = f"{main}/{sub}"
    if name in KNOWN or name == ANY:
        return Media(name)
    stripped = ";nulls=stripped" if parameters.get("nulls") == "stripped" else ""
    if name in (SINGLE, "application/vnd.pgrst.object"):
        return Media(SINGLE + stripped)
    if name in ("application/vnd.pgrst.array+json", "application/vnd.pgrst.array"):
        return Media(ARRAY_STRIPPED if stripped else JSON)
    if name.removesuffix("+text").removesuffix("+json") == "application/vnd.pgrst.plan":
        return _plan(parameters, "json" if name.endswith("+json") else "text")
    return Media(text)


def _plan(parameters: dict[str, str], form: str) -> Media:
    of = decode(parameters.get("for", JSON))
    wanted = parameters.get("options", "").split("|")
    options = tuple(o for o in PLAN_OPTIONS if o in wanted)
    name = f'application/vnd.pgrst.plan+{form}; for="{of.name}"'
    if options:
        name += f"; options={'|'.join(options)}"
    return Media(name, Plan(of, form, options))


@lru_cache(maxsize=512)
def accepted(header: str | None) -> tuple[Media, ...]:
    """The Accept header, most wanted first: by quality, then as specific, then as listed."""
    if header is None:
        return (Media(ANY),)
    ranked = []
    for place, listed in enumerate(_split(header)):
        quality, part = 1.0, listed
        if found := re.search(r";\s*q=([0-9.]+)", part):
            part = part[: found.start()] + part[found.end() :]
            try:
                quality = float(found.group(1))
            except ValueError:
                quality = 0.0
        text = part.strip()
        main, _, rest = text.partition("/")
        vague = 2 if main == "*" else 1 if rest == "*" else 0
        ranked.append((-quality, vague, -text.count(";") if not vague else 0, place, text))
    return tuple(decode(text) for *_, text in sorted(ranked))


def _split(header: str) -> list[str]:
    """The parts between commas that stand outside quotes."""
    return [p for p in re.findall(r'(?:"[^"]*"|[^,"]|")+', header) if p.strip()]
