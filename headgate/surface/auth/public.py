"""What anybody may ask: is the service up, what does it allow, which keys sign its tokens."""

from __future__ import annotations

from headgate import __version__
from headgate.surface.auth.core import Core
from headgate.surface.auth.exchange import Answer, AuthRequest

JWKS_AGE_S = 60  # a standby key is published long before it signs, so clients may keep the set for a while


async def health(core: Core, request: AuthRequest) -> Answer:
    """Name and version, once the database has answered."""
    await core.db.fetch_value("select 1")
    about = "Headgate's auth service speaks GoTrue's interface"
    return Answer(body={"version": f"headgate {__version__}", "name": "GoTrue", "description": about})


async def settings(core: Core, request: AuthRequest) -> Answer:
    """What a sign-in form needs to know."""
    chosen = core.settings
    external: dict[str, bool] = {
        **dict.fromkeys(core.providers.providers, True),
        "anonymous_users": chosen.auth_anonymous_users,
        "email": chosen.auth_email_enabled,
        "phone": bool(chosen.auth_sms_hook_url),
    }
    return Answer(
        body={
            "external": external,
            "disable_signup": not chosen.auth_signups,
            "mailer_autoconfirm": chosen.auth_autoconfirm,
            "phone_autoconfirm": False,
            "sms_provider": "hook" if chosen.auth_sms_hook_url else "",
            "saml_enabled": False,
        }
    )


async def jwks(core: Core, request: AuthRequest) -> Answer:
    """The public keys, current and previous; a shared secret is not among them."""
    return Answer(body=core.keys.jwks(), headers={"Cache-Control": f"public, max-age={JWKS_AGE_S}"})
