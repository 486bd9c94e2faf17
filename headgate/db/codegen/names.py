"""Names of the database as names of other languages: valid, no keyword, and each one once."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Collection


def words(*names: str) -> list[str]:
    """The parts of names between anything that is neither letter nor digit."""
    return [w for name in names for w in re.split(r"[^0-9A-Za-z]+", name) if w]


def class_name(*names: str) -> str:
    """A name in CamelCase that is an identifier."""
    joined = "".join(w[0].upper() + w[1:] for w in words(*names)) or "Unnamed"
    return f"T{joined}" if joined[0].isdigit() or keyword.iskeyword(joined) else joined


def camel(*names: str) -> str:
    """A name in camelCase that is an identifier."""
    joined = class_name(*names)
    return joined[0].lower() + joined[1:]


def snake(*names: str) -> str:
    """A name in snake_case that is an identifier of Python."""
    joined = "_".join(words(*names)).lower() or "unnamed"
    return f"t_{joined}" if joined[0].isdigit() else f"{joined}_" if keyword.iskeyword(joined) else joined


def attribute(name: str, taken: set[str], reserved: Collection[str]) -> str:
    """A column's name as an attribute in Python, of its own among `taken`: `class` becomes `class_`."""
    clean = re.sub(r"\W", "_", name)
    if not clean or clean[0].isdigit() or clean[0] == "_":
        clean = f"f_{clean.lstrip('_')}"
    if keyword.iskeyword(clean) or clean in reserved or clean.startswith("model_"):
        clean += "_"
    while clean in taken:
        clean += "_"
    taken.add(clean)
    return clean


class Names:
    """Gives every object a name of its own; the second of two equal ones gets a number."""

    def __init__(self, reserved: Collection[str] = ()) -> None:
        self._given: dict[object, str] = {}
        self._taken = set(reserved)

    def of(self, key: object, wanted: str) -> str:
        """The name for `key`: `wanted` where that is free."""
        if key not in self._given:
            name, number = wanted, 2
            while name in self._taken:
                name, number = f"{wanted}{number}", number + 1
            self._taken.add(name)
            self._given[key] = name
        return self._given[key]


def quoted(text: str) -> str:
    """A string literal, valid in Python and in TypeScript."""
    return json.dumps(text, ensure_ascii=False)


def docstring(text: str) -> str:
    """Text as a docstring of Python, in quotes."""
    clean = text.strip().replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{clean} """' if clean.endswith('"') else f'"""{clean}"""'


def jsdoc(text: str | None, indent: str = "") -> list[str]:
    """A comment as JSDoc lines; nothing where there is none."""
    if not text or not text.strip():
        return []
    lines = [line.strip() for line in text.strip().replace("*/", "* /").splitlines()]
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]
