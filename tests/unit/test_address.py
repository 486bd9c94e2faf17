"""The guard against server-side request forgery: what is refused by text, and which addresses are public."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.base import address
from headgate.engine.fetch_errors import UnsafeAddress

REFUSED = r"""
http://2130706433/ http://0x7f.1/ http://0x7f000001/ http://127.1/ http://0177.0.0.1/ http://0/ http://017700000001
http://127.0.0.1/ http://127.0.0.1:8000/ http://127.255.255.254/ http://[::1]/ http://[::]/ http://0.0.0.0/
http://10.0.0.1/ http://172.16.0.1/ http://172.31.255.255/ http://192.168.1.1/ http://100.64.0.1/
http://100.127.255.255/ http://169.254.169.254/latest/meta-data/ http://168.63.129.16/ http://192.0.0.192/
http://224.0.0.1/ http://255.255.255.255/ http://198.18.0.1/ http://192.0.2.1/ http://198.51.100.7/
http://203.0.113.9/ http://240.0.0.1/ http://192.88.99.1/
http://[::ffff:127.0.0.1]/ http://[::ffff:a9fe:a9fe]/ http://[::ffff:8.8.8.8]/ http://[::127.0.0.1]/
http://[::ffff:0:7f00:1]/ http://[64:ff9b::7f00:1]/ http://[64:ff9b:1::1]/ http://[2002:7f00:1::]/
http://[2001::1]/ http://[2001:db8::1]/ http://[fc00::1]/ http://[fd00:ec2::254]/ http://[fe80::1]/
http://[fe80::1%25eth0]/ http://[fec0::1]/ http://[ff02::1]/ http://[3fff::1]/ http://[100::1]/
http://[5f00::1]/ http://[2001:20::1]/
http://localhost/ http://LOCALHOST./ http://a.localhost/ http://metadata.google.internal/ http://printer.local/
http://router.lan/ http://nas.home.arpa/ http://１２７.0.0.1/ http://ⓛocalhost/ http://127。0。0。1/
http://user@example.com/ http://user:secret@example.com/ http://:secret@example.com/ http://example.com@127.0.0.1/
ftp://example.com/ file:///etc/passwd gopher://example.com/ //example.com/ example.com data:,x javascript:1 http:///x
http://example.com:22/ http://example.com:25/ http://example.com:6379/ http://example.com:0/
http://example.com:99999/ http://example.com:-1/ http://a..b/ http://ex%61mple.com/ http://example.com%2f.evil/
http://[1.2.3.4]/ http://[::1/ http://exa\mple.com/
"""
SPACED = ["http://a\tb/", "http://b\r\nX:y/", "http://a b/", " http://example.com/\x00", ""]


@pytest.mark.parametrize("url", [*re.findall(r"\S+", REFUSED), *SPACED])
def test_address_refuses_what_is_not_plainly_public(url: str) -> None:
    with pytest.raises(UnsafeAddress) as caught:
        address.parse(url)
    assert caught.value.code == "HG415"
    assert caught.value.retryable is False
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "key", "origin"),
    [
        ("http://Example.COM", "example.com", "http://example.com:80"),
        ("https://example.com:443/a?b=c#d", "example.com", "https://example.com:443"),
        ("http://example.com:443/", "example.com:443", "http://example.com:443"),
        ("https://example.com.:8443/", "example.com:8443", "https://example.com:8443"),
        ("http://bücher.example/ä", "xn--bcher-kva.example", "http://xn--bcher-kva.example:80"),
        ("http://93.184.215.14/", "93.184.215.14", "http://93.184.215.14:80"),
        ("http://[2606:2800:21f::1]:8080/", "[2606:2800:21f::1]:8080", "http://[2606:2800:21f::1]:8080"),
        ("http://1e100.net/", "1e100.net", "http://1e100.net:80"),
        ("http://a_b.example/", "a_b.example", "http://a_b.example:80"),
    ],
)
def test_address_names_one_host_one_way(url: str, key: str, origin: str) -> None:
    target = address.parse(url)
    assert (target.key, target.origin) == (key, origin)
    assert target.url.fragment == ""


def test_address_allows_exactly_the_listed_private_host_and_port() -> None:
    allow = {"127.0.0.1:8790", "[::1]:81", "localhost:8080"}
    assert address.parse("http://127.0.0.1:8790/x", allow).key == "127.0.0.1:8790"
    assert address.parse("http://[::1]:81/", allow).port == 81
    assert address.parse("http://localhost:8080/", allow).host == "localhost"
    for url in (
        "http://127.0.0.1:8791/",
        "http://127.0.0.2:8790/",
        "http://localhost/",
        "http://127.1:8790/",
    ):
        with pytest.raises(UnsafeAddress):
            address.parse(url, allow)


@pytest.mark.parametrize(
    "literal", ["169.254.169.254", "[fe80::1]", "224.0.0.1", "0.0.0.0", "[::ffff:10.0.0.1]"]
)
def test_address_that_no_listing_opens(literal: str) -> None:
    with pytest.raises(UnsafeAddress):
        address.parse(f"http://{literal}:80/", {f"{literal}:80"})


def test_address_one_bad_address_refuses_them_all() -> None:
    assert address.check_all("h", ["93.184.215.14", "2606:2800:21f::1"], allowed=False) == [
        "93.184.215.14",
        "2606:2800:21f::1",
    ]
    for bad in ("10.0.0.1", "::1", "fe80::1%eth0", "nonsense"):
        with pytest.raises(UnsafeAddress):
            address.check_all("h", ["93.184.215.14", bad], allowed=False)
    with pytest.raises(OSError, match="no address"):
        address.check_all("h", [], allowed=False)


@given(st.ip_addresses(v=4))
def test_address_v4_public_is_never_what_python_calls_private(ip: ipaddress.IPv4Address) -> None:
    if address.unsafe_reason(ip) is None:
        assert ip.is_global and not ip.is_multicast and not ip.is_reserved


@given(st.ip_addresses(v=6) | st.ip_addresses(network="2000::/3") | st.ip_addresses(network="::/80"))
def test_address_v6_public_is_never_what_python_calls_private(ip: ipaddress.IPv6Address) -> None:
    if address.unsafe_reason(ip) is None:
        assert ip.is_global and not ip.is_multicast
        assert ip.ipv4_mapped is None and ip.sixtofour is None and ip.teredo is None


@given(st.text(max_size=60))
def test_address_any_text_is_parsed_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"https://example.com/{text}"):
        try:
            target = address.parse(url)
        except UnsafeAddress:
            continue
        assert target.scheme in {"http", "https"}
        assert target.host == target.host.lower() and target.host.isascii()


async def test_address_overlapping_questions_for_one_name_are_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name server that hangs for one host takes one thread; another name is answered meanwhile."""
    asked: list[str] = []
    release = threading.Event()

    def lookup(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if host == "hangs.example":
            release.wait(10)
            raise OSError("no answer")
        return [(2, 1, 6, "", ("93.184.215.14", port))] * 2

    monkeypatch.setattr(address.socket, "getaddrinfo", lookup)
    resolver = address.SystemResolver(threads=2)
    hanging = [asyncio.create_task(resolver.resolve("hangs.example", 80)) for _ in range(20)]
    await asyncio.sleep(0)
    assert await resolver.resolve("quick.example", 80) == ["93.184.215.14"]
    hanging[0].cancel()
    release.set()
    results = await asyncio.gather(*hanging, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError) and all(
        isinstance(one, OSError) for one in results[1:]
    )
    assert sorted(asked) == ["hangs.example", "quick.example"]
    resolver.close()
