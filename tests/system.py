"""Installs what the tests need from the operating system, or says how. Changes nothing that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """0 always: a missing browser makes the browser tests skip, and they say so."""
    if any(shutil.which(name) for name in BROWSERS):
        return 0
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or not apt or not Path("/etc/debian_version").exists():
        print(
            "Chromium is not installed, so the browser tests will skip. Install it with your package manager, "
            "on Debian or Ubuntu: sudo apt-get install chromium",
            file=sys.stderr,
        )
        return 0
    print("Installing Chromium for the browser tests (apt-get install chromium) ...", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        [apt, "-qq", "update"],
        [apt, "-qq", "install", "-y", "--no-install-recommends", "chromium"],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(
                f"`{' '.join(command)}` failed; the browser tests will skip.\n{done.stderr[-600:]}",
                file=sys.stderr,
            )
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
