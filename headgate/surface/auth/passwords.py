"""Passwords: bcrypt hashes, made and compared off the event loop by few threads; what a new password must be."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import bcrypt

from headgate.base.settings import Settings
from headgate.surface.auth.errors import AuthError, invalid

BYTES_MAX = 72  # bcrypt reads no further, so a longer password would be a shorter one in truth
_CLASSES = {
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "digit": "0123456789",
    "symbol": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
}


class Passwords:
    """Hashes and compares for one process; at most as many at a time as there are processors."""

    def __init__(self, settings: Settings) -> None:
        self._min = settings.auth_password_min
        self._classes = [name.strip() for name in settings.auth_password_classes.split(",") if name.strip()]
        self._cost = settings.auth_bcrypt_cost
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="bcrypt")
        self._dummy: str | None = None

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check(self, password: str) -> None:
        """Raises AuthError unless the password may be set: 400 when it is too long, 422 `weak_password`."""
        if len(password.encode()) > BYTES_MAX:
            raise invalid("Password cannot be longer than 72 bytes")
        reasons: list[str] = []
        told: list[str] = []
        if len(password) < self._min:
            reasons.append("length")
            told.append(f"Password should be at least {self._min} characters.")
        lacking = [name for name in self._classes if not set(_CLASSES.get(name, "")) & set(password)]
        if lacking:
            reasons.append("characters")
            told.append(
                f"Password should contain at least one character of each: {', '.join(self._classes)}."
            )
        if reasons:
            raise AuthError(422, "weak_password", " ".join(told), {"weak_password": {"reasons": reasons}})

    async def hash(self, password: str) -> str:
        """The bcrypt hash, as hosted Supabase keeps it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._hash, password)

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Whether the password has this hash. Without a usable hash the same work is done, and the answer is no."""
        usable = bool(hashed) and str(hashed).startswith("$2")
        if not usable and self._dummy is None:
            self._dummy = await self.hash("nobody's password")
        loop = asyncio.get_running_loop()
        compared = str(hashed) if usable else str(self._dummy)
        right = await loop.run_in_executor(self._threads, _compare, password, compared)
        return usable and right

    def _hash(self, password: str) -> str:
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt(self._cost, prefix=b"2a")).decode()


def _compare(password: str, hashed: str) -> bool:
    raw = password.encode()
    try:
        same = bcrypt.checkpw(raw[:BYTES_MAX], hashed.encode())
    except ValueError:  # the kept hash is malformed
        return False
    return same and len(raw) <= BYTES_MAX
