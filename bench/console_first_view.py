"""The console's first view in headless Chromium on loopback: a new browser without a cache for each load, as a visitor
and as an administrator. Painted: the first content. Settled: the overview has its heading and nothing loads any more,
counted from the navigation's start.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bench import report
from bench._database import fresh_database
from headgate.db import Database
from tests.browser.console import ADMIN, Site, go, settled, site, visiting

ROUNDS = 7
_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


async def visitor(place: Site) -> tuple[float, float]:
    """Milliseconds to the first content and to the settled overview, for someone who is not signed in."""
    async with visiting(place) as browser:
        await browser.page.goto(f"{place.base}/console/#/overview")
        await settled(browser)
        now = await browser.page.evaluate("performance.now()")
        return float(await browser.page.evaluate(_PAINTED)), float(now)


async def administrator(place: Site) -> tuple[float, float]:
    """The same for an administrator whose browser remembers the session and nothing else."""
    async with visiting(place, ADMIN) as browser:
        devtools = await browser.page.context.new_cdp_session(browser.page)
        await devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
        await go(browser, "overview")
        now = await browser.page.evaluate("performance.now()")
        return float(await browser.page.evaluate(_PAINTED)), float(now)


async def run() -> None:
    """Measure and report."""
    samples: dict[str, list[float]] = {"v painted": [], "v settled": [], "a painted": [], "a settled": []}
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as folder:
        async with (
            fresh_database(everything=True) as url,
            await Database.open(url, max_size=8) as db,
            site(db, Path(folder)) as place,
        ):
            for _ in range(report.sized(ROUNDS)):
                for who, measured in (("v", await visitor(place)), ("a", await administrator(place))):
                    samples[f"{who} painted"].append(measured[0])
                    samples[f"{who} settled"].append(measured[1])
    figures = [
        report.at_most("visitor: painted", report.middle(samples["v painted"]), 1000, "ms"),
        report.at_most("visitor: settled", report.middle(samples["v settled"]), 1000, "ms"),
        report.at_most("administrator: painted", report.middle(samples["a painted"]), 1000, "ms"),
        report.at_most("administrator: settled", report.middle(samples["a settled"]), 1000, "ms"),
    ]
    report.write(
        "console_first_view",
        "First view of the console",
        figures,
        command="python -m bench console_first_view",
        about=(__doc__ or "").strip(),
        samples=samples,
    )


def main() -> None:
    """The medians of seven loads each."""
    asyncio.run(run())


if __name__ == "__main__":
    main()
