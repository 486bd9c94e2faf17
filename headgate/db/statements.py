"""Splits SQL text into statements as psql and the Supabase CLI see them: quotes, dollar quotes, comments,
bodies.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*)
      | (?P<block>/\*)
      | (?P<escaped>(?<![A-Za-z0-9_$])[eE]'(?:[^'\\]|\\.|'')*')
      | (?P<text>'(?:[^']|'')*')
      | (?P<name>"(?:[^"]|"")*")
      | (?P<dollar>(?<![A-Za-z0-9_$])\$(?:[A-Za-z_\x80-\uffff][A-Za-z0-9_\x80-\uffff]*)?\$)
      | (?P<word>[A-Za-z_\x80-\uffff][A-Za-z0-9_$\x80-\uffff]*)
      | (?P<space>\s+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


def tokens(text: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of every token; joined they are `text` again. Kinds: comment, quoted, word, space,
    other.
    """
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return
        kind, end = match.lastgroup or "other", match.end()
        if kind == "block":
            end, kind = _block_end(text, match.start()), "comment"
        elif kind == "dollar":
            close = text.find(match.group(), end)
            end, kind = (len(text) if close < 0 else close + len(match.group())), "quoted"
        elif kind in ("escaped", "text", "name"):
            kind = "quoted"
        yield kind, text[place:end]
        place = end


def _block_end(text: str, start: int) -> int:
    """Where the block comment at `start` ends; they nest."""
    depth, place = 1, start + 2
    while depth and place < len(text):
        if text.startswith("/*", place):
            depth, place = depth + 1, place + 2
        elif text.startswith("*/", place):
            depth, place = depth - 1, place + 2
        else:
            place += 1
    return place


def split(text: str) -> list[str]:
    """The statements of `text` without their semicolons; comments before a statement stay with it.

    A `begin atomic … end` body (SQL-standard functions) is not cut at its inner semicolons.
    """
    found: list[str] = []
    part: list[str] = []
    words: list[str] = []
    depth = 0
    for kind, piece in tokens(text):
        if kind == "word":
            words.append(piece.lower())
            depth = _depth(words, depth)
        if piece == ";" and kind == "other" and depth == 0:
            found += _statement(part, words)
            part, words = [], []
        else:
            part.append(piece)
            if kind in ("quoted", "other"):
                words.append("")
    found += _statement(part, words)
    return found


def _depth(words: list[str], depth: int) -> int:
    """How many `begin atomic` and inner `case` are open after the last word."""
    if words[-1] == "atomic" and len(words) > 1 and words[-2] == "begin":
        return depth + 1
    if depth and words[-1] == "case":
        return depth + 1
    if depth and words[-1] == "end":
        return depth - 1
    return depth


def _statement(part: list[str], words: list[str]) -> list[str]:
    if not words:
        return []
    solid = [number for number, piece in enumerate(part) if not piece.isspace()]
    return ["".join(part[solid[0] : solid[-1] + 1])]  # by tokens: space inside an unfinished quote stays


def first_words(statement: str, count: int = 2) -> str:
    """The first words of `statement` in lower case, comments left out: its kind."""
    words = [piece.lower() for kind, piece in tokens(statement) if kind == "word"]
    return " ".join(words[:count])


def fingerprint(statements: list[str] | str) -> str:
    """A SHA-256 of what the statements mean: comments, white space and semicolons between tokens do not
    count.
    """
    text = statements if isinstance(statements, str) else ";\n".join(statements)
    parts = [piece for kind, piece in tokens(text) if kind not in ("comment", "space") and piece != ";"]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
