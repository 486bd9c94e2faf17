"""Webhooks in: checked against the raw body before anything else, kept once, acknowledged. Applies nothing itself."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from headgate.apps.stores.answers import Refusal
from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.signing import body_is_signed, is_shop
from headgate.base import log
from headgate.db import Database

TAKE = (
    "select stores.take_webhook(%(topic)s, %(shop)s, %(event)s, %(webhook)s, %(version)s, %(triggered)s, %(bytes)s,"
    " %(payload)s::jsonb, %(note)s, %(digest)s)"
)
_TOPIC = re.compile(r"[a-z_]{1,60}/[a-z_]{1,60}")
_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,200}")
_LEAST_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
_log = log.get(__name__)


class Inbox:
    """Takes webhooks for one process."""

    def __init__(self, db: Database, settings: StoresSettings) -> None:
        self._db = db
        given = (settings.client_secret, settings.old_client_secret)
        self._secrets = [text for one in given if (text := one.get_secret_value())]

    async def take(self, headers: Mapping[str, str], body: bytes) -> str:
        """Keep a delivery: `taken`, `duplicate` or `unreadable`. Raises Refusal 401 unless Shopify signed this body."""
        if not self._secrets or not body_is_signed(
            body, headers.get("x-shopify-hmac-sha256", ""), self._secrets
        ):
            raise Refusal(401, "UNAUTHORIZED", "This body was not signed by Shopify for this app.")
        topic = headers.get("x-shopify-topic", "")
        shop = headers.get("x-shopify-shop-domain", "").lower()
        if not _TOPIC.fullmatch(topic) or not is_shop(shop):
            raise Refusal(
                400, "VALIDATION_ERROR", "X-Shopify-Topic or X-Shopify-Shop-Domain is missing or malformed."
            )
        payload, note = readable(body)
        unnamed = hashlib.sha256(body + headers.get("x-shopify-triggered-at", "").encode()).hexdigest()
        webhook = _name(headers.get("x-shopify-webhook-id"), f"{shop}:{topic}:{unnamed}")
        params = {
            "topic": topic,
            "shop": shop,
            "event": _name(headers.get("x-shopify-event-id"), webhook),
            "webhook": webhook,
            "version": headers.get("x-shopify-api-version"),
            "triggered": moment(headers.get("x-shopify-triggered-at")),
            "bytes": len(body),
            "payload": payload,
            "note": note,
            "digest": hashlib.sha256(body).digest(),
        }
        found: str = await self._db.fetch_value(TAKE, params)
        if found == "replayed":
            _log.warning("webhook replayed", shop=shop, topic=topic)
            raise Refusal(401, "UNAUTHORIZED", "This body was here before, under another name.")
        return found


def _name(given: str | None, instead: str) -> str:
    return given if given and _ID.fullmatch(given) else instead


def moment(text: str | None) -> datetime | None:
    """A time of Shopify's; None when there is none that makes sense."""
    try:
        found = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found if found >= _LEAST_MOMENT else None


def readable(body: bytes) -> tuple[str | None, str | None]:
    """The body as JSON text that PostgreSQL takes, and a remark. A signed body is never refused for what it says:

    Shopify would send it again for hours and then remove the subscription.
    """
    try:
        if orjson.loads(body).__class__ is not dict:
            return None, "the body is not a JSON object"
        if b"\\u0000" not in body:
            return body.decode(), None
    except (orjson.JSONDecodeError, UnicodeDecodeError):
        pass
    try:
        value = json.loads(body.decode("utf-8", "replace"), parse_float=str)
    except (ValueError, RecursionError):
        return None, "the body is not JSON"
    if not isinstance(value, dict):
        return None, "the body is not a JSON object"
    return json.dumps(_storable(value)), "characters that PostgreSQL cannot keep were replaced"


def _storable(value: Any) -> Any:
    """Without NUL and lone surrogates, which jsonb refuses."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_storable(name): _storable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_storable(inner) for inner in value]
    return value
