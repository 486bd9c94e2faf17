"""The npm packages that the tests drive, installed once per set of versions into a folder that git ignores."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "clients"
WAIT_S = 240
NODE_MIN = 20


@functools.cache
def packages() -> Path | str:
    """The folder that has `node_modules`, or why there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node and npm are not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if int(version.lstrip("v").partition(".")[0] or 0) < NODE_MIN:
        return f"supabase-js needs Node {NODE_MIN} or newer; this is {version}"
    listed = HERE / "package.json"
    folder = CACHE / hashlib.sha256(listed.read_bytes()).hexdigest()[:12]
    if (folder / "complete").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(listed, folder / "package.json")
    command = [
        npm,
        "install",
        "--no-package-lock",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--fetch-retries=1",
    ]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=WAIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the npm packages of tests/clients could not be installed within {WAIT_S} s"
    if done.returncode:
        return f"the npm packages of tests/clients could not be installed: {done.stderr.strip()[-200:]}"
    (folder / "complete").touch()
    return folder
