"""A bound on how many parts a request has, found before it is parsed.

An empty message takes 2 bytes on the wire and 60 when parsed, so 64 MiB (64 KiB with gzip) could become 2 GiB
of memory and half a minute of work.  The walk goes down to data points and log records, and no further; a
short request can't hold too many and is not walked at all.
Source: protobuf.dev, "Encoding"; opentelemetry-proto 1.11, metrics.proto and logs.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from collector.errors import TooLarge, Undecodable
from collector.ingest import Signal

MAX_PARTS: Final = 250_000
"""Resources, scopes, metrics, their fields, data points and log records of one request; our choice: batches
of SDKs and of the OpenTelemetry Collector have a few thousand, and this many are about a second of work."""

_LEAST_BYTES: Final = 2
_WIDTHS: Final = {1: 8, 5: 4}


@dataclass(frozen=True, slots=True)
class _Level:
    """The messages inside a message, by field number."""

    inside: Mapping[int, _Level] = field(default_factory=dict)


_RECORD: Final = _Level()
_POINTS: Final = _Level({1: _RECORD})
_METRIC: Final = _Level(dict.fromkeys((5, 7, 9, 10, 11), _POINTS))
_LEVELS: Final[Mapping[Signal, _Level]] = {
    "metrics": _Level({1: _Level({2: _Level({2: _METRIC})})}),
    "logs": _Level({1: _Level({2: _Level({2: _RECORD})})}),
}


def check_shape(signal: Signal, body: bytes, max_parts: int = MAX_PARTS) -> None:
    """Refuse a request that is cheap to send and dear to parse.

    Raises:
        TooLarge: it has more than ``max_parts``, counted down to data points and log records.
        Undecodable: it is not protobuf down to its records.
    """
    if len(body) <= _LEAST_BYTES * max_parts:
        return
    try:
        _count(body, 0, len(body), _LEVELS[signal], max_parts)
    except IndexError:
        raise Undecodable(f"the body is not an OTLP {signal} request in protobuf: it ends early") from None


def _count(body: bytes, position: int, end: int, level: _Level, left: int) -> int:
    """Walk the fields of the message at ``position``; returns how many more may follow."""
    while position < end:
        left -= 1
        if left < 0:
            raise TooLarge("the request holds too many data points or records; send them in several")
        tag, position = _varint(body, position)
        kind = tag & 7
        if kind == 2:
            length, position = _varint(body, position)
            inner = level.inside.get(tag >> 3)
            if inner is not None and inner is not _RECORD:
                left = _count(body, position, min(position + length, end), inner, left)
            position += length
        elif kind == 0:
            _, position = _varint(body, position)
        elif kind in _WIDTHS:
            position += _WIDTHS[kind]
        else:
            raise Undecodable(f"the body is not protobuf as OTLP writes it: wire type {kind}")
    if position != end:
        raise Undecodable("the body is not protobuf: a field reaches beyond the message that it is in")
    return left


def _varint(body: bytes, position: int) -> tuple[int, int]:
    byte = body[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    for shift in range(7, 70, 7):
        position += 1
        byte = body[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
    raise Undecodable("the body is not protobuf: a number takes more than 10 bytes")
