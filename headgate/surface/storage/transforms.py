"""What a client may ask of an image: width, height, resize, quality, format. Reading and checking only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from headgate.surface.storage.errors import invalid

_SIDE_MAX = 2500
_RESIZE = {"cover": "fill", "contain": "fit", "fill": "force"}  # ours → as `x-transformations` says it
_FORMATS = ("origin", "webp", "avif", "jpeg", "png")


@dataclass(frozen=True, kw_only=True)
class Transform:
    """A wish in pixels and per cent; `format` None: what the client's `Accept` likes best."""

    width: int | None = None
    height: int | None = None
    resize: str = "cover"
    quality: int | None = None
    format: str | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Transform:
        """From a query or a JSON object; what else is in there is ignored. Raises StorageError."""
        resize = given.get("resize") or "cover"
        if resize not in _RESIZE:
            raise invalid("resize must be cover, contain or fill")
        kind = given.get("format") or None
        if kind is not None and kind not in _FORMATS:
            raise invalid(f"format must be one of {', '.join(_FORMATS)}")
        return cls(
            width=_number(given, "width", 1, _SIDE_MAX),
            height=_number(given, "height", 1, _SIDE_MAX),
            resize=str(resize),
            quality=_number(given, "quality", 20, 100),
            format=kind,
        )

    def as_query(self) -> dict[str, Any]:
        """As `read` takes it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def told(self) -> str:
        """As the header `x-transformations`."""
        parts = [("height", self.height), ("width", self.width), ("resizing_type", _RESIZE[self.resize])]
        parts += [("quality", self.quality), ("format", self.format)]
        return ",".join(f"{name}:{value}" for name, value in parts if value is not None)


def _number(given: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = given.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 7:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise invalid(f"{name} must be a whole number from {least} to {most}")
    return value
