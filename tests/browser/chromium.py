"""Headless Chromium for tests: one process for the whole run, a fresh context without a profile for each visit."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.async_api", reason="the playwright package is not installed")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-default-apps", "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio",
    "--force-color-profile=srgb", "--password-store=basic", "--use-mock-keychain",
    # a page that is not in front keeps its timers, so that tests with two pages see both move
    "--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-ipc-flooding-protection", "--disable-hang-monitor",
    "--disable-field-trial-config", "--disable-features=PaintHolding,Translate,HttpsUpgrades,OptimizationHints",
]  # fmt: skip
START_S = 60.0


@dataclass
class Browser:
    """A page that collects everything that went wrong on it."""

    base: str
    page: playwright.Page
    wrong: list[str] = field(default_factory=list)

    async def tab(self) -> Browser:
        """Another tab beside it: the same session, and the same list of what went wrong."""
        return Browser(self.base, await self.page.context.new_page(), self.wrong)

    async def open(self, path: str) -> None:
        """Go to one of the application's pages, freshly loaded."""
        await self.page.goto("about:blank")
        await self.page.goto(f"{self.base}/console/#/tickets/{path}")


class _Process:
    """The browser's process, started when first asked for and ended with this run."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""

    def address(self) -> str:
        """Where it takes DevTools connections."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        port = (Path(self._folder) / "DevToolsActivePort").read_text().splitlines()[0]
        return f"http://127.0.0.1:{port}"

    def _start(self) -> None:
        assert CHROMIUM is not None
        self.end()
        self._folder = tempfile.mkdtemp(prefix="hg-chromium-")
        self._process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={self._folder}", "--remote-debugging-port=0", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + START_S
        place = Path(self._folder) / "DevToolsActivePort"
        while not place.exists() or not place.read_text():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("Chromium did not start")
            time.sleep(0.02)

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""


_process = _Process()
atexit.register(_process.end)


def address() -> str:
    """Where the run's browser takes DevTools connections, for contexts of a kind of their own."""
    return _process.address()


@contextlib.asynccontextmanager
async def browsing(
    base: str,
    *,
    width: int = 1280,
    height: int = 900,
    dark: bool = False,
    also: Sequence[str] = (),
    stored: Mapping[str, str] | None = None,
    on_request: Callable[[str], None] | None = None,
) -> AsyncIterator[Browser]:
    """A fresh context that speaks to `base` only, and to the origins of `also`.

    `stored` is in its local storage from the start; `on_request` hears every address that it asks.
    """
    async with playwright.async_playwright() as play:
        browser = await play.chromium.connect_over_cdp(_process.address())
        entries = [{"name": name, "value": value} for name, value in (stored or {}).items()]
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            storage_state={"cookies": [], "origins": [{"origin": base, "localStorage": entries}]},
        )
        await context.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('policy: ' + e.violatedDirective))"
        )
        wrong: list[str] = []

        def on_console(message: playwright.ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                wrong.append(message.text)

        def asked(url: str) -> None:
            if on_request is not None:
                on_request(url)

        def on_page(page: playwright.Page) -> None:
            def requested(request: playwright.Request) -> None:
                if not request.url.startswith((base, "data:", "about:", *also)):
                    wrong.append(f"asked for {request.url}")
                asked(request.url)

            page.on("console", on_console)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", requested)
            page.on("websocket", lambda socket: asked(socket.url))

        context.on("page", on_page)
        opened = Browser(base, await context.new_page(), wrong)
        try:
            yield opened
        finally:
            await context.close()
            await browser.close()  # the connection; the process stays
