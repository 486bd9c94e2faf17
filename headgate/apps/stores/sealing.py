"""Encrypts what must be kept but never shown: AES-256-GCM with keys from the settings or the data directory.

The key is never in the database, so a copy of the database gives no access to any shop.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headgate.apps.stores.settings import StoresSettings
from headgate.base.errors import SettingsError
from headgate.base.settings import Settings

FILE = "stores_token_key"
_NONCE = 12


class Sealer:
    """Seals small JSON values, each bound to what it belongs to (the associated data)."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)
        self.key_id = next(iter(self._keys))

    @classmethod
    def of(cls, settings: StoresSettings, data_dir: Path | None = None) -> Self:
        """The keys of the settings, or the one in the data directory, made there at the first use."""
        given = settings.token_key.get_secret_value()
        texts = [part.strip() for part in given.split(",") if part.strip()]
        if not texts:
            texts = [_read_or_make((data_dir or Settings().data_dir) / FILE)]
        keys = [_decode(text) for text in texts]
        return cls({hashlib.sha256(b"id" + key).hexdigest()[:12]: key for key in keys})

    def seal(self, value: Mapping[str, Any], bound_to: str) -> bytes:
        """`value` encrypted under the first key with a fresh nonce."""
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self._keys[self.key_id]).encrypt(nonce, orjson.dumps(value), bound_to.encode())

    def open(self, sealed: bytes, bound_to: str, key_id: str) -> dict[str, Any]:
        """What was sealed. Raises SettingsError HG116 when the key is not here or the bytes were changed."""
        key = self._keys.get(key_id)
        try:
            if key is None:
                raise InvalidTag
            plain = AESGCM(key).decrypt(bytes(sealed[:_NONCE]), bytes(sealed[_NONCE:]), bound_to.encode())
        except InvalidTag:
            raise SettingsError(
                f"The access token of {bound_to} cannot be decrypted with the keys of this machine.",
                code="HG116",
                hint="Set HEADGATE_STORES_TOKEN_KEY to the key it was made with, or connect the shop again.",
            ) from None
        found: dict[str, Any] = orjson.loads(plain)
        return found


def _decode(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise SettingsError(
            "A key in HEADGATE_STORES_TOKEN_KEY is not 32 bytes in base64.",
            code="HG116",
            hint="`openssl rand -base64 32` makes one.",
        )
    return key


def _read_or_make(file: Path) -> str:
    """The key in `file`. Of several processes that make it at once, one wins and all use that one's."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f"{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(base64.b64encode(os.urandom(32)).decode())
        try:
            os.link(fresh, file)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return file.read_text().strip()
