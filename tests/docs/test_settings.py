"""Settings and metrics: the reference pages are what the code says, and every setting says what it is for."""

from __future__ import annotations

import re
from pathlib import Path

from headgate.base import metrics
from headgate.base.settings import Settings
from tests.docs import pages

ROOT = Path(__file__).resolve().parents[2]
AGAIN = "run `python -m tests.docs.pages`"


def test_docs_settings_are_those_of_the_code() -> None:
    assert (pages.REFERENCE / "settings.md").read_text() == pages.settings_page(), AGAIN


def test_docs_metrics_are_those_of_the_code() -> None:
    page = (pages.REFERENCE / "metrics.md").read_text()
    assert page == pages.metrics_page(), AGAIN
    rendered = metrics.render().decode()
    for name in re.findall(r"^\| `(\w+)`", page, re.MULTILINE):
        assert f"# TYPE {name} " in rendered, name


def test_docs_every_setting_is_described_and_its_default_is_valid() -> None:
    for name, info in Settings.model_fields.items():
        assert info.description, name
    assert Settings(_env_file=None).model_dump().keys() == Settings.model_fields.keys()  # type: ignore[call-arg]


def test_docs_and_hints_name_no_setting_that_does_not_exist() -> None:
    known = {f"HEADGATE_{name.upper()}" for name in Settings.model_fields} | _of_apps()
    texts = {path.name: path.read_text() for path in (ROOT / "headgate").rglob("*.py")}
    # A variable that stands alone in quotes is one that our processes hand to one another.
    known |= {word for text in texts.values() for word in re.findall(r"\"(HEADGATE_[A-Z_]+)\"", text)}
    texts |= {path.name: path.read_text() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]}
    for file, text in texts.items():
        for word in re.findall(r"\bHEADGATE_[A-Z_]*[A-Z]\b", text):
            assert word in known, f"{file} names {word}"


def _of_apps() -> set[str]:
    """Variables of applications' own settings classes, by their prefix and fields."""
    found: set[str] = set()
    for path in (ROOT / "headgate" / "apps").rglob("*.py"):
        text = path.read_text()
        for prefix in re.findall(r"env_prefix=\"(HEADGATE_[A-Z_]+)\"", text):
            found |= {prefix + name.upper() for name in re.findall(r"^    (\w+): ", text, re.MULTILINE)}
            found.add(prefix.rstrip("_"))
    return found
