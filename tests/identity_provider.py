"""An OpenID Connect provider and a GitHub-like OAuth provider on loopback, with failures on order.

It checks what an honest provider checks: client, redirect address, PKCE, single use of codes. Faults are named in
`Fault`; `provider.fault = Fault.WRONG_NONCE` makes every later token wrong in that one way.
"""

from __future__ import annotations

import asyncio
import base64
import enum
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CLIENT = "headgate-client"
SECRET = "s3cret with spaces & signs"


class Fault(enum.Enum):
    """What goes wrong, on order."""

    WRONG_NONCE = "nonce"
    NO_NONCE = "no nonce"
    WRONG_AUDIENCE = "aud"
    EXTRA_AUDIENCE = "aud list with a foreign azp"
    WRONG_ISSUER = "iss"
    EXPIRED = "exp"
    NOT_YET = "iat in the future"
    NO_SUBJECT = "no sub"
    ALG_NONE = "alg none"
    KEY_CONFUSION = "HS256 with the public key"
    CLIENT_SECRET_HS = "HS256 with the client secret"
    FOREIGN_KEY = "signed by somebody else"
    UNKNOWN_KID = "kid nobody has"
    DENIED = "error=access_denied"
    TOKEN_DOWN = "token endpoint answers 503"
    TOKEN_GARBAGE = "token endpoint answers no JSON"
    TOKEN_HUGE = "token endpoint never stops"
    TOKEN_REDIRECT = "token endpoint redirects"
    TOKEN_REFUSED = "token endpoint answers invalid_grant"
    NO_ID_TOKEN = "no id_token"
    DISCOVERY_OTHER_ISSUER = "discovery names another issuer"
    DISCOVERY_DOWN = "discovery answers 500"
    JWKS_DOWN = "JWKS answers 500"
    ISS_MIX_UP = "callback with the iss of another provider"


@dataclass
class Person:
    """Who signs in at the provider; `email=None` gives none."""

    sub: str = "sub-1"
    email: str | None = "a@example.com"
    email_verified: bool = True
    name: str = "A"
    claims: dict[str, Any] = field(default_factory=dict)


