"""A passkey authenticator in software: ES256, attestation none (WebAuthn level 3), with mistakes on order."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Its reverse."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Authenticator:
    """Holds one credential. `create` answers registration options, `get` authentication options."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(32)
        self.user = b""
        self.count = 0

    def _client(self, kind: str, challenge: str, wrong: dict[str, Any]) -> bytes:
        told = {
            "type": wrong.get("type", kind),
            "challenge": wrong.get("challenge", challenge),
            "origin": wrong.get("origin", self.origin),
            "crossOrigin": False,
        }
        return json.dumps(told).encode()

    def _data(self, rp_id: str, flags: int, tail: bytes = b"") -> bytes:
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count) + tail

    def create(self, options: dict[str, Any], **wrong: Any) -> dict[str, Any]:
        """The credential as the browser's JSON. `wrong` replaces origin, challenge, type, rp_id or flags."""
        assert any(one["alg"] == -7 for one in options["pubKeyCredParams"])
        self.user = unb64(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        tail = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cbor2.dumps(cose)
        data = self._data(
            wrong.get("rp_id", options["rp"]["id"]), wrong.get("flags", UP | UV | BE | BS | AT), tail
        )
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options["challenge"], wrong)
        return {
            "id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "clientExtensionResults": {},
            "authenticatorAttachment": "platform",
            "response": {
                "clientDataJSON": b64(client), "attestationObject": b64(attestation), "transports": ["internal"],
            },
        }  # fmt: skip

    def get(self, options: dict[str, Any], **wrong: Any) -> dict[str, Any]:
        """The assertion as the browser's JSON. `wrong` may also hold signature and user_handle."""
        self.count += wrong.get("count", 1)
        rp_id = wrong.get("rp_id", options.get("rpId", "localhost"))
        data = self._data(rp_id, wrong.get("flags", UP | UV | BE | BS))
        client = self._client("webauthn.get", options["challenge"], wrong)
        signed = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return {
            "id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "clientExtensionResults": {},
            "authenticatorAttachment": "platform",
            "response": {
                "clientDataJSON": b64(client), "authenticatorData": b64(data),
                "signature": b64(wrong.get("signature", signed)),
                "userHandle": b64(wrong.get("user_handle", self.user)),
            },
        }  # fmt: skip
