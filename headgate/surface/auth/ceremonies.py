"""WebAuthn ceremonies (level 3): the options that browsers get and the checking of what they send back. The door to
the `webauthn` library, which is loaded at first use. Keeps nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

CREDENTIAL_MAX = 16 * 1024  # characters of a credential as JSON; real ones are a tenth of it
TIMEOUT_MS = 300_000


class CeremonyFailed(Exception):
    """What came back is not a good answer to the options. The text is for the log."""


@dataclass(frozen=True, kw_only=True)
class Party:
    """Who asks for passkeys: the relying party's id (a domain), its name, and the origins that may use it."""

    id: str
    name: str
    origins: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class NewCredential:
    """A passkey just made: its id, its public key (COSE), and what is known of its authenticator."""

    id: bytes
    public_key: bytes
    count: int
    aaguid: str
    transports: list[str]
    backup_eligible: bool
    backed_up: bool


def registration_options(
    party: Party, *, user: bytes, name: str, display_name: str, exclude: Sequence[bytes]
) -> tuple[dict[str, Any], bytes]:
    """Options for `navigator.credentials.create` as JSON, and their challenge."""
    import webauthn
    from webauthn.helpers import structs
    from webauthn.helpers.cose import COSEAlgorithmIdentifier as Cose

    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=party.name,
        user_id=user,
        user_name=name,
        user_display_name=display_name,
        attestation=structs.AttestationConveyancePreference.NONE,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.REQUIRED,
            require_resident_key=True,
            user_verification=structs.UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=one) for one in exclude],
        supported_pub_key_algs=[Cose.ECDSA_SHA_256, Cose.EDDSA, Cose.RSASSA_PKCS1_v1_5_SHA_256],
        timeout=TIMEOUT_MS,
    )
    return orjson.loads(webauthn.options_to_json(options)), options.challenge


def authentication_options(party: Party) -> tuple[dict[str, Any], bytes]:
    """Options for `navigator.credentials.get` as JSON, for any passkey of this party, and their challenge."""
    import webauthn
    from webauthn.helpers import structs

    options = webauthn.generate_authentication_options(
        rp_id=party.id, user_verification=structs.UserVerificationRequirement.PREFERRED, timeout=TIMEOUT_MS
    )
    found: dict[str, Any] = orjson.loads(webauthn.options_to_json(options))
    found.pop("allowCredentials", None)  # the authenticator shows what it has
    return found, options.challenge


def registered(party: Party, credential: Mapping[str, Any], *, challenge: bytes) -> NewCredential:
    """The passkey that the browser made for `challenge`. Raises CeremonyFailed."""
    import webauthn
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        made = webauthn.verify_registration_response(
            credential=_json(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            require_user_verification=False,
        )
    except WebAuthnException as error:
        raise CeremonyFailed(str(error)) from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        # the parsers below the library say bad bytes in their own words
        raise CeremonyFailed(type(error).__name__) from None
    response = credential.get("response")
    given = response.get("transports") if isinstance(response, Mapping) else None
    transports = [one[:32] for one in given[:8] if isinstance(one, str)] if isinstance(given, list) else []
    return NewCredential(
        id=made.credential_id,
        public_key=made.credential_public_key,
        count=made.sign_count,
        aaguid=made.aaguid,
        transports=transports,
        backup_eligible=made.credential_device_type.value == "multi_device",
        backed_up=made.credential_backed_up,
    )


def signed_by(credential: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The id of the passkey that an assertion claims to be from, and its user handle. Raises CeremonyFailed."""
    response = credential.get("response")
    raw, handle = (
        credential.get("rawId"),
        response.get("userHandle") if isinstance(response, Mapping) else None,
    )
    if not isinstance(raw, str) or not isinstance(handle, str) or credential.get("id") != raw:
        raise CeremonyFailed("no credential id or user handle")
    return _unbase64(raw), _unbase64(handle)


def asserted(
    party: Party, credential: Mapping[str, Any], *, challenge: bytes, public_key: bytes, count: int
) -> tuple[int, bool]:
    """The authenticator's new signature count and whether the passkey is backed up. Raises CeremonyFailed."""
    import webauthn
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        done = webauthn.verify_authentication_response(
            credential=_json(credential),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=public_key,
            credential_current_sign_count=count,
            require_user_verification=False,
        )
    except WebAuthnException as error:
        raise CeremonyFailed(str(error)) from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise CeremonyFailed(type(error).__name__) from None
    return done.new_sign_count, done.credential_backed_up


def _json(credential: Mapping[str, Any]) -> str:
    text = orjson.dumps(credential)
    if len(text) > CREDENTIAL_MAX:
        raise CeremonyFailed("the credential is too long")
    return text.decode()


def _unbase64(text: str) -> bytes:
    if len(text) > 2048 or not text.isascii():
        raise CeremonyFailed("not base64url")
    try:
        return base64.b64decode(
            text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True
        )
    except ValueError:
        raise CeremonyFailed("not base64url") from None


def encoded(data: bytes) -> str:
    """base64url without padding, as challenges are kept."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: object) -> bytes:
    """Its reverse. Raises CeremonyFailed."""
    return _unbase64(text if isinstance(text, str) else "")
