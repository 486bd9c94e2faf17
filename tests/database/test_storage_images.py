"""Transformed images: sizes, formats, cache, substitutes; bombs and damage are refused and end no server."""

from __future__ import annotations

import asyncio
import io
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from headgate.db import Database
from tests.database.storage_fixture import POLICIES, A, B, Client, storage


def picture(kind: str, size: tuple[int, int] = (400, 200), mode: str = "RGB") -> bytes:
    """An image with a gradient."""
    ramp = Image.linear_gradient("L").resize(size)
    image = Image.merge("RGB", (ramp, ramp.rotate(90).resize(size), ramp)).convert(mode)
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """A PNG of a few kilobytes that would be gigabytes of pixels."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    rows = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
async def client(bare_database: Database, tmp_path: Path) -> AsyncIterator[Client]:
    async with storage(bare_database, tmp_path) as one:
        await one.bucket("open", public=True)
        await one.bucket("files")
        await one.put("open/a.jpg", picture("JPEG"), content_type="image/jpeg", cache_control="max-age=50")
        yield one


async def test_sizes_and_formats(client: Client) -> None:
    for query, size in (
        ("width=100", (100, 50)), ("height=100", (200, 100)), ("width=100&height=100", (100, 100)),
        ("width=100&height=100&resize=contain", (100, 50)), ("width=100&height=90&resize=fill", (100, 90)),
        ("width=2000", (400, 200)), ("", (400, 200)),
    ):  # fmt: skip
        reply = await client.with_bearer(None).send("GET", f"render/image/public/open/a.jpg?{query}")
        assert reply.status_code == 200, reply.text
        assert opened(reply.content).size == size and opened(reply.content).format == "JPEG", query
    told = await client.send("GET", "render/image/public/open/a.jpg?width=200&height=200&quality=60")
    assert told.headers["x-transformations"] == "height:200,width:200,resizing_type:fill,quality:60"
    for accept, kind in (
        ("image/avif,image/webp,*/*", "AVIF"), ("image/webp,*/*", "WEBP"), ("*/*", "JPEG"), ("image/png", "JPEG"),
    ):  # fmt: skip
        reply = await client.send(
            "GET", "render/image/public/open/a.jpg?width=50", headers={"accept": accept}
        )
        assert opened(reply.content).format == kind
        assert (reply.headers["content-type"], reply.headers["vary"]) == (
            f"image/{kind.lower()}",
            "Accept, Origin",
        )
        assert reply.headers["cache-control"] == "max-age=50"
    forced = await client.send("GET", "render/image/public/open/a.jpg?format=avif&width=50")
    assert forced.headers["content-type"] == "image/avif"
    origin = {"accept": "image/webp"}
    same = await client.send("GET", "render/image/public/open/a.jpg?format=origin&width=50", headers=origin)
    assert same.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
async def test_other_kinds_can_be_transformed(client: Client, kind: str) -> None:
    await client.put("open/x", picture(kind), content_type=f"image/{kind.lower()}")
    reply = await client.send("GET", "render/image/public/open/x?width=40")
    assert opened(reply.content).size == (40, 20)


async def test_the_second_time_it_comes_from_the_cache_and_a_new_version_is_new(
    client: Client, tmp_path: Path
) -> None:
    target = "render/image/public/open/a.jpg?width=30"
    replies = await asyncio.gather(*(client.send("GET", target) for _ in range(8)))
    assert {reply.content for reply in replies} == {replies[0].content}
    assert len(list((tmp_path / "storage" / "renders").rglob("*.jpeg"))) == 1
    etag = replies[0].headers["etag"]
    assert (await client.send("GET", target, headers={"if-none-match": etag})).status_code == 304
    head = await client.send("HEAD", target)
    assert (head.headers["content-length"], head.content) == (str(len(replies[0].content)), b"")
    await client.put("open/a.jpg", picture("PNG", (60, 60)), content_type="image/png", x_upsert="true")
    assert opened((await client.send("GET", target)).content).size == (30, 30)
    await client.settled()
    assert len(list((tmp_path / "storage" / "renders").rglob("*.*"))) == 1
    assert (await client.send("DELETE", "cdn/open/a.jpg?transformations=true")).json() == {
        "message": "success"
    }
    assert list((tmp_path / "storage" / "renders").rglob("*.*")) == []
    assert (await client.as_user(A).send("DELETE", "cdn/open")).json()["statusCode"] == "403"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (bomb(), "too many pixels"),
        (bomb(7000, 7000), "damaged"),
        (b"not an image", "not an image"),
        (b"", "not an image"),
        (picture("JPEG")[:-800], "damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
async def test_bombs_and_damage_are_refused_and_the_next_is_served(
    client: Client, body: bytes, message: str
) -> None:
    await client.put("open/bad.png", body, content_type="image/png")
    reply = await client.send("GET", "render/image/public/open/bad.png?width=10")
    assert (reply.status_code, reply.json()["statusCode"]) == (400, "422")
    assert message in reply.json()["message"]
    assert (await client.send("GET", "render/image/public/open/a.jpg?width=10")).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "width=0",
        "width=99999",
        "width=-1",
        "width=x",
        "quality=5",
        "resize=other",
        "format=exe",
        "height=1e3",
    ],
)
async def test_odd_wishes_are_refused(client: Client, query: str) -> None:
    reply = await client.send("GET", f"render/image/public/open/a.jpg?{query}")
    assert (reply.status_code, reply.json()["error"]) == (400, "InvalidRequest")


async def test_a_rendering_that_takes_too_long_is_killed(bare_database: Database, tmp_path: Path) -> None:
    async with storage(bare_database, tmp_path) as client:
        await client.bucket("open", public=True)
        await client.put("open/a.png", picture("PNG"), content_type="image/png")
        assert client.service.images is not None
        client.service.images._painters._timeout_s = 0.0001
        reply = await client.send("GET", "render/image/public/open/a.png?width=10")
        assert "too long" in reply.json()["message"]
        client.service.images._painters._timeout_s = 20
        assert (await client.send("GET", "render/image/public/open/a.png?width=10")).status_code == 200


async def test_drawings_are_sent_as_they_are(client: Client) -> None:
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    await client.put("open/d.svg", drawing, content_type="image/svg+xml")
    reply = await client.send("GET", "render/image/public/open/d.svg?width=10")
    assert (reply.content, reply.headers["content-type"]) == (drawing, "image/svg+xml")
    assert reply.headers["content-security-policy"].startswith("sandbox")


async def test_private_images_need_rights_or_a_signature(client: Client, bare_database: Database) -> None:
    await bare_database.execute(POLICIES)
    a, b, nobody = client.as_user(A), client.as_user(B), client.with_bearer(None)
    await a.put("files/p.png", picture("PNG"), content_type="image/png")
    assert (await a.send("GET", "render/image/authenticated/files/p.png?width=10")).status_code == 200
    for other in (b, nobody, client.as_user(A, role="anon")):
        assert (await other.send("GET", "render/image/authenticated/files/p.png?width=10")).status_code == 400
    assert (await nobody.send("GET", "render/image/public/files/p.png?width=10")).status_code == 400
    wish = {"expiresIn": 60, "transform": {"width": 20, "height": 20}}
    signed = (await a.send("POST", "object/sign/files/p.png", json=wish)).json()["signedURL"]
    assert signed.startswith("/render/image/sign/files/p.png?token=")
    assert opened((await nobody.send("GET", signed[1:])).content).size == (20, 20)
    # The size is part of what was signed.
    assert opened((await nobody.send("GET", signed[1:] + "&width=300")).content).size == (20, 20)


async def test_substitutes(bare_database: Database, tmp_path: Path) -> None:
    for name, colour in (("placeholder", "red"), ("fallback", "blue")):
        Image.new("RGB", (80, 80), colour).save(tmp_path / f"{name}.png")
    changes = {f"storage_{name}_image": tmp_path / f"{name}.png" for name in ("placeholder", "fallback")}
    async with storage(bare_database, tmp_path / "data", **changes) as client:
        await client.bucket("open", public=True)
        await client.put("open/bad.png", b"nothing", content_type="image/png")
        for name, colour in (("none.png", (255, 0, 0)), ("bad.png", (0, 0, 255))):
            reply = await client.send("GET", f"render/image/public/open/{name}?width=40")
            assert reply.status_code == 200 and reply.headers["x-image-substitute"]
            assert opened(reply.content).size == (40, 40)
            assert opened(reply.content).convert("RGB").getpixel((1, 1)) == colour
            assert reply.headers["cache-control"] == "no-cache"
