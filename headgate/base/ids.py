"""Identifiers: random, sortable by time where that helps an index."""

from __future__ import annotations

import os
import secrets
import time
import uuid


def uuid7() -> uuid.UUID:
    """A time-ordered UUID version 7 (RFC 9562, section 5.7)."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & ((1 << 48) - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def token(prefix: str = "", size: int = 24) -> str:
    """A secret of `size` random bytes in URL-safe text, after `prefix`."""
    return prefix + secrets.token_urlsafe(size)
