"""Recorded data for tests lies beside the checkout and is not part of the product; without it, tests skip."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def shared(name: str) -> Path:
    """The path of recorded material, or a skip that says what is missing."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"recorded data `{name}` is not beside this checkout")
    return path