_ANY_PAGE = {"access-control-allow-origin": "*"}  # of what only tests ask for


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class SigningKey:
    """One key of the provider, RS256 or ES256."""

    def __init__(self, alg: str = "RS256", kid: str | None = None) -> None:
        self.alg, self.kid = alg, kid or secrets.token_hex(4)
        self.private: Any = (
            rsa.generate_private_key(65537, 2048)
            if alg == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )

    def jwk(self) -> dict[str, Any]:
        """The public half."""
        numbers = self.private.public_key().public_numbers()
        common = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        if self.alg == "RS256":
            size = (numbers.n.bit_length() + 7) // 8
            return {
                **common,
                "kty": "RSA",
                "n": b64(numbers.n.to_bytes(size)),
                "e": b64(numbers.e.to_bytes(3)),
            }
        x, y = b64(numbers.x.to_bytes(32)), b64(numbers.y.to_bytes(32))
        return {**common, "kty": "EC", "crv": "P-256", "x": x, "y": y}

    def pem(self) -> bytes:
        """The public half as PEM, the classic secret of a key confusion."""
        public = self.private.public_key()
        return public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A JWT; `header` replaces fields of the header."""
        head = {"alg": self.alg, "kid": self.kid, "typ": "JWT", **header}
        text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        if self.alg == "RS256":
            signature = self.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            r, s = decode_dss_signature(self.private.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32) + s.to_bytes(32)
        return f"{text}.{b64(signature)}"


def unsigned(claims: dict[str, Any]) -> str:
    """A JWT with `alg: none`."""
    return f"{b64(json.dumps({'alg': 'none', 'typ': 'JWT'}).encode())}.{b64(json.dumps(claims).encode())}."


def hs256(claims: dict[str, Any], secret: bytes, **header: Any) -> str:
    """A JWT signed with a shared secret."""
    head = {"alg": "HS256", "typ": "JWT", **header}
    text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


class IdentityProvider:
    """The provider; an async context manager. `url` is the issuer."""

    def __init__(self, *, alg: str = "RS256") -> None:
        self.key = SigningKey(alg)
        self.person = Person()
        self.fault: Fault | None = None
        self.codes: dict[str, dict[str, Any]] = {}
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/jwks", self._jwks)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/userinfo", self._userinfo)
        app.router.add_get("/login/oauth/authorize", self._authorize)
        app.router.add_post("/login/oauth/access_token", self._token)
        app.router.add_get("/user", self._github_user)
        app.router.add_get("/user/emails", self._github_emails)
        app.router.add_post("/captcha", self._captcha)
        app.router.add_post("/test/person", self._change_person)
        app.router.add_get("/test/id_token", self._issue)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def place(self) -> str:
        """`host:port`, as the setting that opens private hosts wants it."""
        return self.url.removeprefix("http://")

    def claims(self, *, nonce: str | None = None, audience: str = CLIENT) -> dict[str, Any]:
        """What an ID token says now, before any fault."""
        now = int(time.time())
        person = self.person
        found: dict[str, Any] = {
            "iss": self.url, "aud": audience, "sub": person.sub, "iat": now, "exp": now + 300, "name": person.name,
            **person.claims,
        }  # fmt: skip
        if person.email is not None:
            found |= {"email": person.email, "email_verified": person.email_verified}
        if nonce is not None:
            found["nonce"] = nonce
        return found

    def id_token(self, claims: dict[str, Any]) -> str:
        """The ID token of `claims`, wrong in the ordered way."""
        now = int(time.time())
        wrong: dict[Fault, dict[str, Any]] = {
            Fault.WRONG_NONCE: {"nonce": "another"}, Fault.WRONG_AUDIENCE: {"aud": "somebody-else"},
            Fault.EXTRA_AUDIENCE: {"aud": [CLIENT, "somebody-else"], "azp": "somebody-else"},
            Fault.WRONG_ISSUER: {"iss": "https://elsewhere.example"},
            Fault.EXPIRED: {"exp": now - 3600, "iat": now - 7200},
            Fault.NOT_YET: {"iat": now + 3600, "nbf": now + 3600, "exp": now + 7200},
        }  # fmt: skip
        claims = {**claims, **(wrong.get(self.fault, {}) if self.fault else {})}
        if self.fault is Fault.NO_NONCE:
            claims.pop("nonce", None)
        if self.fault is Fault.NO_SUBJECT:
            claims.pop("sub", None)
        if self.fault is Fault.ALG_NONE:
            return unsigned(claims)
        if self.fault is Fault.KEY_CONFUSION:
            return hs256(claims, self.key.pem(), kid=self.key.kid)
        if self.fault is Fault.CLIENT_SECRET_HS:
            return hs256(claims, SECRET.encode(), kid=self.key.kid)
        if self.fault is Fault.FOREIGN_KEY:
            return SigningKey(self.key.alg, self.key.kid).sign(claims)
        if self.fault is Fault.UNKNOWN_KID:
            return self.key.sign(claims, kid="nobody")
        return self.key.sign(claims)

    async def _discovery(self, _: web.Request) -> web.Response:
        if self.fault is Fault.DISCOVERY_DOWN:
            return web.Response(status=500, text="down")
        issuer = "https://elsewhere.example" if self.fault is Fault.DISCOVERY_OTHER_ISSUER else self.url
        return web.json_response(
            {
                "issuer": issuer, "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token", "userinfo_endpoint": f"{self.url}/userinfo",
                "jwks_uri": f"{self.url}/jwks", "response_types_supported": ["code"],
                "id_token_signing_alg_values_supported": [self.key.alg], "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )  # fmt: skip

    async def _jwks(self, _: web.Request) -> web.Response:
        if self.fault is Fault.JWKS_DOWN:
            return web.Response(status=500, text="down")
        return web.json_response({"keys": [self.key.jwk()]})

    async def _authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.seen.append(("authorize", query))
        back = query["redirect_uri"]
        answer = {"state": query.get("state", ""), "iss": self.url}
        if self.fault is Fault.ISS_MIX_UP:
            answer["iss"] = "https://elsewhere.example"
        if self.fault is Fault.DENIED:
            answer |= {"error": "access_denied", "error_description": "The person said no"}
        else:
            assert query["client_id"] == CLIENT and query["response_type"] == "code"
            code = secrets.token_urlsafe(16)
            self.codes[code] = query
            answer["code"] = code
        return web.Response(status=302, headers={"location": f"{back}?{urlencode(answer)}"})

    def _client_is_right(self, request: web.Request, form: dict[str, str]) -> bool:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            name, _, word = base64.b64decode(value).decode().partition(":")
            told = dict(parse_qsl(f"u={name}&p={word}"))
            return told == {"u": CLIENT, "p": SECRET}
        return form.get("client_id") == CLIENT and form.get("client_secret") == SECRET

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {k: str(v) for k, v in (await request.post()).items()}
        self.seen.append(("token", form))
        if self.fault is Fault.TOKEN_DOWN:
            return web.Response(status=503, text="down")
        if self.fault is Fault.TOKEN_GARBAGE:
            return web.Response(text="\x00<html>", content_type="text/html")
        if self.fault is Fault.TOKEN_REDIRECT:
            return web.Response(status=307, headers={"location": "http://169.254.169.254/"})
        if self.fault is Fault.TOKEN_REFUSED:
            return web.json_response(
                {"error": "invalid_grant", "error_description": "no such code"}, status=400
            )
        if self.fault is Fault.TOKEN_HUGE:
            return await _endless(request)
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or not self._client_is_right(request, form):
            return web.json_response({"error": "invalid_grant"}, status=400)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if asked["redirect_uri"] != form.get("redirect_uri") or asked.get("code_challenge") != b64(digest):
            return web.json_response({"error": "invalid_grant"}, status=400)
        answer = {
            "access_token": "provider-access",
            "token_type": "bearer",
            "refresh_token": "provider-refresh",
        }
        if request.path == "/token" and self.fault is not Fault.NO_ID_TOKEN:
            answer["id_token"] = self.id_token(self.claims(nonce=asked.get("nonce")))
        return web.json_response(answer)

    async def _userinfo(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Bearer provider-access":
            return web.Response(status=401)
        return web.json_response(self.claims())

    async def _github_user(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Bearer provider-access":
            return web.Response(status=401)
        number = int(self.person.sub) if self.person.sub.isdigit() else 7
        return web.json_response(
            {
                "id": number,
                "login": "a",
                "name": self.person.name,
                "avatar_url": f"{self.url}/a.png",
                "email": None,
            }
        )

    async def _github_emails(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Bearer provider-access":
            return web.Response(status=401)
        listed: list[dict[str, Any]] = [{"email": "other@example.com", "primary": False, "verified": True}]
        if self.person.email is not None:
            mine = {"email": self.person.email, "primary": True, "verified": self.person.email_verified}
            listed.append(mine)
        return web.json_response(listed)

    async def _change_person(self, request: web.Request) -> web.Response:
        self.person = Person(**json.loads(await request.text()))
        return web.Response(headers=_ANY_PAGE)

    async def _issue(self, request: web.Request) -> web.Response:
        token = self.id_token(self.claims(nonce=request.query.get("nonce") or None))
        return web.Response(text=token, headers=_ANY_PAGE)

    async def _captcha(self, request: web.Request) -> web.StreamResponse:
        form = {k: str(v) for k, v in (await request.post()).items()}
        self.seen.append(("captcha", form))
        if self.fault is Fault.TOKEN_DOWN:
            return web.Response(status=503, text="down")
        good = form.get("secret") == "captcha-secret" and form.get("response") == "good"
        return web.json_response({"success": good, "error-codes": [] if good else ["invalid-input-response"]})


async def _endless(request: web.Request) -> web.StreamResponse:
    """A body without an end, until the reader goes away."""
    response = web.StreamResponse(headers={"content-type": "application/json"})
    await response.prepare(request)
    try:
        for _ in range(4096):
            await response.write(b" " * 65536)
            await asyncio.sleep(0)
    except (ConnectionError, asyncio.CancelledError):
        pass
    return response


def query_of(url: str) -> dict[str, str]:
    """The query of a URL as a dict."""
    return dict(parse_qsl(urlsplit(url).query))


def fragment_of(url: str) -> dict[str, str]:
    """The fragment of a URL as a dict."""
    return dict(parse_qsl(urlsplit(url).fragment))
