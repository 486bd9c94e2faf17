"""Reading a reply's body without trusting it: size caps before and after decompression, in bounded steps.

Knows gzip and deflate, the encodings that `Accept-Encoding` asks for. Never holds more than the cap plus a step.
"""

from __future__ import annotations

import zlib

from headgate.engine.fetch_errors import BrokenReply, TooLarge

STEP = 64 * 1024
MAX_RATIO = 200
RATIO_FROM = 1024 * 1024
MAX_MEMBERS = 100
ENCODINGS = "gzip, deflate"


class Body:
    """Collects one body. `raw_bytes` is what came over the wire; the cap holds for it and for the plain body."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        self.raw_bytes = 0
        self._packed = 0
        self._max = max_bytes
        self._plain = bytearray()
        self._inflater = _inflater(encoding.strip().lower(), self)

    def feed(self, chunk: bytes) -> None:
        """Add what was read. Raises TooLarge as soon as a cap or the ratio is exceeded, BrokenReply on bad data."""
        self.raw_bytes += len(chunk)
        if self._inflater is None:
            self._plain += chunk[: self._max + 1 - len(self._plain)]
        if self.raw_bytes > self._max:
            raise self._too_large("The body is larger than allowed.")
        if self._inflater is None:
            return
        for start in range(0, len(chunk), STEP):
            self._inflater.feed(chunk[start : start + STEP])

    def add(self, plain: bytes, packed_bytes: int) -> None:
        """Take over what `packed_bytes` bytes decompressed to, checking the cap and the ratio."""
        self._plain += plain
        self._packed += packed_bytes
        if len(self._plain) > self._max:
            raise self._too_large("The decompressed body is larger than allowed.")
        if len(self._plain) > RATIO_FROM and len(self._plain) > MAX_RATIO * self._packed:
            raise self._too_large("The body expands too steeply to be honest.")

    def cut(self) -> None:
        """After TooLarge: settle for what is within the cap."""
        del self._plain[self._max :]
        self._inflater = None

    def finish(self) -> bytes:
        """The plain body. Raises BrokenReply if the compressed stream ends too soon."""
        if self._inflater is not None:
            self._inflater.finish()
        return bytes(self._plain)

    def _too_large(self, message: str) -> TooLarge:
        details = {"max_bytes": self._max, "raw_bytes": self.raw_bytes, "plain_bytes": len(self._plain)}
        return TooLarge(message, details=details, hint="Raise max_bytes if so much is expected.")


def _inflater(encoding: str, body: Body) -> _Inflater | None:
    if encoding in {"", "identity"}:
        return None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return _Inflater(body, gzip=encoding != "deflate")
    raise BrokenReply(f"The body has the content encoding {encoding[:40]!r}, which was not asked for.")


class _Inflater:
    """gzip (RFC 1952, also several members) and deflate (RFC 1950, or bare RFC 1951 as some servers send it)."""

    def __init__(self, body: Body, *, gzip: bool) -> None:
        self._body = body
        self._gzip = gzip
        self._members = 0
        self._stream: zlib._Decompress | None = None
        self._head = b""

    def feed(self, data: bytes) -> None:
        data = self._head + data
        self._head = b""
        while data:
            if self._stream is None or self._stream.eof:
                if len(data) < 2:
                    self._head = data
                    return
                if not self._start(data):
                    return
            data = self._inflate(data)

    def _inflate(self, data: bytes) -> bytes:
        """Decompress `data` in steps until it or the member ends; returns what follows the member."""
        assert self._stream is not None  # noqa: S101 - for the type checker; feed() has just made it
        while True:
            try:
                plain = self._stream.decompress(data, STEP)
            except zlib.error as error:
                raise BrokenReply("The body cannot be decompressed.") from error
            rest = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            self._body.add(plain, len(data) - len(rest))
            data = rest
            if self._stream.eof:
                return data
            if not data and len(plain) < STEP:
                return b""

    def _start(self, data: bytes) -> bool:
        """Begin a member at `data`; False if what is left is trailing filler to be ignored."""
        if self._members and not (self._gzip and data[:2] == b"\x1f\x8b"):
            return False
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise BrokenReply(f"The compressed body has more than {MAX_MEMBERS} members.")
        wrapped = len(data) > 1 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
        bits = 16 + zlib.MAX_WBITS if self._gzip else zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
        self._stream = zlib.decompressobj(bits)
        return True

    def finish(self) -> None:
        """Raises BrokenReply unless the stream came to its end. An empty body is an empty body."""
        if self._head and not self._members:
            raise BrokenReply("The compressed body is cut short.")
        if self._stream is not None and not self._stream.eof:
            raise BrokenReply("The compressed body is cut short.")
