"""Writes a measurement's table to the terminal and to `docs/results/<name>.json` and `.md`. Measures nothing.

A result says how it was made: command, commit, date, kind of machine. It never names a path of the machine.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"


def scale() -> float:
    """The share of the full size to measure, from `BENCH_SCALE`. Below 1 is a trial: its figures are not kept."""
    return float(os.environ.get("BENCH_SCALE", "1"))


def sized(full: int, least: int = 1) -> int:
    """`full` scaled down for a trial, never below `least`."""
    return max(least, int(full * scale()))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number. `target` and `holds` where a promise was made about it."""

    name: str
    value: float
    unit: str = ""
    target: str = ""
    holds: bool | None = None


def at_least(name: str, value: float, target: float, unit: str = "") -> Figure:
    """A figure that should not be less than `target`."""
    return Figure(name=name, value=value, unit=unit, target=f"≥ {target:g}", holds=value >= target)


def at_most(name: str, value: float, target: float, unit: str = "") -> Figure:
    """A figure that should not be more than `target`."""
    return Figure(name=name, value=value, unit=unit, target=f"≤ {target:g}", holds=value <= target)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0–1) of `values` lie; the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def middle(values: Sequence[float]) -> float:
    """The median."""
    return median(values)


def machine() -> str:
    """The kind of machine, without its name."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def commit() -> str:
    """The short commit of this tree, with `+` when files differ from it; `unknown` outside a checkout."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        "+" if git("status", "--porcelain", "-uno") else ""
    )


def write(
    name: str,
    title: str,
    figures: Sequence[Figure],
    *,
    command: str,
    about: str = "",
    samples: Any = None,
) -> None:
    """Print `figures` as a table and, unless this is a trial (`scale() < 1`), keep them as a result."""
    made = {
        "command": command,
        "commit": commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": machine(),
    }
    print(title)
    print(_table(figures))
    if scale() < 1:
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = {
        "name": name,
        "title": title,
        **made,
        "about": about,
        "figures": [asdict(f) for f in figures],
        "samples": samples,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    lines = [f"# {title}", "", about, "", _table(figures), "", *(f"- {k}: `{v}`" for k, v in made.items())]
    (RESULTS / f"{name}.md").write_text("\n".join(line for line in lines) + "\n")


def _table(figures: Sequence[Figure]) -> str:
    rows = [
        (
            f.name,
            f"{f.value:,.4g}" if abs(f.value) < 1000 else f"{f.value:,.0f}",
            f.unit,
            f.target,
            {True: "yes", False: "NO", None: ""}[f.holds],
        )
        for f in figures
    ]
    heads = ("figure", "value", "unit", "target", "holds")
    widths = [max(len(r[i]) for r in [heads, *rows]) for i in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(heads), line(["-" * w for w in widths]), *map(line, rows)])
