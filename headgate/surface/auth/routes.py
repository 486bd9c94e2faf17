"""Every endpoint of the auth service: method, path below `/auth/v1` (`{name}` is one segment), handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from headgate.surface.auth import (
    account,
    admin,
    admin_factors,
    admin_links,
    grants,
    identities,
    mfa,
    oauth,
    passkeys,
    public,
    recovery,
    signin,
    signup,
    verify,
)
from headgate.surface.auth.core import Core
from headgate.surface.auth.exchange import Answer, AuthRequest

Handler = Callable[[Core, AuthRequest], Awaitable[Answer]]
Route = tuple[str, str, Handler]

ROUTES: tuple[Route, ...] = (
    ("GET", "/health", public.health),
    ("GET", "/settings", public.settings),
    ("GET", "/.well-known/jwks.json", public.jwks),
    ("POST", "/signup", signup.sign_up),
    ("POST", "/logout", signin.log_out),
    ("POST", "/otp", recovery.otp),
    ("POST", "/magiclink", recovery.otp),
    ("POST", "/recover", recovery.recover),
    ("POST", "/resend", recovery.resend),
    ("GET", "/reauthenticate", recovery.reauthenticate),
    ("POST", "/verify", verify.verify_post),
    ("GET", "/verify", verify.verify_get),
    ("GET", "/user", account.get_user),
    ("PUT", "/user", account.put_user),
    ("POST", "/token", grants.token),
    ("POST", "/sso", grants.sso),
    ("GET", "/authorize", oauth.authorize),
    ("GET", "/callback", oauth.callback),
    ("POST", "/callback", oauth.callback),
    ("GET", "/user/identities/authorize", identities.authorize),
    ("DELETE", "/user/identities/{identity_id}", identities.delete),
    ("POST", "/factors", mfa.enroll),
    ("POST", "/factors/{factor_id}/challenge", mfa.challenge),
    ("POST", "/factors/{factor_id}/verify", mfa.verify),
    ("DELETE", "/factors/{factor_id}", mfa.unenroll),
    ("POST", "/passkeys/registration/options", passkeys.registration_options),
    ("POST", "/passkeys/registration/verify", passkeys.registration_verify),
    ("POST", "/passkeys/authentication/options", passkeys.authentication_options),
    ("POST", "/passkeys/authentication/verify", passkeys.authentication_verify),
    ("GET", "/passkeys", passkeys.listed),
    ("PATCH", "/passkeys/{passkey_id}", passkeys.rename),
    ("DELETE", "/passkeys/{passkey_id}", passkeys.delete),
    ("POST", "/invite", admin_links.invite),
    ("POST", "/admin/generate_link", admin_links.generate_link),
    ("GET", "/admin/users", admin.list_users),
    ("POST", "/admin/users", admin.create_user),
    ("GET", "/admin/users/{user_id}", admin.get_user),
    ("PUT", "/admin/users/{user_id}", admin.update_user),
    ("DELETE", "/admin/users/{user_id}", admin.delete_user),
    ("GET", "/admin/users/{user_id}/factors", admin_factors.list_factors),
    ("PUT", "/admin/users/{user_id}/factors/{factor_id}", admin_factors.update_factor),
    ("DELETE", "/admin/users/{user_id}/factors/{factor_id}", admin_factors.delete_factor),
    ("GET", "/admin/users/{user_id}/passkeys", admin_factors.list_passkeys),
    ("DELETE", "/admin/users/{user_id}/passkeys/{passkey_id}", admin_factors.delete_passkey),
)
