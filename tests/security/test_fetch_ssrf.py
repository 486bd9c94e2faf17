"""Server-side request forgery: no packet leaves for an address that must not be fetched, whatever leads there."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from headgate.base.address import SystemResolver
from headgate.base.guarded import CheckedConnector
from headgate.db import Database
from headgate.engine import limits
from headgate.engine.fetch import AioTransport, BadRedirect, Caps, Fetcher, FetchError, UnsafeAddress
from headgate.engine.record import RecordedTransport, Recording
from tests.upstream import Asked, answering, reply, upstream

PUBLIC = "93.184.215.14"
PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.20.0.1",
    "192.168.0.1",
    "100.64.1.1",
    "169.254.169.254",
    "0.0.0.0",
    "224.0.0.1",
]
PRIVATE += [
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
]
PRIVATE += [
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2002:a00:1::",
    "2001:0:a00:1::",
    "::127.0.0.1",
    "168.63.129.16",
]
DROP = Caps(connect_s=2)


class FakeResolver:
    """Answers from a table; a list of lists is handed out one list per question. Counts the questions."""

    def __init__(self, names: dict[str, list[list[str]]]) -> None:
        self._names = names
        self.asked: dict[str, int] = defaultdict(int)

    async def resolve(self, host: str, port: int) -> list[str]:
        answers = self._names.get(host)
        if answers is None:
            raise OSError("unknown name")
        self.asked[host] += 1
        return answers[min(self.asked[host], len(answers)) - 1]


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every address that a connection is tried to. Anything but IPv4 loopback is refused before a packet leaves."""
    tried: list[str] = []
    real = asyncio.SelectorEventLoop.sock_connect

    async def record(loop: Any, sock: Any, place: Any) -> None:
        tried.append(str(place[0]))
        if not str(place[0]).startswith("127."):
            raise ConnectionRefusedError(111, "refused by the test")
        await real(loop, sock, place)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", record)
    yield tried


def guarded(
    db: Database, names: dict[str, list[list[str]]], allow: set[str] | None = None, **more: Any
) -> Fetcher:
    """A Fetcher on the real transport with a fake resolver."""
    transport = AioTransport(allow_private=allow or set(), resolver=FakeResolver(names), **more)
    return Fetcher(db, user_agent="t/1", allow_private=allow or set(), transport=transport, caps=DROP)


async def test_ssrf_name_with_a_private_address_is_refused(database: Database, connects: list[str]) -> None:
    for ip in PRIVATE:
        async with guarded(database, {"evil.example": [[ip]], "mixed.example": [[PUBLIC, ip]]}) as fetch:
            for name in ("evil.example", "mixed.example"):
                with pytest.raises(UnsafeAddress):
                    await fetch.get(f"http://{name}/", wait_s=10)  # already its robots.txt is refused
                await _quick(database, name)
                with pytest.raises(UnsafeAddress):
                    await fetch.get(f"http://{name}/", robots=False)
    assert connects == []


async def test_ssrf_literal_private_address_is_refused(database: Database, connects: list[str]) -> None:
    async with guarded(database, {}) as fetch:
        for ip in PRIVATE:
            host = f"[{ip}]" if ":" in ip else ip
            for url in (f"http://{host}/", f"https://{host}:8443/x"):
                with pytest.raises(UnsafeAddress):
                    await fetch.get(url)
    assert connects == []


async def test_ssrf_rebinding_between_check_and_connect_has_no_second_question(
    database: Database, connects: list[str]
) -> None:
    """The name turns private after the first answer: the first answer is what is connected to, or nothing is."""
    names = {"rebind.example": [[PUBLIC], ["127.0.0.1"]]}
    resolver = FakeResolver(names)
    transport = AioTransport(resolver=resolver)
    async with Fetcher(database, user_agent="t/1", transport=transport, caps=DROP) as fetch:
        await _quick(database, "rebind.example")
        with pytest.raises(FetchError) as caught:
            await fetch.get("http://rebind.example/", robots=False)
        assert not isinstance(caught.value, UnsafeAddress)
        assert (connects, resolver.asked["rebind.example"]) == ([PUBLIC], 1)
        with pytest.raises(UnsafeAddress):
            await fetch.get("http://rebind.example/", robots=False)
    assert connects == [PUBLIC]


ELSEWHERE = [f"http://{f'[{ip}]' if ':' in ip else ip}/" for ip in PRIVATE if ip != "127.0.0.1"]
ELSEWHERE += [
    "http://127.0.0.1:1/",
    "//127.0.0.2/",
    "http://localhost/",
    "http://2130706433/",
    "http://0x7f.1/",
]
ELSEWHERE += [
    "http://127.1/",
    "http://evil.example/",
    "https://evil.example/",
    "file:///etc/passwd",
    "gopher://x/",
]
ELSEWHERE += ["http://a:b@pub.example/"]


async def test_ssrf_redirect_to_a_private_address_is_refused(database: Database, connects: list[str]) -> None:
    locations = iter(ELSEWHERE)

    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(302, b"", {"Location": next(locations)}))

    async with upstream(handle) as server:
        names = {"evil.example": [["127.0.0.1"]], "pub.example": [[PUBLIC]]}
        async with guarded(database, names, {server.key}) as fetch:
            await _quick(database, server.key)
            for location in ELSEWHERE:
                await database.execute("delete from control.hosts where host <> %s", [server.key])
                with pytest.raises(UnsafeAddress):
                    await fetch.get(server.url(), robots=False)
                assert location
    assert connects == ["127.0.0.1"] * len(ELSEWHERE)


