"""Renders images. Run as a program in a process of its own, which may be killed at any time.

It imports nothing of ours, is handed one job a line on its standard input (JSON) and says how it went on its standard
output. It limits its own memory and processor time before it opens anything.
"""

import json
import resource
import sys
from typing import Any

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
SPARE_CPU_S = 2


class Refused(Exception):
    """The image cannot be rendered, for a reason that a client may know."""


def limit_memory(most: int) -> None:
    """No more than this many bytes of addresses, whatever a decoder asks for."""
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_time(seconds: int) -> None:
    """No more processor time than this from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds + SPARE_CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def render(job: dict[str, Any]) -> dict[str, Any]:
    """Read `source`, write `target`; what came of it."""
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = job["max_pixels"]
    with Image.open(job["source"], formats=FORMATS) as image:
        if image.width * image.height > job["max_pixels"]:
            raise Refused("The image has too many pixels to be transformed")
        kind = job["format"] if job["format"] != "origin" else (image.format or "PNG").lower()
        kind = kind if kind in ("jpeg", "png", "webp", "gif", "avif") else "png"
        image.draft("RGB", _rough(image.size, job))
        image.load()
        picture: Any = ImageOps.exif_transpose(image) or image
        profile = image.info.get("icc_profile")
        if picture.mode not in ("RGB", "RGBA", "L", "LA"):
            has_alpha = "transparency" in picture.info or picture.mode in ("PA", "La", "RGBa")
            picture = picture.convert("RGBA" if has_alpha else "RGB")
            profile = None if image.mode not in ("P", "RGBX") else profile
        picture = resize(picture, job)
        if kind == "jpeg" and picture.mode in ("RGBA", "LA"):
            ground = Image.new("RGB", picture.size, (255, 255, 255))
            ground.paste(picture, mask=picture.getchannel("A"))
            picture = ground
        picture.save(job["target"], kind.upper(), **_options(kind, job["quality"], profile))
        return {"ok": True, "format": kind, "width": picture.width, "height": picture.height}


def _rough(size: tuple[int, int], job: dict[str, Any]) -> tuple[int, int]:
    """A size that a JPEG may be decoded to: no side less than twice what is wanted."""
    longest = max(job["width"] or size[0], job["height"] or size[1]) * 2
    return (min(size[0], longest), min(size[1], longest)) if job["width"] or job["height"] else size


def resize(picture: Any, job: dict[str, Any]) -> Any:
    """The picture at the size asked for; never larger than it is."""
    from PIL import Image

    wide, high = picture.size
    width, height = job["width"], job["height"]
    if not width and not height:
        return picture
    if job["resize"] == "fill":
        return picture.resize((min(width or wide, wide), min(height or high, high)), Image.Resampling.LANCZOS)
    across, down = (width or wide) / wide, (height or high) / high
    if not width or not height:
        scale = down if not width else across
    else:
        scale = max(across, down) if job["resize"] == "cover" else min(across, down)
    scale = min(scale, 1.0)
    new = (max(1, round(wide * scale)), max(1, round(high * scale)))
    if new != picture.size:
        picture = picture.resize(new, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if job["resize"] == "cover" and width and height:
        cut = (min(width, picture.width), min(height, picture.height))
        left, top = (picture.width - cut[0]) // 2, (picture.height - cut[1]) // 2
        picture = picture.crop((left, top, left + cut[0], top + cut[1]))
    return picture


def _options(kind: str, quality: int, profile: bytes | None) -> dict[str, Any]:
    found: dict[str, Any] = {"icc_profile": profile} if profile else {}
    if kind == "jpeg":
        return {**found, "quality": quality, "optimize": True, "progressive": True}
    if kind == "webp":
        return {**found, "quality": quality, "method": 4}
    if kind == "avif":
        return {**found, "quality": max(1, quality - 20), "speed": 8}
    return found


def attempt(job: dict[str, Any]) -> dict[str, Any]:
    """`render`, with every failure as an answer."""
    from PIL import Image, UnidentifiedImageError

    try:
        return render(job)
    except Refused as error:
        return {"ok": False, "reason": str(error)}
    except Image.DecompressionBombError:
        return {"ok": False, "reason": "The image has too many pixels to be transformed"}
    except UnidentifiedImageError:
        return {"ok": False, "reason": "The object is not an image that can be transformed"}
    except MemoryError:
        return {"ok": False, "reason": "The image needs too much memory to be transformed", "last": True}
    except Exception:
        return {"ok": False, "reason": "The image is damaged"}


def main() -> None:
    """Serve jobs until the standard input ends."""
    import warnings

    from PIL import AvifImagePlugin, Image, WebPImagePlugin  # noqa: F401 - loaded before memory is limited

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    limit_memory(int(sys.argv[1]))
    for line in sys.stdin:
        job = json.loads(line)
        limit_time(int(job["seconds"]))
        answer = attempt(job)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        if answer.get("last"):
            return


if __name__ == "__main__":
    main()
