"""“Perhaps you meant …”: the name nearest to one that does not exist, by shared letter groups and edit distance."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

GRAM_SIZES = (3, 2)
MIN_SCORE = 0.33
MIN_NAME_SCORE = 0.75
NAMES_MAX = 500  # beyond that a hint costs more than it helps


def _normal(text: str) -> str:
    return text.lower()


def _grams(text: str, size: int) -> Counter[str]:
    kept = "".join(c for c in text if re.match(r"[\w, ]", c))
    padded = f"-{kept}-"
    padded += "-" * max(0, size - len(padded))
    return Counter(padded[i : i + size] for i in range(len(padded) - size + 1))


def _distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def _similarity(a: str, b: str) -> float:
    longest = max(len(a), len(b))
    return 1 - _distance(a, b) / longest if longest else 1.0


@lru_cache(maxsize=64)
def _index(names: tuple[str, ...]) -> dict[int, list[tuple[str, Counter[str], float]]]:
    def entry(name: str, size: int) -> tuple[str, Counter[str], float]:
        grams = _grams(_normal(name), size)
        return name, grams, math.sqrt(sum(n * n for n in grams.values()))

    distinct = list({_normal(n): n for n in names}.values())
    return {size: [entry(n, size) for n in distinct] for size in GRAM_SIZES}


def nearest(names: Iterable[str], wanted: str, *, least: float = MIN_SCORE) -> list[tuple[float, str]]:
    """Names like `wanted`, best first, each with a score of at least `least` (1 is the same name)."""
    candidates = tuple(dict.fromkeys(names))
    target = _normal(wanted[:200])
    for name in candidates:
        if _normal(name) == target:
            return [(1.0, name)]
    index = _index(candidates)
    for size in GRAM_SIZES:
        grams = _grams(target, size)
        norm = math.sqrt(sum(n * n for n in grams.values()))
        scored = []
        for name, theirs, length in index[size]:
            dot = sum(n * theirs[g] for g, n in grams.items())
            if dot:
                scored.append((dot / (norm * length), name))
        if not scored:
            continue
        scored.sort(key=lambda pair: -pair[0])
        rated = [(_similarity(_normal(name), target), name) for _, name in scored[:50]]
        rated.sort(key=lambda pair: -pair[0])
        good = [pair for pair in rated if pair[0] >= least]
        if good:
            return good
    return []


def nearest_name(names: Iterable[str], wanted: str) -> str | None:
    """The table or function most like `wanted`, where one is very like it."""
    candidates = list(names)
    if len(candidates) > NAMES_MAX:
        return None
    found = nearest(candidates, wanted, least=MIN_NAME_SCORE)
    return found[0][1] if found else None
