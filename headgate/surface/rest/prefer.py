"""The Prefer header: what is asked for, what of it is unknown, and what was applied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

CHOICES = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "tx": ("commit", "rollback"),
    "handling": ("strict", "lenient"),
}
FIELDS = {"return": "returning", "missing": "missing"}


@dataclass(frozen=True, slots=True)
class Preferences:
    """One value per preference, as written after the equals sign."""

    resolution: str | None = None
    missing: str | None = None
    returning: str | None = None
    count: str | None = None
    tx: str | None = None
    handling: str | None = None
    timezone: str | None = None
    max_affected: int | None = None
    invalid: tuple[str, ...] = ()

    @property
    def strict(self) -> bool:
        """Whether unknown preferences are an error."""
        return self.handling == "strict"

    def applied(self) -> str | None:
        """The Preference-Applied header."""
        pairs = [
            (name, getattr(self, FIELDS.get(name, name)))
            for name in ("resolution", "missing", "return", "count", "tx", "handling")
        ]
        pairs.append(("timezone", self.timezone))
        if self.strict:
            pairs.append(("max-affected", self.max_affected))
        return ", ".join(f"{name}={value}" for name, value in pairs if value is not None) or None

    def for_answer(self, *, kind: str, resolves: bool) -> Preferences:
        """Those that had a bearing on this kind of request: read, create, update, upsert, delete or call."""
        return replace(
            self,
            resolution=self.resolution if kind == "create" and resolves else None,
            returning=self.returning if kind not in ("read", "call") else None,
            missing=self.missing if kind in ("create", "update") else None,
            max_affected=self.max_affected if kind in ("update", "delete", "call") else None,
        )


NOTHING = Preferences()


@lru_cache(maxsize=512)
def preferences(headers: tuple[str, ...], tx_override: bool) -> Preferences:
    """Read every Prefer header; the first of several values wins."""
    if not headers:
        return NOTHING
    found: dict[str, str] = {}
    invalid = []
    for part in (p.strip() for h in headers for p in h.split(",")):
        name, _, value = part.partition("=")
        if name in ("timezone", "max-affected") or value in CHOICES.get(name, ()):
            found.setdefault(name, value)
        else:
            invalid.append(part)
    affected = found.get("max-affected", "")
    return Preferences(
        resolution=found.get("resolution"),
        missing=found.get("missing"),
        returning=found.get("return"),
        count=found.get("count"),
        tx=found.get("tx") if tx_override else None,
        handling=found.get("handling"),
        timezone=found.get("timezone"),
        max_affected=int(affected) if affected.lstrip("-").isdigit() else None,
        invalid=tuple(invalid),
    )
