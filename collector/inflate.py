"""Decompression that stops while inflating: no body, however small, takes more memory than it may.

A DEFLATE stream grows up to 1032 times, so 64 KiB may stand for 64 MiB.  Output is made in steps of at most
``STEP_BYTES``, each counted before the next is made; a bomb costs the limit and one step.
Formats: RFC 1952 (gzip, several members in a row are one body), RFC 1950 (zlib, which HTTP calls deflate),
RFC 1951 (bare DEFLATE, which some HTTP clients send under that name).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Final, Literal

from collector.budget import Holding
from collector.errors import TooLarge, Undecodable

Encoding = Literal["gzip", "deflate"]

STEP_BYTES: Final = 1 << 20
_FEED_BYTES: Final = 1 << 16
_MAX_MEMBERS: Final = 10_000
"""Members of one gzip body; our choice: tools write one, or one per 64 KiB, and each takes us 10 us."""
_INLINE_BYTES: Final = 4096
"""Compressed bodies up to this size can't grow over 4 MiB: inflated on the loop, longer ones in a thread."""

_GZIP_MAGIC: Final = b"\x1f\x8b"


def _is_zlib(data: bytes) -> bool:
    """Whether a zlib header stands at the start (RFC 1950, section 2.2)."""
    return len(data) >= 2 and data[0] & 0x8F == 8 and int.from_bytes(data[:2], "big") % 31 == 0


def recognised(message: bytes) -> Encoding | None:
    """The compression of a gRPC message, told from its first bytes.

    No OTLP request in protobuf starts like this: 0x1f would be wire type 7, which does not exist, and 0x78,
    the only first byte that zlib gives a gRPC message, would be a field 15, which OTLP does not have.
    """
    if message.startswith(_GZIP_MAGIC):
        return "gzip"
    if message.startswith(b"x") and _is_zlib(message):
        return "deflate"
    return None


def inflate_steps(data: bytes, encoding: Encoding, limit_bytes: int) -> Iterator[bytes]:
    """The decompressed body in pieces of 1 to ``STEP_BYTES`` bytes.

    Raises:
        TooLarge: it is longer than ``limit_bytes``; at most that much was made.
        Undecodable: it is not of this format, ends early, or is followed by something else.
    """
    source = BytesIO(data)
    if encoding == "gzip":
        wbits = 16 + zlib.MAX_WBITS
    else:
        wbits = zlib.MAX_WBITS if _is_zlib(data) else -zlib.MAX_WBITS
    made = 0
    feed = source.read(_FEED_BYTES)
    for _ in range(_MAX_MEMBERS if encoding == "gzip" else 1):
        member = zlib.decompressobj(wbits)
        while not member.eof:
            room = min(STEP_BYTES, limit_bytes - made + 1)
            try:
                step = member.decompress(feed, room)
            except zlib.error as error:
                raise Undecodable(f"the body is not {encoding}: {error}") from error
            made += len(step)
            if made > limit_bytes:
                raise TooLarge(f"the body is longer than {limit_bytes} bytes after decompression")
            if step:
                yield step
            feed = member.unconsumed_tail
            if not feed and len(step) < room and not member.eof:
                feed = source.read(_FEED_BYTES)
                if not feed:
                    raise Undecodable(f"the {encoding} body ends early, after {len(data)} bytes")
        feed = member.unused_data or source.read(_FEED_BYTES)
        if not feed:
            return
    raise Undecodable(f"something follows the end of the {encoding} body")


def inflate(data: bytes, encoding: Encoding, limit_bytes: int) -> bytes:
    """The decompressed body, at most ``limit_bytes`` long; errors as in ``inflate_steps``."""
    return b"".join(inflate_steps(data, encoding, limit_bytes))


async def inflate_held(data: bytes, encoding: Encoding, limit_bytes: int, holding: Holding) -> bytes:
    """As ``inflate``, without stopping the loop, and with every step held before the next is made.

    Raises:
        TryLater: the budget is used up.
    """
    steps = inflate_steps(data, encoding, limit_bytes)
    body = BytesIO()
    while (
        step := next(steps, b"") if len(data) <= _INLINE_BYTES else await asyncio.to_thread(next, steps, b"")
    ):
        holding.grow(len(step))
        body.write(step)
    return body.getvalue()
