"""Names of buckets and objects, content types, sizes: what may be stored, and the errors for what may not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from headgate.surface.storage.errors import StorageError, invalid

# The characters that hosted Supabase allows, so that whatever is stored here may move there (S3's safe characters).
_OBJECT = re.compile(r"[\w/!.*'() &$@=;:+,?-]+", re.ASCII)
_BUCKET = re.compile(r"[\w!.*'() &$@=;:+,?-]{1,100}", re.ASCII)
_NAME_MAX = 1024  # bytes: the longest key of S3
_TYPE = re.compile(r"[\w!#$&^.+*-]{1,127}/[\w!#$&^.+*-]{1,127}(\s*;[ -~]{0,127})?", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*(b|kb|mb|gb|tb)", re.IGNORECASE)
_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BIGGEST = 2**53
DEFAULT_TYPE = "text/plain;charset=UTF-8"


def object_name(text: str) -> str:
    """`text` if an object may be called so. Raises StorageError."""
    parts = text.split("/")
    if not _OBJECT.fullmatch(text) or len(text) > _NAME_MAX or any(part in ("", ".", "..") for part in parts):
        shown = text[:80].encode("ascii", "backslashreplace").decode()
        raise StorageError(400, "InvalidKey", f"Invalid key: {shown}")
    return text


def bucket_name(text: Any) -> str:
    """`text` if a bucket may be called so. Raises StorageError."""
    good = isinstance(text, str) and _BUCKET.fullmatch(text) and text == text.strip() and text.strip(".")
    if not good:
        raise StorageError(400, "Invalid Input", "Bucket name invalid")
    return str(text)


def content_type(text: str) -> str:
    """`text` if it can be the content type of an answer. Raises StorageError."""
    if not _TYPE.fullmatch(text):
        raise StorageError(415, "invalid_mime_type", "mime type is not valid")
    return text


def check_type(kind: str, allowed: Sequence[str] | None) -> None:
    """Raise StorageError unless a bucket that allows `allowed` takes `kind`."""
    if not allowed:
        return
    plain = kind.partition(";")[0].strip().lower()
    for one in allowed:
        rule = one.partition(";")[0].strip().lower()
        if rule in (plain, "*/*", "*") or (rule.endswith("/*") and plain.startswith(rule[:-1])):
            return
    raise StorageError(415, "invalid_mime_type", f"mime type {plain} is not supported")


def size_limit(given: Any) -> int | None:
    """Bytes of `20000000`, `"20000000"` or `"20mb"` (decimal units). Raises StorageError."""
    if given is None or given == "":
        return None
    if isinstance(given, int) and not isinstance(given, bool):
        size = given
    elif isinstance(given, str) and given.isdigit() and len(given) <= 16:
        size = int(given)
    elif isinstance(given, str) and (found := _SIZE.fullmatch(given.strip())):
        size = int(float(found.group(1)) * _UNITS[found.group(2).lower()])
    else:
        raise invalid("The file_size_limit is not a number of bytes, nor a text such as 20mb")
    if not 0 <= size <= _BIGGEST:
        raise StorageError(413, "Payload too large", "The file_size_limit is out of range")
    return size


def mime_types(given: Any) -> list[str] | None:
    """The list of allowed content types. Raises StorageError."""
    if given is None:
        return None
    if not isinstance(given, list) or len(given) > 500:
        raise invalid("allowed_mime_types is a list of texts")
    for one in given:
        if not isinstance(one, str) or not (one in ("*", "*/*") or _TYPE.fullmatch(one)):
            raise StorageError(415, "invalid_mime_type", "mime type is not valid")
    return given
