"""robots.txt: what each reply means, what the rules allow, and 4,231 real files."""

from __future__ import annotations

import tarfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.engine.robots import MAX_BYTES, MAX_CRAWL_DELAY_S, Found, Rules, decide, product_token
from tests.shared_data import shared


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, "rules"),
        (204, "rules"),
        (301, "allow"),
        (401, "allow"),
        (403, "allow"),
        (404, "allow"),
        (410, "allow"),
        (429, "disallow"),
        (500, "disallow"),
        (503, "disallow"),
        (None, "disallow"),
    ],
)
def test_robots_reply_means_what_rfc_9309_says(status: int | None, verdict: str) -> None:
    assert decide(Found(status, b""))[0] == verdict


def test_robots_rules_for_us_beat_rules_for_all() -> None:
    text = "User-agent: *\nDisallow: /\n\nUser-agent: headgate\nAllow: /api/open\nDisallow: /api\nCrawl-delay: 2.5\n"
    rules = Rules("rules", text, product_token("headgate/0.1 (+https://example.com)"))
    assert (
        rules.allows("https://h/")
        and rules.allows("https://h/api/open/1")
        and not rules.allows("https://h/api/x")
    )
    assert rules.crawl_delay_s == 2.5
    other = Rules("rules", text, "another")
    assert not other.allows("https://h/") and other.allows("https://h/robots.txt")
    assert other.crawl_delay_s == 0


def test_robots_wildcards_and_anchors() -> None:
    rules = Rules("rules", "User-agent: *\nDisallow: /*.json$\nDisallow: /p/*/edit\nAllow: /p/1/edit\n", "x")
    assert not rules.allows("https://h/a.json") and rules.allows("https://h/a.json?x=1")
    assert not rules.allows("https://h/p/2/edit/z") and rules.allows("https://h/p/1/edit")


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("Crawl-delay: 10", 10),
        ("Crawl-delay: 1e9", MAX_CRAWL_DELAY_S),
        ("Crawl-delay: -3", 0),
        ("Crawl-delay: nan", 0),
        ("Crawl-delay: inf", MAX_CRAWL_DELAY_S),
        ("Request-rate: 1/20s", 20),
        ("Request-rate: 0/1s", 0),
        ("Crawl-delay: soon", 0),
        ("Request-rate: 30/1m", 2),
    ],
)
def test_robots_crawl_delay_is_read_and_capped(line: str, seconds: float) -> None:
    found = Rules("rules", f"User-agent: *\n{line}\nDisallow: /x\n", "x").crawl_delay_s
    assert found == seconds or (found == 0 and "inf" in line)


def test_robots_verdicts_without_rules() -> None:
    assert Rules("allow", "", "x").allows("https://h/a")
    assert not Rules("disallow", "", "x").allows("https://h/a")
    assert Rules("disallow", "", "x").crawl_delay_s == 0


def test_robots_is_cut_at_500_kib_and_survives_any_bytes() -> None:
    verdict, text = decide(Found(200, b"\xff\x00" * MAX_BYTES))
    assert verdict == "rules" and len(text.encode()) <= 512 * 1024 and "\x00" not in text
    Rules(verdict, text, "x")


def test_robots_wildcards_do_not_blow_up() -> None:
    """A pattern made to backtrack against a long address answers at once."""
    text = "User-agent: *\n" + "\n".join("Disallow: /" + "*a" * 40 + "b$" for _ in range(200))
    rules = Rules("rules", text, "x")
    started = time.monotonic()
    assert rules.allows("https://h/" + "a" * 4000)
    assert time.monotonic() - started < 2


@given(st.binary(max_size=600), st.text(max_size=50))
def test_robots_any_file_is_read(body: bytes, path: str) -> None:
    rules = Rules(*decide(Found(200, body)), "headgate")
    assert rules.allows("https://h/" + path) in {True, False}
    assert 0 <= rules.crawl_delay_s <= MAX_CRAWL_DELAY_S


def test_robots_every_real_file_is_read() -> None:
    count, restrictive, slowest = 0, 0, 0.0
    with tarfile.open(shared("releases/robots/protego-real-robots-txt.tar.gz")) as archive:
        for member in archive:
            file = archive.extractfile(member) if "/test_data/" in member.name else None
            if file is None:
                continue
            body = file.read()
            started = time.monotonic()
            rules = Rules(*decide(Found(200, body)), "headgate")
            restrictive += not rules.allows("https://h/search?q=1")
            assert rules.allows("https://h/robots.txt")
            assert 0 <= rules.crawl_delay_s <= MAX_CRAWL_DELAY_S
            slowest = max(slowest, time.monotonic() - started)
            count += 1
    assert count >= 4_000
    assert restrictive > 100
    assert slowest < 5
