"""Connections of aiohttp that go to checked addresses only, whatever a name resolves to and when.

For everything that asks other machines: the engine's fetches and the surface's calls to identity providers.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from headgate.base import address
from headgate.base.address import Resolver
from headgate.base.errors import UnsafeAddress


class _CheckedResolver(AbstractResolver):
    """Resolves a name once, checks every address, and gives aiohttp the checked ones to connect to."""

    def __init__(self, resolver: Resolver, allow_private: Collection[str]) -> None:
        self._resolver = resolver
        self._allow = allow_private
        self.opened: set[tuple[str, int]] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        allowed = address.is_allowed_private(host, port, self._allow)
        found = address.check_all(host, await self._resolver.resolve(host, port), allowed=allowed)
        if allowed:
            self.opened.update((one, port) for one in found)
        return [
            ResolveResult(
                hostname=host,
                host=one,
                port=port,
                family=socket.AF_INET6 if ":" in one else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for one in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


class CheckedConnector(aiohttp.TCPConnector):
    """Connects to public addresses, and to the `host:port` pairs of `allow_private`. Raises UnsafeAddress."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        allow_private: Collection[str],
        tls: ssl.SSLContext | None = None,
        **options: Any,
    ) -> None:
        self._allow_private = frozenset(allow_private)
        self._checked = _CheckedResolver(resolver, self._allow_private)
        super().__init__(
            resolver=self._checked,
            use_dns_cache=False,
            ssl=tls or True,
            socket_factory=self._checked_socket,
            **options,
        )

    def _checked_socket(self, info: Any) -> socket.socket:
        """The last check, on the very address about to be connected to, names and literals alike."""
        family, kind, protocol, _, place = info
        host, port = str(place[0]), int(place[1])
        ip = address.as_ip(host)
        opened = (host, port) in self._checked.opened
        if ip is None:
            raise UnsafeAddress(f"{host} is no address.")
        allowed = opened or address.is_allowed_private(host, port, self._allow_private)
        address.check_ip(ip, allowed=allowed, host=host)
        return socket.socket(family, kind, protocol)
