"""The pictures of docs/images that show the console and stores, taken anew from a server that runs.

`headgate up --demo`, `headgate admin create admin@example.com`, then
`PASSWORD=… python -m tests.browser.pictures http://127.0.0.1:8000 admin@example.com [name …]`.
`stores-sync-light` shows a sync on its way: press "Sync now" on the page Shops first.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from pathlib import Path

from PIL import Image

from tests.browser.chromium import Browser, browsing
from tests.browser.console import go, sign_in

FOLDER = Path(__file__).parents[2] / "docs" / "images"
#: Name → page and whether it is dark, at 1280 × 860.
WIDE = {
    "console-overview-light": ("overview", False),
    "console-overview-dark": ("overview", True),
    "stores-sales-light": ("stores/sales", False),
    "stores-sales-dark": ("stores/sales", True),
    "stores-orders-light": ("stores/orders", False),
    "stores-customers-light": ("stores/customers", False),
    "stores-sync-light": ("stores/progress", False),
}
#: Name → pages of a telephone side by side, 390 × 844 each.
PHONES = {
    "console-overview-phone": (("overview", False), ("runs", False), ("overview", True)),
    "stores-phone": (("stores/sales", False), ("stores/customers", False), ("stores/progress", True)),
}
SETTLED_MS = 1500


async def _shown(browser: Browser, page: str) -> bytes:
    """The page when it has its data and nothing fades in any more."""
    await go(browser, page)
    await browser.page.mouse.move(0, 0)
    await browser.page.wait_for_timeout(SETTLED_MS)
    return await browser.page.screenshot()


async def _taken(base: str, who: tuple[str, str], page: str, *, dark: bool, phone: bool) -> Image.Image:
    width, height = (390, 844) if phone else (1280, 860)
    async with browsing(base, width=width, height=height, dark=dark) as browser:
        await sign_in(browser, *who)
        picture = await _shown(browser, page)
    return Image.open(io.BytesIO(picture)).convert("RGB")


async def take(base: str, who: tuple[str, str], names: list[str]) -> None:
    """Write the pictures of these names, or all."""
    for name, (page, dark) in WIDE.items():
        if not names or name in names:
            picture = await _taken(base, who, page, dark=dark, phone=False)
            picture.quantize(256).save(FOLDER / f"{name}.png", optimize=True)
            print(name)
    for name, pages in PHONES.items():
        if not names or name in names:
            row = Image.new("RGB", (390 * len(pages), 844))
            for at, (page, dark) in enumerate(pages):
                row.paste(await _taken(base, who, page, dark=dark, phone=True), (390 * at, 0))
            row.quantize(256).save(FOLDER / f"{name}.png", optimize=True)
            print(name)


if __name__ == "__main__":
    asyncio.run(take(sys.argv[1], (sys.argv[2], os.environ["PASSWORD"]), sys.argv[3:]))
