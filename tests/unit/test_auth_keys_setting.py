"""What `HEADGATE_JWT_SECRET` may be, and what a malformed one is told."""

from __future__ import annotations

import json

import pytest
from joserfc.jwk import ECKey, OctKey

from headgate.base.errors import SettingsError
from headgate.surface.auth.tokens import read_keys

GOOD = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}


@pytest.mark.parametrize(
    "document",
    [
        {"keys": []},
        {"keys": "no"},
        {"keys": [GOOD, {"kty": "EC", "crv": "P-256", "x": "AA"}]},
        {"keys": [GOOD, {"kty": "RSA", "n": "!!", "e": "AQAB"}]},
        {"keys": [GOOD, 5]},
        {"keys": [GOOD, {"kty": "OKP", "crv": "Ed25519", "x": "AA"}]},
        {"kty": "oct"},
        {},
    ],
)
def test_malformed_keys_are_refused_at_the_start_and_not_shown(document: object) -> None:
    with pytest.raises(SettingsError, match="HG106") as refused:
        read_keys(json.dumps(document), is_base64=False)
    assert GOOD["k"] not in str(refused.value)


def test_a_secret_a_key_and_a_key_set_are_read() -> None:
    key = ECKey.generate_key("P-256").as_dict(private=True)
    assert isinstance(read_keys("a plain secret of some length, no JSON", is_base64=False)[0], OctKey)
    assert isinstance(read_keys(json.dumps(key), is_base64=False)[0], ECKey)
    assert len(read_keys(json.dumps({"keys": [GOOD, key]}), is_base64=False)) == 2
