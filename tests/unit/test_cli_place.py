"""What a command takes from its data directory: the settings of a stack that runs there, never a new database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headgate.base.errors import DatabaseError, SettingsError
from headgate.cli.runtime import load_settings, opened_database
from headgate.db.embedded import EmbeddedServer

NAME = "HEADGATE_ALLOW_PRIVATE_HOSTS"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings from outside; what a test sets is taken back."""
    monkeypatch.chdir(tmp_path)
    for name in ("HEADGATE_DATABASE_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(NAME, "x")  # so that it is restored afterwards, whatever the command sets
    monkeypatch.delenv(NAME)


def _stack(folder: Path, pid: int) -> None:
    (folder / "up.json").write_text(json.dumps({"pid": pid, "environment": {NAME: "a:1"}, "parts": []}))


def test_a_command_works_with_the_settings_of_the_stack_that_it_joins(tmp_path: Path) -> None:
    _stack(tmp_path, os.getpid())
    assert load_settings(data_dir=tmp_path).allow_private_hosts == "a:1"


def test_what_the_shell_sets_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "b:2")
    _stack(tmp_path, os.getpid())
    assert load_settings(data_dir=tmp_path).allow_private_hosts == "b:2"


def test_a_stack_that_is_gone_or_elsewhere_says_nothing(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    _stack(tmp_path, gone.pid)
    assert load_settings(data_dir=tmp_path).allow_private_hosts == ""
    _stack(tmp_path, os.getpid())
    other = load_settings(data_dir=tmp_path, database_url="postgresql://u@h/d")
    assert other.allow_private_hosts == ""
    (tmp_path / "up.json").write_text("{")
    assert load_settings(data_dir=tmp_path).allow_private_hosts == ""


async def test_looking_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no database"):
        async with opened_database(load_settings(data_dir=tmp_path / "none")):
            pass
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("path", ["file", "file/below", "/proc/none"])
async def test_a_folder_that_cannot_be_is_said_so(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError) as caught:
        await EmbeddedServer.open(tmp_path / path)
    assert caught.value.code == "HG232"
