"""Mail and text messages: written into the transaction that asks for them, delivered afterwards; without a mail server
letters stay in the database as an inbox for development. So asking takes the same time whoever it is for.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import time
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from typing import Any

import orjson

from headgate.base import log
from headgate.base.errors import HeadgateError
from headgate.base.settings import Settings
from headgate.base.tasks import ended
from headgate.db import Connection, Database, errors
from headgate.db.queries import load
from headgate.surface.auth.letters import Letters
from headgate.surface.auth.outside import Outside, OutsideError
from headgate.surface.auth.users import Row, user_object

Q = load("headgate.surface.auth", "mail.sql")
ATTEMPTS = 6
IDLE_S = 5.0  # how often a process looks for mail that another one left
SMTP_S = 20.0
_log = log.get(__name__)


class Mailer:
    """Posts letters and, with a mail server set, delivers them."""

    def __init__(self, settings: Settings, db: Database, outside: Outside) -> None:
        self.letters = Letters(settings.auth_mail_templates)
        self._outside = outside
        self._settings = settings
        self._db = db
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def delivers(self) -> bool:
        """Whether a mail server is set."""
        return bool(self._settings.smtp_host)

    @property
    def texts(self) -> bool:
        """Whether telephones can be reached."""
        return bool(self._settings.auth_sms_hook_url)

    async def start(self) -> None:
        """Begin to deliver."""
        if self.delivers or self.texts:
            self._task = asyncio.create_task(self._deliver())

    async def close(self) -> None:
        """Stop; what was not delivered waits in the database."""
        await ended(self._task)
        self._task = None

    async def post_text(self, conn: Connection, user: Row, phone: str, otp: str) -> None:
        """Have the hook send a code to a telephone; it is called when the transaction has committed."""
        payload = {"user": user_object(user), "sms": {"otp": otp, "phone": phone}}
        await conn.execute(Q.post.encode(), {
            "kind": "sms", "recipient": phone, "subject": "", "text": orjson.dumps(payload).decode(),
            "html": None, "state": "queued",
        })  # fmt: skip
        self._wake.set()

    async def post(self, conn: Connection, kind: str, recipient: str, values: Mapping[str, Any]) -> None:
        """Write a letter; it leaves when the transaction commits. `values` fill the template `kind`."""
        letter = self.letters.write(kind, values)
        state = "queued" if self.delivers else "inbox"
        await conn.execute(Q.post.encode(), {
            "kind": kind, "recipient": recipient, "subject": letter.subject, "text": letter.text,
            "html": letter.html, "state": state,
        })  # fmt: skip
        if state == "inbox":
            await conn.execute(Q.trim_inbox.encode())
        self._wake.set()

    async def _deliver(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(0.05)  # until the transaction that posted has committed
            try:
                while await self._deliver_one():
                    pass
                await self._db.execute(Q.forget_old)
            except (errors.Error, HeadgateError, OSError) as error:
                _log.warning("mail.unread", reason=str(error))

    async def _deliver_one(self) -> bool:
        row = await self._db.fetch_one(Q.take_due)
        if row is None:
            return False
        import aiosmtplib

        try:
            await (self._call_hook(row) if row["kind"] == "sms" else self._send(row))
        except (aiosmtplib.SMTPException, OutsideError, OSError, ValueError) as error:
            refused = isinstance(error, aiosmtplib.SMTPRecipientsRefused)
            final = refused or row["attempts"] >= ATTEMPTS
            reason = f"{type(error).__name__}: {getattr(error, 'code', '')}".rstrip(": ")
            _log.warning("mail.failed", kind=row["kind"], id=row["id"], final=final, reason=reason)
            wait = min(3600, 10 * 2 ** row["attempts"])
            values = {"id": row["id"], "final": final, "wait_s": wait, "error": reason}
            await self._db.execute(Q.put_off, values)
        else:
            await self._db.execute(Q.sent, {"id": row["id"]})
        return True

    async def _call_hook(self, row: Mapping[str, Any]) -> None:
        body = str(row["text"]).encode()
        secret = self._settings.auth_hook_secret
        headers = {"content-type": "application/json"}
        if secret is not None:
            headers |= signed_headers(secret.get_secret_value(), f"msg_{row['id']}", body)
        await self._outside.send(self._settings.auth_sms_hook_url, body, headers=headers)

    async def _send(self, row: Mapping[str, Any]) -> None:
        import aiosmtplib

        settings = self._settings
        message = EmailMessage()
        message["From"] = formataddr((settings.mail_from_name, settings.mail_from))
        message["To"] = row["recipient"]
        message["Subject"] = row["subject"]
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=settings.mail_from.rpartition("@")[2] or "localhost")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(row["text"] or "")
        message.add_alternative(row["html"] or "", subtype="html")
        password = settings.smtp_password.get_secret_value() if settings.smtp_password else None
        await aiosmtplib.send(
            message,
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_user or None,
            password=password or None,
            use_tls=settings.smtp_tls == "tls",
            start_tls=settings.smtp_tls == "starttls",
            timeout=SMTP_S,
        )


def signed_headers(secret: str, message_id: str, body: bytes) -> dict[str, str]:
    """The headers by which a hook knows that we call (Standard Webhooks 1.0: `whsec_` and base64)."""
    text = secret.removeprefix("v1,").removeprefix("whsec_")
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = text.encode()
    moment = str(int(time.time()))
    signature = base64.b64encode(
        hmac.digest(key, f"{message_id}.{moment}.".encode() + body, "sha256")
    ).decode()
    return {"webhook-id": message_id, "webhook-timestamp": moment, "webhook-signature": f"v1,{signature}"}
