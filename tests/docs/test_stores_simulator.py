"""The simulator's reference names every fault, option of the command and control path that there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from headgate.apps.stores.simulator import ShopOptions
from headgate.apps.stores.simulator.faults import ELSEWHERE, FAULTS

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/stores-simulator.md").read_text(
    encoding="utf-8"
)


def test_every_fault_is_in_the_table_with_its_number_and_meaning() -> None:
    listed = dict(re.findall(r"^\| (\d+ \| `\w+`) \| (.+) \|$", PAGE, re.MULTILINE))
    assert listed == {f"{number} | `{name}`": what for name, (number, what) in FAULTS.items()}
    for number, what in ELSEWHERE.items():
        assert f"{number} {what}" in PAGE


def test_every_option_of_a_shop_is_named() -> None:
    missing = [f.name for f in fields(ShopOptions) if f"`{f.name}`" not in PAGE]
    assert missing == []


def test_every_control_path_is_named() -> None:
    source = (Path(__file__).resolve().parents[2] / "headgate/apps/stores/simulator/control.py").read_text(
        "utf-8"
    )
    paths = set(re.findall(r'case \["(?:GET|POST|DELETE)"(?: \| "GET")?, "(\w+)"', source)) | {"oracle"}
    assert len(paths) > 10
    assert [p for p in paths if f"/_control/{p}" not in PAGE] == []
