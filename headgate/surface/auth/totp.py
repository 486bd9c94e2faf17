"""Time-based one-time codes (RFC 6238: SHA-1, six digits, 30 seconds) and the QR code that enrols them. The door to
pyotp and segno, which are loaded at first use.
"""

from __future__ import annotations

import hmac
import io
import re
import time

PERIOD_S = 30
SKEW_STEPS = 1  # codes of the step before and after are taken as well: clocks differ, people type
_CODE = re.compile(r"[0-9]{6}")


def new_secret() -> str:
    """160 random bits in base32, as authenticator applications take them."""
    import pyotp

    return pyotp.random_base32(32)


def uri(secret: str, *, account: str, issuer: str) -> str:
    """The `otpauth://` address that authenticator applications read."""
    import pyotp

    return pyotp.TOTP(secret).provisioning_uri(name=account or "user", issuer_name=issuer)


def qr_svg(text: str) -> str:
    """`text` as a QR code: an SVG document on a white ground, dark on every page, without a prolog."""
    import segno

    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", scale=5, border=4, dark="#000", light="#fff", xmldecl=False, svgns=True
    )
    return out.getvalue().decode().strip()


def step_of(secret: str, code: str, *, now: float | None = None) -> int | None:
    """The time step for which `code` is right, None if it is for none near `now` (Unix seconds)."""
    import pyotp

    if not _CODE.fullmatch(code):
        return None
    clock = pyotp.TOTP(secret)
    current = int((time.time() if now is None else now) // PERIOD_S)
    found = None
    for step in range(current - SKEW_STEPS, current + SKEW_STEPS + 1):
        if hmac.compare_digest(clock.generate_otp(step), code):  # no early exit: equal time for every code
            found = step
    return found
