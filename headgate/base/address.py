"""Which URLs and which network addresses may be fetched at all (the guard against server-side request forgery).

A URL is checked as text, then every address behind its name is checked, and the connection goes to a checked
address only: nothing is resolved a second time. Never connects anywhere itself.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from yarl import URL

from headgate.base.errors import UnsafeAddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL = 8192

# Services that speak something other than HTTP and could be talked to by accident above port 1024.
_FOREIGN_PORTS = frozenset(
    {1433, 1521, 1719, 1720, 1723, 2049, 3306, 3389, 3659, 4045, 5060, 5061, 5432, 5672, 5900, 6000}
    | {6379, 6432, 6566, 6665, 6666, 6667, 6668, 6669, 6697, 9042, 10080, 11211, 27017}
)
_PRIVATE_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "localdomain")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_ENDS_IN_NUMBER = re.compile(r"(?:^|\.)(?:\d+|0x[0-9a-f]*)$", re.IGNORECASE)

# https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-special-registry, plus the addresses
# at which clouds serve credentials. (network, word for the message, may `allow_private` open it)
_V4 = [
    (ipaddress.IPv4Network(network), word, allowable)
    for network, word, allowable in (
        ("169.254.0.0/16", "link-local", False),
        ("0.0.0.0/8", "this network", False),
        ("10.0.0.0/8", "private", True),
        ("100.64.0.0/10", "shared carrier", True),
        ("127.0.0.0/8", "loopback", True),
        ("172.16.0.0/12", "private", True),
        ("192.0.0.0/24", "protocol assignment", False),
        ("192.0.2.0/24", "documentation", False),
        ("192.31.196.0/24", "AS112", False),
        ("192.52.193.0/24", "AMT", False),
        ("192.88.99.0/24", "6to4 relay", False),
        ("192.168.0.0/16", "private", True),
        ("192.175.48.0/24", "AS112", False),
        ("198.18.0.0/15", "benchmarking", False),
        ("198.51.100.0/24", "documentation", False),
        ("203.0.113.0/24", "documentation", False),
        ("224.0.0.0/4", "multicast", False),
        ("240.0.0.0/4", "reserved", False),
        ("168.63.129.16/32", "cloud metadata", False),
    )
]
# Global unicast is 2000::/3; inside it these are not. Everything outside it is refused.
_V6_GLOBAL = ipaddress.IPv6Network("2000::/3")
_V6 = [
    (ipaddress.IPv6Network(network), word)
    for network, word in (
        ("2001::/23", "protocol assignment or Teredo"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
    )
]
_V6_ALLOWABLE = (ipaddress.IPv6Network("::1/128"), ipaddress.IPv6Network("fc00::/7"))
_V6_NEVER = ipaddress.IPv6Network("fd00:ec2::/32")


@dataclass(frozen=True)
class Target:
    """A URL that has passed the check of its text. `host` is lower case and ASCII; `port` is always set."""

    url: URL
    scheme: str
    host: str
    port: int

    @property
    def key(self) -> str:
        """The name of the host in `control.hosts`: `host`, or `host:port` unless the port is the default."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == DEFAULT_PORTS[self.scheme] else f"{name}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: what RFC 6454 calls an origin."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{name}:{self.port}"


class Resolver(Protocol):
    """Turns a name into addresses. Replaced in tests."""

    async def resolve(self, host: str, port: int) -> list[str]:
        """Every address of `host`, as text. Raises OSError when there is none."""
        ...


