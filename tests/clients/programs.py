"""Runs the programs that use supabase-js: in Node and in a browser, and compares what passes, method by method."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.clients.installed import packages

HERE = Path(__file__).parent
VENDORED = HERE.parents[1] / "headgate" / "console" / "static" / "vendor" / "supabase.js"
PROGRAM_S = 150
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
_MODULES = {
    "node:assert/strict": "/page/assert.mjs",
    "@supabase/supabase-js": "/page/supabase.mjs",
    "@supabase/realtime-js": "/page/supabase.mjs",
}
_PAGE = """<!doctype html><meta charset="utf-8"><title>{0}</title><link rel="icon" href="data:,">
<script src="/vendor/supabase.js"></script><script type="importmap">{1}</script>
<script type="module" src="/{0}"></script>"""


def verdicts(text: str) -> dict[str, str]:
    """The table that a program printed: method to verdict."""
    found = re.findall(r"^(\S+) +\d+ calls  (.+)$", text, re.MULTILINE)
    return {name: verdict.lower() for name, verdict in found}


def judge(status: int | None, text: str, least: int) -> None:
    """Fail with what went wrong."""
    wrong = [line for line in text.splitlines() if re.search(r"^not ok|FAIL$|NEVER CALLED$", line)]
    assert status == 0, "\n".join(wrong) or text
    told = re.search(r"^(\d+) of (\d+) methods pass$", text, re.MULTILINE)
    assert told is not None, text
    assert told.group(1) == told.group(2) and int(told.group(2)) >= least


OnLine = Callable[[str], Awaitable[None]]


async def run_program(*command: str, cwd: Path, least: int, on_line: OnLine | None = None) -> str:
    """Run a client program and show its table; what went wrong is the message. `on_line` hears each line it prints."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    lines: list[str] = []
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PROGRAM_S):
            async for line in process.stdout:
                lines.append(line.decode())
                if on_line is not None:
                    await on_line(line.decode().rstrip())
            await process.wait()
    except TimeoutError:
        process.kill()
        print("".join(lines))
        raise
    text = "".join(lines)
    print(text)
    judge(process.returncode, text, least)
    return text


async def run_supabase_js(
    program: str, *arguments: str, least: int, base: str | None = None, on_line: OnLine | None = None
) -> None:
    """A program in Node, then in Chromium against the same server; a method that passes in one must in the other.

    `base`: where `pages` are served already, when the server has to know.
    """
    folder = await asyncio.to_thread(packages)
    if isinstance(folder, str):
        pytest.skip(folder)
    for name in (program, "watch.mjs", "host.mjs", "device.mjs"):
        await asyncio.to_thread(shutil.copy, HERE / name, folder)
    in_node = verdicts(
        await run_program("node", program, *arguments, cwd=folder, least=least, on_line=on_line)
    )
    playwright = pytest.importorskip(
        "playwright.async_api", reason=f"{program} passes in Node; no playwright"
    )
    if CHROMIUM is None:
        pytest.skip(f"{program} passes in Node; there is no Chromium (apt-get install chromium)")
    with contextlib.ExitStack() as stack:
        base = base or stack.enter_context(pages())
        status, text = await _in_browser(playwright, base, (program, *arguments), on_line)
    in_page = verdicts(text)
    width = max(map(len, in_node))
    print(f"{'method'.ljust(width)}  Node  browser")
    for name in sorted(in_node | in_page):
        print(f"{name.ljust(width)}  {in_node.get(name, '-'):4}  {in_page.get(name, '-')}")
    print("\n".join(line for line in text.splitlines() if line.startswith(("#", "not ok"))))
    judge(status, text, least)
    assert in_page == in_node


async def _in_browser(
    playwright: Any, base: str, command: tuple[str, ...], on_line: OnLine | None
) -> tuple[int, str]:
    """The exit status and what was printed."""
    program, *arguments = command
    lines: list[str] = []
    told: set[asyncio.Future[None]] = set()
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def fail(error: Any) -> None:
        lines.append(f"not ok {program}: {error}")
        if not ended.done():
            ended.set_result(1)

    def said(line: str) -> None:
        lines.append(line)
        if on_line is not None:
            told.add(asyncio.ensure_future(on_line(line)))

    async with playwright.async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            context = await browser.new_context()
            page = await context.new_page()

            async def visit(address: str, end: str) -> str:
                tab = await context.new_page()
                await tab.goto(address)
                await tab.wait_for_url(lambda url: url.startswith(end), timeout=15_000)
                reached: str = tab.url
                await tab.close()
                return reached

            await page.expose_function("programVisits", visit)
            await page.expose_function("programEnds", lambda status: ended.done() or ended.set_result(status))
            await page.add_init_script(f"globalThis.programArguments = {json.dumps(arguments)}")
            page.on("console", lambda message: said(message.text))
            page.on("pageerror", fail)
            devtools = await context.new_cdp_session(page)
            await devtools.send("WebAuthn.enable")
            device = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
                      "hasUserVerification": True, "isUserVerified": True,
                      "automaticPresenceSimulation": True}  # fmt: skip
            plugged = await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": device})
            await page.expose_function(
                "programForgets", lambda: devtools.send("WebAuthn.clearCredentials", plugged)
            )
            await page.goto(f"{base}/?{program}")
            status = await asyncio.wait_for(ended, PROGRAM_S)
        finally:
            await asyncio.gather(*told)
            await browser.close()
    return status, "\n".join(lines)


class _Pages(BaseHTTPRequestHandler):
    """A page for each program, and what it loads; another origin than the server's, as of a real application."""

    def do_GET(self) -> None:
        path, _, program = self.path.partition("?")
        files = {f"/{file.relative_to(HERE).as_posix()}": file for file in HERE.rglob("*.mjs")}
        files |= {f"/{name}": HERE / "page" / name for name in ("host.mjs", "device.mjs")}
        files["/vendor/supabase.js"] = VENDORED
        if path == "/":
            kind, body = "text/html", _PAGE.format(program, json.dumps({"imports": _MODULES})).encode()
        elif path in files and files[path].exists():
            kind, body = "text/javascript", files[path].read_bytes()
        else:
            kind, body = "text/plain", b"a page of the application"
        self.send_response(200)
        self.send_header("content-type", f"{kind}; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests' output is the programs'."""


@contextlib.contextmanager
def pages() -> Iterator[str]:
    """Serve the pages on a free port of localhost until the block ends: the origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(5)
