"""The count that decides whether a bulk file may be promoted: its lines, roots and copies, and what does not agree."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from headgate.apps.stores import completeness, counting
from headgate.apps.stores.completeness import count_apart, judge, unfinished
from headgate.apps.stores.counting import Count, count

ORDER = b'{"id":"gid:\\/\\/shopify\\/Order\\/1","name":"#1"}'
CHILD = b'{"id":"gid:\\/\\/shopify\\/LineItem\\/1","__parentId":"gid:\\/\\/shopify\\/Order\\/1"}'


def counted(tmp_path: Path, *lines: bytes, end: bytes = b"\n", block: int = 64) -> Count:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(b"\n".join(lines) + end)
    found = count(path, block=block)
    assert found.size == path.stat().st_size
    return found


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 18])
def test_lines_and_roots_do_not_depend_on_the_size_of_a_block(tmp_path: Path, block: int) -> None:
    found = counted(tmp_path, ORDER, CHILD, CHILD.replace(b"Item\\/1", b"Item\\/2"), block=block)
    assert (found.lines, found.roots, found.copies, found.whole) == (3, 1, 0, True)


@pytest.mark.parametrize(
    "text", ['"__parentId"', '"__parentId":', '__parentId":"x', '\\"__parentId":"gid', "__parentId"]
)
def test_a_text_that_looks_like_the_key_is_no_key(tmp_path: Path, text: str) -> None:
    root = orjson.dumps({"id": "gid://shopify/Order/2", "note": text, "tags": [text]})
    nested = orjson.dumps({"id": "gid://shopify/Order/3", "customAttributes": [{"key": text, "value": text}]})
    found = counted(tmp_path, ORDER, root, CHILD, nested)
    assert (found.lines, found.roots) == (4, 3)


def test_a_key_in_another_place_or_with_spaces_is_a_key(tmp_path: Path) -> None:
    spaced = CHILD.replace(b'"__parentId":', b'"__parentId" : ')
    first = orjson.dumps({"__parentId": "gid://shopify/Order/1", "id": "gid://shopify/LineItem/7"})
    found = counted(tmp_path, ORDER, spaced, first, CHILD)
    assert (found.lines, found.roots) == (4, 1)


def test_a_key_of_an_inner_object_makes_no_child(tmp_path: Path) -> None:
    inner = {"id": "gid://shopify/TaxLine/1", "__parentId": "gid://shopify/Order/2"}
    last = orjson.dumps({"id": "gid://shopify/Order/2", "taxLines": [inner]})
    only = orjson.dumps({"id": "gid://shopify/Order/3", "app": inner})
    both = orjson.dumps(
        {"id": "gid://shopify/LineItem/4", "app": inner, "__parentId": "gid://shopify/Order/3"}
    )
    found = counted(tmp_path, ORDER, last, only, both, CHILD)
    assert (found.lines, found.roots) == (5, 3)


def test_blank_lines_are_no_lines(tmp_path: Path) -> None:
    found = counted(tmp_path, b"", ORDER, b"  ", b"\t", CHILD, b"\r", b"", end=b"\n\n \n")
    assert (found.lines, found.roots, found.whole) == (2, 1, True)
    assert counted(tmp_path, b"", end=b"").lines == 0
    assert counted(tmp_path, b"\n \n").lines == 0


def test_carriage_returns_change_nothing(tmp_path: Path) -> None:
    found = counted(tmp_path, ORDER + b"\r", CHILD + b"\r", CHILD + b"\r")
    assert (found.lines, found.roots, found.copies) == (3, 1, 1)


@pytest.mark.parametrize(("end", "whole"), [(b"\n", True), (b"", True), (b'\n{"id":"gid:', False)])
def test_a_last_line_without_its_end_is_whole_only_if_it_can_be_read(
    tmp_path: Path, end: bytes, whole: bool
) -> None:
    assert counted(tmp_path, ORDER, CHILD, end=end).whole is whole


def test_copies_are_told_from_children_without_an_id(tmp_path: Path) -> None:
    discount = b'{"code":"TEN","__parentId":"gid:\\/\\/shopify\\/Order\\/1"}'
    found = counted(tmp_path, ORDER, discount, discount, CHILD, CHILD, CHILD, ORDER)
    assert (found.lines, found.copies, found.root_copies, found.unnumbered) == (7, 4, 1, 1)


def test_copies_are_found_however_far_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.apps.stores.counting.AT_ONCE", 100)
    lines = [orjson.dumps({"id": n, "text": "x" * (n % 50)}) for n in range(1000)]
    again = [lines[n] for n in (0, 1, 500, 999, 999)]
    random.Random(4).shuffle(lines)
    found = counted(tmp_path, *lines, *again, block=4096)
    assert (found.lines, found.copies, found.roots, found.root_copies) == (1005, 5, 1005, 5)


def apart(path: Path, processes: int) -> Any:
    """What the program prints."""
    command = [sys.executable, "-I", counting.__file__, str(path), str(processes)]
    return orjson.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout)


@pytest.mark.parametrize("seed", range(6))
def test_several_processes_count_as_one_does(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    path = tmp_path / "orders.jsonl"
    lines = [b"", b" ", b"\r", CHILD, b'{"note":"' + b"long" * 5000 + b'"}']
    lines += [ORDER.replace(b"#1", b"#%d" % n) for n in range(40)]
    picked = dice.choices(lines, k=dice.choice([0, 1, 3, 200]))
    path.write_bytes(b"\n".join(picked) + dice.choice([b"", b"\n", b'\n{"cut', b"\n" + lines[4]]))
    alone = count(path)
    assert alone.lines == sum(bool(line.strip()) for line in path.read_bytes().split(b"\n"))
    for processes in (1, 2, 3, 7):
        assert apart(path, processes) == asdict(alone)


async def test_a_large_file_is_counted_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(b"\n".join([ORDER, CHILD, CHILD]) + b"\n")
    alone = count(path)
    monkeypatch.setattr(completeness, "LARGE", 1)
    with monkeypatch.context() as patch:
        patch.delattr(completeness, "count")  # it would be missed if it were called
        assert await count_apart(path) == alone
    with pytest.raises(FileNotFoundError):
        await count_apart(tmp_path / "nothing.jsonl")


@pytest.mark.parametrize("program", ["import sys; sys.exit(1)", "import os; os.kill(os.getpid(), 9)", None])
async def test_a_file_is_counted_here_where_no_process_can_do_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(ORDER + b"\n" + CHILD)
    monkeypatch.setattr(completeness, "LARGE", 1)
    if program is None:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    else:
        (tmp_path / "ends.py").write_text(program)
        monkeypatch.setattr(counting, "__file__", str(tmp_path / "ends.py"))
    assert await count_apart(path) == count(path)


def begun(told: Path) -> None:
    """Wait until the process has said its number."""
    while not (told.exists() and told.read_text()):
        time.sleep(0.01)


async def test_a_count_that_is_cancelled_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(ORDER)
    (tmp_path / "slow.py").write_text(
        "import os, pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1] + '.pid').write_text(str(os.getpid()))\ntime.sleep(60)"
    )
    monkeypatch.setattr(completeness, "LARGE", 1)
    monkeypatch.setattr(counting, "__file__", str(tmp_path / "slow.py"))
    task = asyncio.create_task(count_apart(path))
    told = tmp_path / "orders.jsonl.pid"
    async with asyncio.timeout(30):
        await asyncio.to_thread(begun, told)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


OPERATION: dict[str, Any] = {
    "entity": "orders",
    "object_count": 10,
    "root_object_count": 3,
    "file_size": 900,
    "expected_roots": 3,
    "is_partial": False,
    "lines": 10,
    "rejected": 0,
}
WHOLE = {"size": 900, "lines": 10, "roots": 3}


@pytest.mark.parametrize(
    ("changed", "found", "after", "missing"),
    [
        ({}, {}, 3, []),
        ({"file_size": None}, {"size": 5}, 3, []),
        ({}, {"size": 899}, 3, ["bytes"]),
        ({}, {"whole": False}, 3, ["end"]),
        ({}, {"lines": 9}, 3, ["objects"]),
        ({}, {"lines": 11}, 3, ["objects"]),
        ({}, {"lines": 11, "copies": 1}, 3, []),
        # one line missing and another one twice: as many lines as told, and yet not all
        ({}, {"lines": 10, "copies": 1}, 3, ["objects"]),
        ({}, {"lines": 10, "copies": 1, "unnumbered": 1}, 3, []),
        ({}, {"lines": 9, "copies": 1, "unnumbered": 1}, 3, ["objects"]),
        ({}, {"roots": 2}, 3, ["roots"]),
        ({}, {"lines": 11, "copies": 1, "roots": 4, "root_copies": 1}, 3, []),
        ({}, {"lines": 11, "copies": 1, "roots": 3, "root_copies": 1}, 3, ["roots"]),
        ({}, {}, 5, []),
        ({"expected_roots": 5}, {}, 6, ["count"]),
        ({"expected_roots": 1}, {}, 2, ["count"]),
        ({"expected_roots": None}, {}, 4, ["count"]),
        ({}, {}, None, ["count"]),
        ({"is_partial": True}, {}, 3, ["partial"]),
        ({"object_count": None, "root_object_count": None}, {}, 3, ["objects", "count"]),
    ],
)
def test_what_does_not_agree_is_named(
    changed: dict[str, Any], found: dict[str, Any], after: int | None, missing: list[str]
) -> None:
    told = judge(OPERATION | changed, Count(**(WHOLE | found)), after=after)
    assert [one["what"] for one in told] == missing


def test_what_only_promoting_can_tell() -> None:
    everything = Count(**WHOLE)
    assert unfinished(OPERATION, everything, orphans=0) == []
    told = unfinished(OPERATION | {"lines": 9, "rejected": 1}, everything, orphans=2)
    assert told == [
        {"what": "unreadable", "why": "2 lines could not be read; see dead letters"},
        {"what": "orphans", "why": "2 lines wait for a parent that did not come"},
    ]