async def test_ssrf_redirect_of_robots_txt_to_a_private_address_is_refused(
    database: Database, connects: list[str]
) -> None:
    async def handle(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, b"x"))

    async with upstream(handle, robots=b"") as server, guarded(database, {}, {server.key}) as fetch:
        await _quick(database, server.key)
        server.robots = reply(302, b"", {"Location": "http://169.254.169.254/"})
        assert (await fetch.get(server.url())).body == b"x"  # leads nowhere: there are no rules
    assert connects == ["127.0.0.1"] * 2


@pytest.mark.parametrize("ip", PRIVATE)
async def test_ssrf_the_socket_itself_is_guarded(ip: str) -> None:
    """Even if a name slipped past the resolver's check, no socket is made for a private address."""
    connector = CheckedConnector(SystemResolver(), allow_private={"other.example:80"})
    with pytest.raises(UnsafeAddress):
        connector._checked_socket((2, 1, 6, "", (ip, 80)))
    await connector.close()


async def test_ssrf_listed_name_may_be_private_but_never_link_local(
    database: Database, connects: list[str]
) -> None:
    names = {"intra.example": [["10.0.0.9"]], "meta.example": [["169.254.169.254"]]}
    async with guarded(database, names, {"intra.example:8080", "meta.example:80"}) as fetch:
        with pytest.raises(FetchError) as caught:
            await fetch.get("http://intra.example:8080/", robots=False)
        assert not isinstance(caught.value, UnsafeAddress) and connects == ["10.0.0.9"]
        for url in ("http://meta.example/", "http://intra.example:8081/", "http://intra.example/"):
            with pytest.raises(UnsafeAddress):
                await fetch.get(url, robots=False)
    assert connects == ["10.0.0.9"]


async def test_ssrf_proxies_of_the_environment_are_ignored(
    database: Database, connects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with upstream(answering(reply(200, b"proxy"))) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        async with guarded(database, {"pub.example": [[PUBLIC]]}) as fetch:
            with pytest.raises(FetchError):
                await fetch.get("http://pub.example/", robots=False)
    assert proxy.asked == [] and connects == [PUBLIC]


async def test_ssrf_no_cookie_is_kept(database: Database) -> None:
    raw = reply(200, b"x", {"Set-Cookie": "sid=1; Path=/"})
    async with upstream(answering(raw)) as server, guarded(database, {}, {server.key}) as fetch:
        await _quick(database, server.key)
        for _ in range(2):
            await fetch.get(server.url(), robots=False)
    assert all("cookie" not in one.headers for one in server.asked) and len(server.asked) == 2


async def test_ssrf_caller_cannot_smuggle_a_host_or_a_line(database: Database) -> None:
    async with upstream(answering(reply(200, b"x"))) as server, guarded(database, {}, {server.key}) as fetch:
        await _quick(database, server.key)
        await fetch.get(server.url(), headers={"Host": "other.example", "Connection": "x"}, robots=False)
        assert server.asked[0].headers["host"] == server.key
        with pytest.raises(ValueError, match="header"):
            await fetch.get(server.url(), headers={"X-A": "1\r\nHost: other"}, robots=False)
    assert len(server.asked) == 1


async def test_ssrf_downgrade_from_https_is_refused(database: Database) -> None:
    url = "https://pub.example/a"
    transport = RecordedTransport([Recording(url, 302, b"", {"location": "http://pub.example/a"})])
    async with Fetcher(database, user_agent="t/1", transport=transport) as fetch:
        with pytest.raises(BadRedirect):
            await fetch.get(url)
    assert transport.asked == ["https://pub.example/robots.txt", url]


async def test_ssrf_certificates_are_verified(database: Database, tmp_path: Path) -> None:
    """Unknown issuer, wrong name: refused before a byte of the request. Right name and issuer: works, pinned."""
    serving, trusting = _certificate(tmp_path, "secure.example")
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply(200, b"safe"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=serving)
    port = server.sockets[0].getsockname()[1]
    names = {"secure.example": [["127.0.0.1"]], "wrong.example": [["127.0.0.1"]]}
    allow = {f"secure.example:{port}", f"wrong.example:{port}"}
    for name in ("secure.example", "wrong.example"):
        await _quick(database, f"{name}:{port}")
    async with guarded(database, names, allow) as fetch:
        with pytest.raises(FetchError, match="certificate"):
            await fetch.get(f"https://secure.example:{port}/", robots=False)
    async with guarded(database, names, allow, tls=trusting) as fetch:
        with pytest.raises(FetchError, match="certificate"):
            await fetch.get(f"https://wrong.example:{port}/", robots=False)
        assert asked == []
        assert (await fetch.get(f"https://secure.example:{port}/", robots=False)).body == b"safe"
    server.close()
    await server.wait_closed()
    assert b"Host: secure.example" in asked[0]


async def _quick(db: Database, host: str) -> None:
    async with db.connection() as conn:
        await limits.set_host(conn, host, 10_000, 1000, parallel=1000)


def _certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A self-signed certificate for `name`: the context that serves it, and one that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + pem)
    (folder / "ca.pem").write_bytes(pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "both.pem")
    return serving, ssl.create_default_context(cafile=str(folder / "ca.pem"))
