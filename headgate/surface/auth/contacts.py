"""An address or a number as requests name it, and what is sent to it: letters with a link and a code, or text messages.

Never says whether anybody has the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.db import Connection
from headgate.surface.auth import one_time, pkce, users
from headgate.surface.auth.core import Core
from headgate.surface.auth.errors import AuthError, invalid
from headgate.surface.auth.exchange import AuthRequest
from headgate.surface.auth.one_time import Code
from headgate.surface.auth.users import Row

Challenge = tuple[str, str] | None


@dataclass(frozen=True)
class Contact:
    """One of the two: an e-mail address or a telephone number."""

    email: str = ""
    phone: str = ""

    @property
    def name(self) -> str:
        """The address or number itself."""
        return self.email or self.phone

    @property
    def provider(self) -> str:
        """The identity that stands for it."""
        return "email" if self.email else "phone"

    async def find(self, conn: Connection) -> Row | None:
        """The user who has it."""
        if self.email:
            return await users.by_email(conn, self.email)
        return await users.by_phone(conn, self.phone)


def contact_of(core: Core, request: AuthRequest, *, what: str = "sign-ins") -> Contact | None:
    """The contact that the body names; None when it names none.

    Raises AuthError 400 when both are there, one is malformed, or its kind is not served here.
    """
    email, phone = request.text("email"), request.text("phone")
    if email and phone:
        raise invalid("Only an email address or phone number should be provided on signup.")
    if email:
        found = Contact(email=users.valid_email(email))
        if not core.settings.auth_email_enabled:
            raise AuthError(400, "email_provider_disabled", f"Email {what} are disabled")
        return found
    if phone:
        found = Contact(phone=users.valid_phone(phone))
        if not core.mailer.texts:
            raise AuthError(
                400, "phone_provider_disabled", f"Phone {what} are disabled: there is no SMS provider"
            )
        return found
    return None


def challenge_of(request: AuthRequest) -> Challenge:
    """The PKCE challenge of the body. Raises AuthError 400 when it is malformed."""
    return pkce.challenge_of(request.text("code_challenge"), request.text("code_challenge_method"))


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A letter to be sent: its template, the kind of code in it, the `type` of its link, where the link leads."""

    letter: str
    kind: str
    type: str
    redirect_to: str
    challenge: Challenge = None


async def send(
    core: Core, conn: Connection, user: Row, contact: Contact, sending: Sending, **more: Any
) -> Code:
    """Make a code for the user and send it to the contact; leaves with the transaction. `more` fills the template."""
    if contact.phone:
        code = await one_time.make(core, conn, user, sending.kind, contact.phone)
        await core.mailer.post_text(conn, user, contact.phone, code.otp)
        return code
    code = await one_time.make(
        core, conn, user, sending.kind, contact.email, pkce=sending.challenge is not None
    )
    if sending.challenge is not None:
        await pkce.begin(conn, challenge=sending.challenge, method=sending.type, user_id=user["id"])
    values = letter_values(core, user, code, sending)
    await core.mailer.post(conn, sending.letter, contact.email, {**values, **more})
    return code


def letter_values(core: Core, user: Row, code: Code, sending: Sending) -> Mapping[str, Any]:
    """What a template may show."""
    link = one_time.link(core, code.token_hash, kind=sending.type, redirect_to=sending.redirect_to)
    return {
        "ConfirmationURL": link, "Token": code.otp, "TokenHash": code.token_hash, "SiteURL": core.site_url,
        "Email": user["email"] or "", "OldEmail": user["email"] or "", "NewEmail": user["email_change"] or "",
        "RedirectTo": sending.redirect_to, "Data": user["raw_user_meta_data"] or {},
    }  # fmt: skip


async def send_confirmation(
    core: Core,
    conn: Connection,
    user: Row,
    contact: Contact,
    *,
    redirect_to: str,
    challenge: Challenge = None,
) -> None:
    """Ask a new user to confirm that the contact is theirs."""
    sending = Sending(
        letter="confirmation", kind=one_time.CONFIRMATION, type="signup", redirect_to=redirect_to,
        challenge=challenge,
    )  # fmt: skip
    await send(core, conn, user, contact, sending)
