"""A cursor over one text that remembers the furthest place it could not pass, and what it wanted there.

The wording of errors follows Parsec's, which clients of PostgREST see. No grammar here: see `grammar.py`.
"""

from __future__ import annotations

import re

from headgate.surface.rest.errors import RestError, unparsable

END = "end of input"
IDENTIFIER = re.compile(r"[\w $]+")
PLAIN_VALUE = re.compile(r"[^,)]*")
SPACES = re.compile(r"[ \t]*")


class Stuck(Exception):
    """The text cannot be read on from here; the scanner knows why."""


def quoted(text: str) -> str:
    """The text as Haskell shows a string."""
    escaped = "".join(
        {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(c)
        or (c if " " <= c <= "~" else f"\\{ord(c)}")
        for c in text
    )
    return f'"{escaped}"'


class Scanner:
    """Reads `text` from left to right; `what` names it in errors."""

    __slots__ = ("best", "expected", "got", "pos", "text", "what")

    def __init__(self, text: str, what: str) -> None:
        self.text = text
        self.what = what
        self.pos = 0
        self.best = 0
        self.got: list[tuple[bool, str]] = []  # (said by the grammar, wording)
        self.expected: list[str] = []

    def note(
        self, wanted: str | None, *, at: int | None = None, got: str | None = None, said: bool = False
    ) -> None:
        """Remember that `wanted` was not there; only the furthest place counts."""
        place = self.pos if at is None else at
        if place < self.best:
            return
        if place > self.best:
            self.best, self.got, self.expected = place, [], []
        if got is None:
            got = quoted(self.text[place]) if place < len(self.text) else END
        self.got.append((said, got))
        if wanted and wanted not in self.expected:
            self.expected.append(wanted)

    def peek(self) -> str:
        """The next character, or an empty text at the end."""
        return self.text[self.pos] if self.pos < len(self.text) else ""

    def take(self, literal: str, label: str | None = None) -> bool:
        """Step over `literal` if it is next."""
        if self.text.startswith(literal, self.pos):
            self.pos += len(literal)
            return True
        same = 0
        while same < len(literal) - 1 and self.text[self.pos + same : self.pos + same + 1] == literal[same]:
            same += 1
        after = self.text[self.pos + same : self.pos + same + 1]
        self.note(label or quoted(literal), got=quoted(after) if after else END)
        return False

    def need(self, literal: str, label: str | None = None) -> None:
        """Step over `literal`, which must be next."""
        if not self.take(literal, label):
            raise Stuck

    def spaces(self) -> None:
        """Step over blanks."""
        self.pos = SPACES.match(self.text, self.pos).end()  # type: ignore[union-attr]

    def match(self, pattern: re.Pattern[str]) -> str:
        """Step over what matches here and return it; may be empty."""
        found = pattern.match(self.text, self.pos)
        if found is None:
            return ""
        self.pos = found.end()
        return found.group()

    def at_end(self) -> bool:
        """Whether everything is read; otherwise the end is noted as expected."""
        if self.pos >= len(self.text):
            return True
        char = self.text[self.pos]
        self.note(END, got=f"'{char}'", said=True)
        return False

    def error(self) -> RestError:
        """The answer for a text that could not be read."""
        line = self.text.count("\n", 0, self.best) + 1
        column = self.best - (self.text.rfind("\n", 0, self.best) + 1) + 1
        name = quoted(f"failed to parse {self.what} ({self.text})")
        got = next((g for said, g in self.got if said), self.got[0][1] if self.got else END)
        details = f"unexpected {got}"
        if wanted := self.expected:
            listed = wanted[0] if len(wanted) == 1 else f"{', '.join(wanted[:-1])} or {wanted[-1]}"
            details += f" expecting {listed}"
        return unparsable(f"{name} (line {line}, column {column})", details)
