"""Installs what the tests need from the operating system, or says how. Changes nothing that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """Programs that some tests run, the Debian packages that have them, and which tests skip without them."""

    programs: tuple[tuple[str, ...], ...]  # of each group, one is enough
    packages: tuple[str, ...]
    tests: str

    def met(self) -> bool:
        """Whether everything is there."""
        return all(any(shutil.which(name) for name in group) for group in self.programs)


NEEDS = (
    Need((("chromium", "chromium-browser", "google-chrome"),), ("chromium",), "the browser tests"),
    Need((("node",), ("npm",)), ("nodejs", "npm"), "the tests of supabase-js, TypeScript and Drizzle"),
)


def main() -> int:
    """0 always: what is missing makes its tests skip, and they say so."""
    missing = [need for need in NEEDS if not need.met()]
    if not missing:
        return 0
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or not apt or not Path("/etc/debian_version").exists():
        for need in missing:
            packages = " ".join(need.packages)
            _say(
                f"{packages}: not installed, so {need.tests} will skip. Install with your package manager, "
                f"on Debian or Ubuntu: sudo apt-get install {packages}"
            )
        return 0
    _run([apt, "-qq", "update"])
    for need in missing:
        print(f"Installing {' '.join(need.packages)} for {need.tests} (apt-get install) ...", flush=True)
        if not _run([apt, "-qq", "install", "-y", "--no-install-recommends", *need.packages]):
            _say(f"{need.tests.capitalize()} will skip.")
    return 0


def _run(command: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        _say(f"`{' '.join(command)}` failed.\n{done.stderr[-600:]}")
    return done.returncode == 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
