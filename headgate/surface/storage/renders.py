"""The cache of rendered images on disk: one folder per version, one file per rendering, bounded in bytes."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path


def folder_of(data_dir: Path, version: str) -> Path:
    """Where renderings of a version are."""
    return data_dir.absolute() / "storage" / "renders" / version[:2] / version


def forget(data_dir: Path, versions: Iterable[str]) -> None:
    """Remove every rendering of these versions."""
    for version in versions:
        shutil.rmtree(folder_of(data_dir, version), ignore_errors=True)


def draft(data_dir: Path) -> Path:
    """A name for a file that becomes a rendering by being renamed."""
    folder = data_dir.absolute() / "storage" / "renders" / "drafts"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / secrets.token_hex(16)


def keep(file: Path, place: Path) -> None:
    """Make a draft the rendering at `place`."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.replace(place)


def touch(file: Path) -> None:
    """Note that a rendering was used."""
    with contextlib.suppress(OSError):
        os.utime(file)


def shrink(data_dir: Path, most: int) -> int:
    """Remove the renderings used longest ago until the cache has at most `most` bytes; how many went."""
    root = data_dir.absolute() / "storage" / "renders"
    found: list[tuple[float, int, Path]] = []
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):
                file = Path(folder, name)
                about = file.stat()
                found.append((about.st_mtime, about.st_size, file))
    total = sum(size for _, size, _ in found)
    gone = 0
    for _, size, file in sorted(found):
        if total <= most:
            break
        with contextlib.suppress(OSError):
            file.unlink()
            total -= size
            gone += 1
    return gone
