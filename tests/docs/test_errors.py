"""Every error code that the source uses is in the reference, and the reference lists no other."""

from __future__ import annotations

import re
from pathlib import Path

from headgate.base import errors

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "errors.md").read_text()


def _used() -> dict[str, str]:
    """Each code that stands in quotes in the package, with a file that uses it."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "headgate").rglob("*")):
        if path.suffix in {".py", ".sql", ".js"}:
            for code in re.findall(r"[\"'](HG\d{3})[\"']", path.read_text()):
                found.setdefault(code, str(path.relative_to(ROOT)))
    return found


def test_docs_errors_lists_every_code_and_no_other() -> None:
    listed = re.findall(r"^\| (HG\d{3}) \|", PAGE, re.MULTILINE)
    used = _used()
    missing = {code: file for code, file in used.items() if code not in listed and code != "HG000"}
    assert not missing, f"add a line to docs/reference/errors.md for {missing}"
    assert not set(listed) - set(used), f"no longer used: {sorted(set(listed) - set(used))}"
    assert listed == sorted(set(listed)), "codes are in order, each once"


def test_docs_errors_stand_under_their_group() -> None:
    for group, section in re.findall(r"^## HG(\d)xx.*?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL):
        assert {code[2] for code in re.findall(r"^\| (HG\d{3}) \|", section, re.MULTILINE)} == {group}


def test_docs_errors_roots_have_the_first_code_of_their_group() -> None:
    kinds = [errors.SettingsError, errors.DatabaseError, errors.JobError, errors.SourceError]
    kinds += [errors.PromoteError, errors.ManifestError]
    assert [kind.default_code for kind in kinds] == [f"HG{n}00" for n in range(1, 7)]


def test_docs_error_carries_its_hint_and_no_secret_of_its_own() -> None:
    error = errors.HeadgateError("It failed.", code="HG000", details={"n": 1}, hint="Try again.")
    assert str(error) == "HG000: It failed. Try again."
    assert error.as_dict() == {
        "code": "HG000",
        "message": "It failed.",
        "details": {"n": 1},
        "hint": "Try again.",
    }
