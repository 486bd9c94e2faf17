"""The keys that sign users' tokens: kept sealed in the database, shared by all processes, rotated without a restart.

A key is first `standby` (published, so that every process knows it before it signs), then `current`, then `previous`
(verifies until it is revoked). Never shows a private key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from headgate.base import log
from headgate.base.errors import HeadgateError, SettingsError
from headgate.base.ids import uuid7
from headgate.base.tasks import ended
from headgate.db import Connection, Database, Jsonb, errors
from headgate.db.queries import load
from headgate.surface.auth.tokens import LiveKeys, read_keys

Q = load("headgate.surface.auth", "signing.sql")
POLL_S = 10.0  # how long a process may not know of a rotation elsewhere
MISS_S = 1.0  # how often unknown key ids may make it look sooner
RSA_BITS = 2048
ALGORITHMS = ("ES256", "RS256")
_log = log.get(__name__)


@dataclass(frozen=True)
class KeyState:
    """A key of the set, for people: its id, algorithm, status and since when it has that status."""

    kid: str
    algorithm: str
    status: str
    created_at: datetime
    changed_at: datetime


def derive(secret: str, purpose: str) -> bytes:
    """32 bytes for one purpose, made from the installation's secret; the same in every process."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret.encode())


def _seal(secret: str, kid: str, private: Mapping[str, Any]) -> bytes:
    nonce = os.urandom(12)
    cipher = AESGCM(derive(secret, "headgate signing keys"))
    return nonce + cipher.encrypt(nonce, orjson.dumps(dict(private)), kid.encode())


def _unseal(secret: str, kid: str, sealed: bytes) -> Mapping[str, Any] | None:
    """The private key, or None when it was sealed with another secret."""
    cipher = AESGCM(derive(secret, "headgate signing keys"))
    try:
        found: Mapping[str, Any] = orjson.loads(cipher.decrypt(sealed[:12], sealed[12:], kid.encode()))
    except InvalidTag:
        return None
    return found


def _import(raw: Mapping[str, Any]) -> Key:
    kind: Any = ECKey if raw["kty"] == "EC" else RSAKey
    key: Key = kind.import_key(dict(raw))
    return key


