"""Headless Chromium for tests: one process for the whole run, a fresh context without a profile for each visit."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
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
]  # fmt: skip
START_S = 60.0


@dataclass
class Browser:
    """A page that collects everything that went wrong on it."""

    base: str
    page: playwright.Page
    wrong: list[str] = field(default_factory=list)

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


@contextlib.asynccontextmanager
async def browsing(
    base: str,
    *,
    width: int = 1280,
    height: int = 900,
    dark: bool = False,
    also: Sequence[str] = (),
    on_request: Callable[[str], None] | None = None,
) -> AsyncIterator[Browser]:
    """A fresh context that speaks to `base` only, and to the origins of `also`; `on_request` hears every address."""
    async with playwright.async_playwright() as play:
        browser = await play.chromium.connect_over_cdp(_process.address())
        context = await browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        page = await context.new_page()
        opened = Browser(base, page)

        def on_console(message: playwright.ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                opened.wrong.append(message.text)

        def asked(request: playwright.Request) -> None:
            if not request.url.startswith((base, "data:", "about:", *also)):
                opened.wrong.append(f"asked for {request.url}")
            if on_request is not None:
                on_request(request.url)

        page.on("console", on_console)
        page.on("pageerror", lambda error: opened.wrong.append(str(error)))
        page.on("request", asked)
        if on_request is not None:
            page.on("websocket", lambda socket: on_request(socket.url))
        await page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('policy: ' + e.violatedDirective))"
        )
        try:
            yield opened
        finally:
            await context.close()
            await browser.close()  # the connection; the process stays
