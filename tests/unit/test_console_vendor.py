"""Vendored JavaScript is exactly what VERSIONS says, with its licence beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

VENDOR = Path(__file__).resolve().parents[2] / "headgate" / "console" / "static" / "vendor"


def _versions() -> list[list[str]]:
    lines = (VENDOR / "VERSIONS").read_text().splitlines()
    return [[part.strip() for part in line.split("|")] for line in lines if line and not line.startswith("#")]


def test_every_vendored_file_is_listed_and_matches_its_sha256() -> None:
    listed = {row[0]: row for row in _versions()}
    present = {path.name for path in VENDOR.iterdir()} - {"VERSIONS"}
    assert present == set(listed)
    for name, row in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == row[4], name


def test_every_vendored_file_names_version_and_licence() -> None:
    assert all(len(row) == 5 and row[2] and row[3] in {"MIT", "Apache-2.0"} for row in _versions())