class SystemResolver:
    """The operating system's resolver, on threads of its own.

    Questions for the same name that overlap are asked once, so that a name server that does not answer for one
    host holds up one thread, and no other host.
    """

    def __init__(self, threads: int = 32) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="headgate-dns")
        self._asking: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def resolve(self, host: str, port: int) -> list[str]:
        """Every address of `host` by getaddrinfo, IPv4 and IPv6, without repeats."""
        key = (host, port)
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.get_running_loop().run_in_executor(self._threads, _addresses, host, port)
            self._asking[key] = asking
            asking.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(asking)

    def _forget(self, key: tuple[str, int], done: asyncio.Future[list[str]]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever still waits gets it; nobody waiting is no fault

    def close(self) -> None:
        """Let the threads go; questions still open are forgotten."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_allowed_private(host: str, port: int, allow_private: Collection[str]) -> bool:
    """Whether the operator listed exactly this `host:port` as one that may be private."""
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port}" in allow_private


def parse(url: str | URL, allow_private: Collection[str] = ()) -> Target:
    """Check the text of `url` and take it apart. Raises UnsafeAddress; sends and resolves nothing."""
    text = str(url)
    if len(text) > MAX_URL:
        raise UnsafeAddress(f"The URL is longer than {MAX_URL} characters.")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text) or "\\" in text:
        raise UnsafeAddress("The URL contains a control character or a backslash.")
    try:
        parsed = URL(text)
        scheme, host, port = parsed.scheme.lower(), (parsed.raw_host or "").lower(), parsed.port
        secret = parsed.raw_user is not None or parsed.raw_password is not None
    except ValueError:
        raise UnsafeAddress("The URL is malformed.") from None
    if scheme not in DEFAULT_PORTS:
        raise UnsafeAddress(f"Only http and https are fetched, not {scheme or 'a URL without a scheme'}.")
    if secret:
        raise UnsafeAddress(
            "The URL contains a user name or password.", hint="Send credentials in a header instead."
        )
    if port is None:
        raise UnsafeAddress("The URL has no valid port.")
    host = host.removesuffix(".")
    literal = _check_host(host)
    target = Target(parsed.with_host(host).with_fragment(None), scheme, host, port)
    _check_target(target, literal, is_allowed_private(host, port, allow_private))
    return target


def _check_host(host: str) -> IPAddress | None:
    literal = None if "%" in host else as_ip(host)
    if literal is None:
        if _ENDS_IN_NUMBER.search(host):
            raise UnsafeAddress(f"The host {host} is a number written in a misleading form.")
        if len(host) > 253 or not _NAME.fullmatch(host):
            raise UnsafeAddress("The URL has no valid host.")
    return literal


def _check_target(target: Target, literal: IPAddress | None, allowed: bool) -> None:
    host, port = target.host, target.port
    if literal is not None:
        check_ip(literal, allowed=allowed, host=host)
    elif not allowed and any(host == name or host.endswith(f".{name}") for name in _PRIVATE_NAMES):
        raise UnsafeAddress(f"The host {host} is a private name.", hint=_hint(host, port))
    if not allowed and port not in {80, 443} and (port < 1024 or port in _FOREIGN_PORTS):
        raise UnsafeAddress(f"Port {port} is not a port for web servers.", hint=_hint(host, port))


def _hint(host: str, port: int) -> str:
    return f"If it is yours, list {host}:{port} in HEADGATE_ALLOW_PRIVATE_HOSTS."


def as_ip(host: str) -> IPAddress | None:
    """`host` as an address if it is one in canonical dotted or colon form, else None."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def unsafe_reason(ip: IPAddress) -> tuple[str, bool] | None:
    """Why `ip` must not be fetched, and whether the operator may allow it all the same; None if it is public."""
    if isinstance(ip, ipaddress.IPv4Address):
        return next(((word, may) for network, word, may in _V4 if ip in network), None)
    if ip.scope_id is not None:
        return "scoped", False
    if ip in _V6_GLOBAL:
        return next(((word, False) for network, word in _V6 if ip in network), None)
    if ip.ipv4_mapped is not None:
        return "IPv4-mapped", False
    may = ip not in _V6_NEVER and any(ip in network for network in _V6_ALLOWABLE)
    return ("loopback or private" if may else "not global unicast"), may


def check_ip(ip: IPAddress, *, allowed: bool, host: str) -> None:
    """Raise UnsafeAddress unless `ip` is public, or private and `allowed`."""
    reason = unsafe_reason(ip)
    if reason is None or (allowed and reason[1]):
        return
    raise UnsafeAddress(
        f"The host {host} has the address {ip}, which is {reason[0]}.",
        details={"host": host, "address": str(ip), "reason": reason[0]},
        hint="List its host:port in HEADGATE_ALLOW_PRIVATE_HOSTS if it is yours." if reason[1] else None,
    )


def check_all(host: str, addresses: Iterable[str], *, allowed: bool) -> list[str]:
    """The addresses if every one of them may be fetched; one bad address refuses them all.

    Raises UnsafeAddress, and OSError when there is no address.
    """
    checked: list[str] = []
    for address in addresses:
        ip = as_ip(address)
        if ip is None:
            raise UnsafeAddress(f"The host {host} resolved to something that is no address.")
        check_ip(ip, allowed=allowed, host=host)
        checked.append(str(ip))
    if not checked:
        raise OSError(f"{host} has no address")
    return checked
