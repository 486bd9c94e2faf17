"""How often one may try: attempts per address and per account, counted in the database for all processes."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass

from headgate.base.settings import Settings
from headgate.db import Database
from headgate.surface.auth.errors import AuthError


@dataclass(frozen=True)
class Limit:
    """At most `count` within `window_s` seconds, at once or spread. `count` 0: any number.

    `error_code` and `what` are what the client is told when it was too much.
    """

    name: str
    count: int
    window_s: float
    error_code: str = "over_request_rate_limit"
    what: str = "requests"


@dataclass(frozen=True)
class Rates:
    """The limits of the settings. A wrong password counts for the account from one address, and, ten times as
    generously, from all addresses together; so nobody is locked out by one stranger.
    """

    sign_in: Limit
    refresh: Limit
    account: Limit
    account_everywhere: Limit
    code: Limit
    mail_interval: Limit
    mails: Limit

    @classmethod
    def of(cls, settings: Settings) -> Rates:
        """Read from the settings."""
        per_account = settings.auth_limit_account
        interval = settings.auth_mail_interval_s
        mail = ("over_email_send_rate_limit", "mails to this address")
        return cls(
            sign_in=Limit("sign_in", settings.auth_limit_sign_in, 300),
            refresh=Limit("refresh", settings.auth_limit_refresh, 300),
            account=Limit("account", per_account, 300),
            account_everywhere=Limit("account_everywhere", per_account * 10, 3600),
            code=Limit("code", per_account, 300),
            mail_interval=Limit("mail_interval", 1 if interval else 0, interval, *mail),
            mails=Limit("mails", settings.auth_mails_per_hour, 3600, *mail),
        )


class Limits:
    """Counts attempts. Buckets are kept by hash, so that the table holds no addresses."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.rates = Rates.of(settings)
        self._db = db

    async def take_mail(self, address: str) -> None:
        """Count one letter to an address, known or not. Raises AuthError 429."""
        await self.take(self.rates.mail_interval, address)
        await self.take(self.rates.mails, address)

    async def take(self, limit: Limit, who: str) -> None:
        """Count one attempt of `who`. Raises AuthError 429 with Retry-After when there were too many."""
        if limit.count <= 0:
            return
        wait = await self._db.fetch_value(
            "select control.take_attempt(%s, %s, %s)", (_bucket(limit, who), limit.count, limit.window_s)
        )
        if wait:
            raise too_many(float(wait), error_code=limit.error_code, what=limit.what)

    async def give_back(self, limit: Limit, who: str) -> None:
        """Forget the last attempt of `who`, which succeeded."""
        if limit.count > 0:
            await self._db.execute(
                "select control.return_attempt(%s, %s, %s)",
                (_bucket(limit, who), limit.count, limit.window_s),
            )

    @contextlib.asynccontextmanager
    async def failures(self, *counted: tuple[Limit, str]) -> AsyncIterator[None]:
        """Count only what fails inside; counted first, so that many at once do not slip through."""
        for limit, who in counted:
            await self.take(limit, who)
        yield
        for limit, who in counted:
            await self.give_back(limit, who)


def too_many(
    wait_s: float, *, error_code: str = "over_request_rate_limit", what: str = "requests"
) -> AuthError:
    """What the client is told, with when to come back."""
    seconds = max(1, math.ceil(wait_s))
    msg = f"Too many {what}. Try again after {seconds} seconds."
    return AuthError(429, error_code, msg, headers={"Retry-After": str(seconds)})


def _bucket(limit: Limit, who: str) -> bytes:
    return hashlib.sha256(f"{limit.name}\n{who}".encode()).digest()
