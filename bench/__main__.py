"""Runs every measurement in this folder, one after the other, or those named: `python -m bench ingest queue`.

A measurement is a module with `main()`; `report` is the shared writer. Nothing runs side by side except the pairs
inside one measurement.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

_NOT_BENCHES = {"__init__", "__main__", "report"}


def main() -> None:
    """Run the benches named on the command line, or all, and say how long each took."""
    names = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in _NOT_BENCHES)
    chosen = sys.argv[1:] or [n for n in names if not n.startswith("_")]
    unknown = set(chosen) - set(names)
    if unknown:
        sys.exit(f"bench: no such measurement: {', '.join(sorted(unknown))}. There are: {', '.join(names)}")
    sys.argv = sys.argv[:1]
    for name in chosen:
        started = time.monotonic()
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()
        print(f"== {name} took {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
