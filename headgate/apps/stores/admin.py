"""What connecting needs from a shop's Admin API: who it is, its subscriptions, leaving. Syncs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.apps.stores.settings import StoresSettings
from headgate.apps.stores.tokens import ShopRefused, Tokens
from headgate.apps.stores.wire import Wire

SHOP = """query HeadgateShop {
  shop { id name myshopifyDomain ianaTimezone currencyCode }
  currentAppInstallation { accessScopes { handle } }
}"""
SUBSCRIPTIONS = """query HeadgateSubscriptions($after: String) {
  webhookSubscriptions(first: 100, after: $after) {
    nodes { id topic uri }
    pageInfo { hasNextPage endCursor }
  }
}"""
SUBSCRIBE = """mutation HeadgateSubscribe($topic: WebhookSubscriptionTopic!, $uri: String!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: {uri: $uri, format: JSON}) {
    webhookSubscription { id }
    userErrors { field message }
  }
}"""
UNSUBSCRIBE = """mutation HeadgateUnsubscribe($id: ID!) {
  webhookSubscriptionDelete(id: $id) { deletedWebhookSubscriptionId userErrors { field message } }
}"""
UNINSTALL = """mutation HeadgateUninstall { appUninstall { userErrors { message } } }"""


class Admin:
    """Calls to shops' Admin APIs with a token at hand or the stored one."""

    def __init__(self, settings: StoresSettings, wire: Wire) -> None:
        self._settings = settings
        self._wire = wire

    async def call(
        self, shop: str, token: str, query: str, variables: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """`data` of one query. Raises ShopRefused with the first reason, its `details` with the status."""
        url = f"{self._settings.shop_url(shop)}/admin/api/{self._settings.api_version}/graphql.json"
        body = {"query": query, "variables": dict(variables or {})}
        answer = await self._wire.post_json(url, body, {"x-shopify-access-token": token})
        value = answer.json()
        problems = value.get("errors") if isinstance(value, dict) else None
        data = value.get("data") if isinstance(value, dict) else None
        if answer.status != 200 or problems or not isinstance(data, dict):
            raise ShopRefused(
                f"{shop} refused a request of its Admin API: {_reason(problems) or f'status {answer.status}'}.",
                details={"status": answer.status},
                hint="It is tried again where that makes sense.",
            )
        for field in data.values():
            wrong = field.get("userErrors") if isinstance(field, dict) else None
            if wrong:
                raise ShopRefused(f"{shop} refused: {_reason(wrong)}.", details={"status": 200})
        return data

    async def with_token(
        self,
        tokens: Tokens,
        connection: Mapping[str, Any],
        query: str,
        variables: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """`call` with the connection's own token, renewed once if the shop does not take it."""
        shop, number = connection["shop_domain"], connection["id"]
        token = await tokens.access_token(number)
        try:
            return await self.call(shop, token, query, variables)
        except ShopRefused as error:
            if not (error.details and error.details.get("status") == 401):
                raise
        return await self.call(shop, await tokens.refresh(number, used=token), query, variables)


def _reason(problems: Any) -> str:
    """The first message; authentication failures come as a plain string."""
    if isinstance(problems, str):
        return problems[:200]
    if isinstance(problems, list) and problems and isinstance(problems[0], dict):
        return str(problems[0].get("message", ""))[:200]
    return ""
