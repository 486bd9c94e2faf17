"""Mail and text messages: the inbox, a mail server on loopback, an operator's templates, the hook for telephones."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email
import email.policy
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.base.errors import SettingsError
from headgate.db import Database
from headgate.surface.auth.letters import KINDS, Letters
from tests.auth_server import PASSWORD, running

A = "a@example.com"


@contextlib.asynccontextmanager
async def mail_server(*, refuse_first: int = 0) -> AsyncIterator[tuple[int, list[str]]]:
    """An SMTP server (RFC 5321, no more than a client of ours needs): its port and the messages it took."""
    taken: list[str] = []
    left = refuse_first

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        writer.write(b"220 test\r\n")
        while line := (await reader.readline()).decode().strip().upper():
            answer = "250 ok"
            if line.startswith("MAIL") and left > 0:
                left -= 1
                answer = "451 later"
            elif line == "DATA":
                writer.write(b"354 go on\r\n")
                taken.append((await reader.readuntil(b"\r\n.\r\n")).decode())
            elif line == "QUIT":
                break
            writer.write(f"{answer}\r\n".encode())
        writer.write(b"221 bye\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], taken


async def eventually(found: Callable[[], bool]) -> None:
    for _ in range(600):
        if found():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen")


def smtp(port: int) -> dict[str, Any]:
    return {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_tls": "none", "mail_from": "auth@example.com"}


async def test_mail_goes_through_the_mail_server_and_its_body_is_forgotten(
    database: Database, tmp_path: Path
) -> None:
    async with mail_server() as (port, taken), running(database, tmp_path, **smtp(port)) as auth:
        await auth.post("/signup", {"email": A, "password": PASSWORD})
        await eventually(lambda: bool(taken))
        message = email.message_from_string(taken[0], policy=email.policy.default)
        assert message["To"] == A and message["From"] == "auth@example.com" and message["Message-ID"]
        text = message.get_body(("plain",)).get_content()  # type: ignore[attr-defined]
        code = re.search(r"Code: (\d{6})", text)
        assert code is not None
        assert "/auth/v1/verify?token=" in text
        done = await auth.post("/verify", {"type": "signup", "email": A, "token": code.group(1)})
        assert done.status_code == 200
        row = {}
        for _ in range(100):
            row = (await auth.letters())[0]
            if row["state"] == "sent":
                break
            await asyncio.sleep(0.05)
        assert (row["state"], row["text"], row["html"]) == ("sent", None, None)


async def test_a_mail_server_that_is_busy_is_tried_again(database: Database, tmp_path: Path) -> None:
    async with (
        mail_server(refuse_first=1) as (port, taken),
        running(database, tmp_path, **smtp(port)) as auth,
    ):
        answer = await auth.post("/signup", {"email": A, "password": PASSWORD})
        assert answer.status_code == 200
        for _ in range(200):
            row = (await auth.letters())[0]
            if row["error"]:
                break
            await asyncio.sleep(0.05)
        assert row["state"] == "queued" and not taken
        await database.execute("update control.mail set due_at = now()")
        await eventually(lambda: bool(taken))


async def test_the_inbox_is_for_service_role_only(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as auth:
        await auth.post("/signup", {"email": A, "password": PASSWORD})

        async def read(key: str) -> Any:
            headers = {"apikey": key, "authorization": f"Bearer {key}"}
            answer = await auth.http.get(
                f"{auth.url}/rest/v1/mail_inbox?select=kind,recipient", headers=headers
            )
            return answer.status_code, answer.json()

        assert await read(auth.service) == (200, [{"kind": "confirmation", "recipient": A}])
        assert (await read(auth.anon))[0] in (401, 403, 404)


async def test_letters_are_the_operators_where_there_are_such(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "confirmation.subject").write_text("Welcome {{ .Data.name }}")
    (folder / "confirmation.html").write_text("<p>{{ .Data.name }} <b>{{ .Token }}</b> {{ .SiteURL }}</p>")
    async with running(database, tmp_path, auth_mail_templates=folder) as auth:
        body = {"email": A, "password": PASSWORD, "data": {"name": "<i>A</i>\r\nBcc: b@example.com"}}
        await auth.post("/signup", body)
        letter = (await auth.letters(A))[0]
        assert letter["subject"] == "Welcome <i>A</i> Bcc: b@example.com"  # one line
        assert "<i>" not in letter["html"] and "&lt;i&gt;" in letter["html"]
        assert (await auth.code(A)) in letter["html"]
    (folder / "invite.html").write_text("{{ if .Token }}x{{ end }}")
    with pytest.raises(SettingsError, match="HG107"):
        Letters(folder)


def test_every_letter_has_a_code_and_all_but_one_a_link() -> None:
    letters = Letters()
    for kind in KINDS:
        letter = letters.write(kind, {"Token": "123456", "ConfirmationURL": "https://x.example/?a=1&b=2"})
        assert "123456" in letter.text and "123456" in letter.html and letter.subject
        assert ("https://x.example" in letter.text) == (kind != "reauthentication")
        assert "{{" not in letter.text + letter.html + letter.subject


async def test_codes_for_telephones_go_to_the_hook_and_sign_in(database: Database, tmp_path: Path) -> None:
    calls: list[tuple[dict[str, str], bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        pairs = [line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line]
        headers = {name.lower(): value for name, value in pairs}
        calls.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    key = base64.b64encode(b"0123456789abcdef").decode()
    settings = {
        "auth_sms_hook_url": f"http://{place}/sms", "allow_private_hosts": place, "auth_hook_secret": f"v1,whsec_{key}",
    }  # fmt: skip
    async with server, running(database, tmp_path, **settings) as auth:
        assert (await auth.get("/settings")).json()["external"]["phone"] is True
        wrong = await auth.post("/otp", {"phone": "0049"})
        assert "E.164" in wrong.json()["msg"]
        assert (await auth.post("/otp", {"phone": "+49 1512 3456"})).json() == {}
        await eventually(lambda: bool(calls))
        headers, body = calls[0]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.digest(b"0123456789abcdef", signed, "sha256")).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        code = json.loads(body)["sms"]["otp"]
        right = await auth.post("/verify", {"type": "sms", "phone": "+4915123456", "token": code})
        assert right.status_code == 200, right.text
        user = right.json()["user"]
        assert user["phone"] == "4915123456" and user["phone_confirmed_at"] and user["email"] == ""
        assert user["app_metadata"]["provider"] == "phone"
