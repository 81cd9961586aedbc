"""Protocol buffers by hand: the few shapes of OTLP that the generator writes.

Field numbers are those of opentelemetry-proto 1.x (common.proto, resource.proto).  Fields are written in
ascending order and defaults are left out, as the reference serializer does, so the bytes are the same as
those of the OpenTelemetry SDK for the same data; a test holds this.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache

Value = str | int | float | tuple[tuple[str, float], ...]
"""An attribute value; a tuple of pairs is a kvlist of doubles."""

Attribute = tuple[str, Value]

_double = struct.Struct("<d").pack
_fixed64 = struct.Struct("<Q").pack


def varint(number: int) -> bytes:
    """Base-128 varint; a negative number as its 64-bit two's complement."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def delimited(field: int, content: bytes) -> bytes:
    """A length-delimited field (number below 16)."""
    size = len(content)
    if size < 0x80:
        return bytes((field << 3 | 2, size)) + content
    return bytes((field << 3 | 2,)) + varint(size) + content


def fixed64(field: int, number: int) -> bytes:
    """A fixed64 field (number below 16)."""
    return bytes((field << 3 | 1,)) + _fixed64(number)


@lru_cache(maxsize=4_096)
def _key(key: str) -> bytes:
    return delimited(1, key.encode())


@lru_cache(maxsize=4_096)
def _short_text(text: str) -> bytes:
    return delimited(2, delimited(1, text.encode()))


def _any_value(value: Value) -> bytes:
    """An AnyValue field number 2, as KeyValue has it."""
    if isinstance(value, str):
        return _short_text(value) if len(value) < 24 else delimited(2, delimited(1, value.encode()))
    if isinstance(value, float):
        return b"\x12\x09\x21" + _double(value)
    if isinstance(value, int):
        return delimited(2, b"\x18" + varint(value))
    pairs = b"".join(delimited(1, _key(name) + _any_value(number)) for name, number in value)
    return delimited(2, delimited(6, pairs))


def attributes(field: int, pairs: Iterable[Attribute]) -> bytes:
    """A repeated KeyValue field."""
    return b"".join([delimited(field, _key(key) + _any_value(value)) for key, value in pairs])