def _generate(algorithm: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A new pair: its id, the public and the private JWK."""
    kid = str(uuid7())
    about: Any = {"kid": kid, "alg": algorithm, "use": "sig"}
    key: Any
    if algorithm == "ES256":
        key = ECKey.generate_key("P-256", about, private=True)
    elif algorithm == "RS256":
        key = RSAKey.generate_key(RSA_BITS, about, private=True)
    else:
        raise SettingsError(f"Tokens cannot be signed with {algorithm!r}.", hint="Use ES256 or RS256.")
    public = {**key.as_dict(private=False), "key_ops": ["verify"]}
    return kid, public, {**key.as_dict(private=True), "key_ops": ["sign", "verify"]}


# ------------------------------------------------------------------------------------------ for operators


async def list_keys(db: Database) -> list[KeyState]:
    """Every key that was ever made, the current one first."""
    return [
        KeyState(row["kid"], row["algorithm"], row["status"], row["created_at"], row["changed_at"])
        for row in await db.fetch_all(Q.all_keys)
    ]


async def rotate(db: Database, secret: str, *, algorithm: str | None = None) -> str:
    """Let the standby key sign from now on, keep the old one for verifying, make a new standby; the new key's id.

    `algorithm` (`ES256`, `RS256`; None: as the standby has it) other than the standby's replaces that first; then
    processes may take up to POLL_S to know the new key. Raises SettingsError for another algorithm.
    """
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise SettingsError(f"Tokens cannot be signed with {algorithm!r}.", hint="Use ES256 or RS256.")
    async with db.transaction() as conn:
        await conn.execute(Q.lock.encode())
        if algorithm is not None:
            await conn.execute(Q.drop_standby.encode(), {"algorithm": algorithm})
        return await _advance(conn, secret, algorithm)


async def revoke(db: Database, kid: str) -> bool:
    """Let no token of a previous (or standby) key in any more; False when there is none such."""
    return await db.fetch_one(Q.revoke_key, {"kid": kid}) is not None


async def _advance(conn: Connection, secret: str, algorithm: str | None) -> str:
    rows = await (await conn.execute(Q.all_keys.encode())).fetchall()
    standby = next((row for row in rows if row["status"] == "standby"), None)
    if standby is None or _unseal(secret, standby["kid"], standby["sealed"]) is None:
        await conn.execute(Q.drop_standby.encode(), {"algorithm": ""})
        await _add(conn, secret, algorithm or "ES256", "standby")
    await conn.execute(Q.retire_current.encode())
    row = await (await conn.execute(Q.promote_standby.encode())).fetchone()
    assert row is not None  # noqa: S101 - one was made above at the latest
    kind = algorithm or (standby["algorithm"] if standby else "ES256")
    await _add(conn, secret, kind, "standby")
    return str(row["kid"])


async def _add(conn: Connection, secret: str, algorithm: str, status: str) -> None:
    kid, public, private = await asyncio.to_thread(_generate, algorithm)
    values = {"kid": kid, "algorithm": algorithm, "status": status, "public": Jsonb(public)}
    await conn.execute(Q.insert_key.encode(), {**values, "sealed": _seal(secret, kid, private)})


def legacy_key(secret: str, *, role: str, valid_s: int) -> str:
    """An API key in the older form: a token of `role` without a user. Raises SettingsError where no secret signs."""
    if secret.lstrip().startswith("{"):
        raise SettingsError(
            "A key set is configured; a key in the older form is signed with a plain secret.",
            hint="Use the sb_publishable_… and sb_secret_… keys.",
        )
    now = int(time.time())
    claims = {"iss": "headgate", "role": role, "iat": now, "exp": now + valid_s}
    header = {"alg": "HS256", "typ": "JWT"}
    return jws.serialize_compact(
        header, orjson.dumps(claims), OctKey.import_key(secret), algorithms=["HS256"]
    )


# ------------------------------------------------------------------------------------------ for the server


class SigningKeys:
    """This process's view of the keys: signs, and keeps `live` (what all verifiers look at) up to date.

    With `own_secret` (the installation made its secret itself) the set is made at the first start; an operator's
    secret or key set signs until somebody rotates.
    """

    def __init__(self, db: Database, secret: str, *, own_secret: bool) -> None:
        self.live = LiveKeys()
        self.live.on_miss = self._missed
        self._db = db
        self._secret = secret
        self._own = own_secret
        self._configured = read_keys(secret, is_base64=False)
        self._signer: tuple[dict[str, str], Key] = _configured_signer(self._configured)
        self._public: list[Mapping[str, Any]] = []
        self._state: list[tuple[str, str]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def secret(self) -> str:
        """The installation's secret, for `derive`."""
        return self._secret

    async def start(self) -> None:
        """Make the first keys where none are, read them, and keep reading. A database without the table has none."""
        try:
            if self._own:
                await self._ensure()
            await self.refresh()
        except errors.UndefinedTable:
            _log.warning("signing_keys.missing_table", hint="run `headgate migrate up`")
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Stop reading."""
        await ended(self._task)
        self._task = None

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token with these claims."""
        header, key = self._signer
        return jws.serialize_compact(
            dict(header), orjson.dumps(dict(claims)), key, algorithms=[header["alg"]]
        )

    def jwks(self) -> dict[str, Any]:
        """The public keys that verify our tokens; a shared secret is no public key and is not here."""
        return {"keys": self._public}

    async def refresh(self) -> None:
        """Read the keys as the database has them now."""
        rows = await self._db.fetch_all(Q.all_keys)
        state = [(row["kid"], row["status"]) for row in rows]
        if state == self._state and self._public:
            return
        usable = [row for row in rows if row["status"] != "revoked"]
        signers = [row for row in usable if row["status"] in ("current", "previous")]
        for row in signers:
            private = _unseal(self._secret, row["kid"], bytes(row["sealed"]))
            if private is not None:
                self._signer = ({"alg": row["algorithm"], "typ": "JWT", "kid": row["kid"]}, _import(private))
                break
        else:
            if signers:
                _log.error(
                    "signing_keys.sealed_with_another_secret", hint="tokens are signed with the secret itself"
                )
            self._signer = _configured_signer(self._configured)
        shown = [_public_half(key) for key in self._configured if not isinstance(key, OctKey)]
        self._public = [row["public"] for row in usable] + shown
        self.live.replace([_import(row["public"]) for row in usable])
        self._state = state

    async def _ensure(self) -> None:
        """A current key that this secret opens, and a standby; made by one process, under a lock."""
        async with self._db.transaction() as conn:
            await conn.execute(Q.lock.encode())
            rows = await (await conn.execute(Q.all_keys.encode())).fetchall()
            current = next((row for row in rows if row["status"] == "current"), None)
            if current is None or _unseal(self._secret, current["kid"], current["sealed"]) is None:
                if current is not None:
                    _log.warning(
                        "signing_keys.rotated", reason="the current key was sealed with another secret"
                    )
                await _advance(conn, self._secret, None)

    def _missed(self) -> None:
        self._wake.set()

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
            try:
                await self.refresh()
            except (errors.Error, HeadgateError, OSError) as error:
                _log.warning("signing_keys.unread", reason=str(error))
            await asyncio.sleep(MISS_S)
            self._wake.clear()


def _configured_signer(keys: list[Key]) -> tuple[dict[str, str], Key]:
    """The key of the setting that signs: one whose `key_ops` say so, else a private one, else a secret."""
    able = [key for key in keys if isinstance(key, OctKey) or key.is_private]
    able.sort(key=lambda key: ("sign" not in (key.get("key_ops") or ()), isinstance(key, OctKey)))
    if not able:
        raise SettingsError(
            "The configured JWT key set has no key that can sign.",
            code="HG106",
            hint="Put a private key (key_ops: sign) or a secret (kty: oct) into HEADGATE_JWT_SECRET.",
        )
    key = able[0]
    kinds = {"oct": "HS256", "RSA": "RS256", "EC": {"P-384": "ES384", "P-521": "ES512"}}
    found: Any = key.get("alg") or kinds[key.key_type]
    algorithm = found if isinstance(found, str) else found.get(str(key.get("crv")), "ES256")
    kid = key.get("kid")
    return {"alg": algorithm, "typ": "JWT", **({"kid": str(kid)} if kid else {})}, key


def _public_half(key: Key) -> dict[str, Any]:
    return {**key.as_dict(private=False), "key_ops": ["verify"]}
