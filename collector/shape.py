"""A bound on how many parts a request has, found before it is parsed.

An empty message takes 2 bytes on the wire and 60 when parsed, so 64 MiB (64 KiB with gzip) could become 2 GiB
of memory and half a minute of work.  The walk goes down to data points and log records, and into those that
are large; a short request can't hold too many parts and is not walked at all.
Source: protobuf.dev, "Encoding"; opentelemetry-proto 1.11, metrics.proto and logs.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from collector.errors import TooLarge, Undecodable
from collector.ingest import Signal

MAX_PARTS: Final = 250_000
"""Messages and their fields, down to data points and log records; our choice: batches of SDKs and of the
OpenTelemetry Collector have a few thousand, and this many are about a second of work."""

_LEAST_BYTES: Final = 2
_LARGE_BYTES: Final = 65_536
_DEEPEST: Final = 100
"""Messages within messages, as in protobuf's own parsers."""
_WIDTHS: Final = {1: 8, 5: 4}


@dataclass(slots=True)
class _Level:
    """The messages inside a message, by field number; it is walked if it is longer than ``over_bytes``."""

    inside: dict[int, _Level] = field(default_factory=dict)
    over_bytes: int = 0


def _large(inside: dict[int, _Level]) -> _Level:
    """Resources, points, records: they are parsed one at a time, so only large ones need a look inside."""
    return _Level(inside, _LARGE_BYTES)


_VALUE: Final = _Level()
_PAIR: Final = _Level({2: _VALUE})
_VALUE.inside = {5: _Level({1: _VALUE}), 6: _Level({1: _PAIR})}
_EXEMPLAR: Final = _Level({7: _PAIR})
_NUMBERS: Final = _Level({1: _large({5: _EXEMPLAR, 7: _PAIR})})
_HISTOGRAM: Final = _Level({1: _large({8: _EXEMPLAR, 9: _PAIR})})
_EXPONENTIAL: Final = _Level({1: _large({1: _PAIR, 11: _EXEMPLAR})})
_SUMMARY: Final = _Level({1: _large({7: _PAIR})})
_METRIC: Final = _Level(
    {5: _NUMBERS, 7: _NUMBERS, 9: _HISTOGRAM, 10: _EXPONENTIAL, 11: _SUMMARY, 12: _large({2: _VALUE})}
)
_RECORD: Final = _large({5: _VALUE, 6: _PAIR})


def _request(part: _Level) -> _Level:
    """Resource groups of scope groups of parts."""
    return _Level({1: _Level({1: _large({1: _PAIR}), 2: _Level({1: _large({3: _PAIR}), 2: part})})})


_LEVELS: Final[Mapping[Signal, _Level]] = {"metrics": _request(_METRIC), "logs": _request(_RECORD)}


def check_shape(signal: Signal, body: bytes, max_parts: int = MAX_PARTS) -> None:
    """Refuse a request that is cheap to send and dear to parse.

    Raises:
        TooLarge: it has more than ``max_parts``.
        Undecodable: it is not protobuf as far as it was walked.
    """
    if len(body) <= _LEAST_BYTES * max_parts:
        return
    try:
        _Walk(body, max_parts).message(0, len(body), _LEVELS[signal], 1)
    except IndexError:
        raise Undecodable(f"the body is not an OTLP {signal} request in protobuf: it ends early") from None


@dataclass(slots=True)
class _Walk:
    """A walk over ``body`` that may pass ``left`` more fields."""

    body: bytes
    left: int

    def message(self, position: int, end: int, level: _Level, depth: int) -> None:
        """Walk the fields of the message at ``position``, and the messages in them."""
        body = self.body
        if depth > _DEEPEST:
            raise Undecodable(f"the request nests more than {_DEEPEST} messages within each other")
        while position < end:
            self.left -= 1
            if self.left < 0:
                raise TooLarge(
                    "the request has too many records, data points or attributes; send it in parts"
                )
            tag, position = _varint(body, position)
            kind = tag & 7
            if kind == 2:
                length, position = _varint(body, position)
                inner = level.inside.get(tag >> 3)
                if inner is not None and length > inner.over_bytes:
                    self.message(position, min(position + length, end), inner, depth + 1)
                position += length
            elif kind == 0:
                _, position = _varint(body, position)
            elif kind in _WIDTHS:
                position += _WIDTHS[kind]
            else:
                raise Undecodable(f"the body is not protobuf as OTLP writes it: wire type {kind}")
        if position != end:
            raise Undecodable("the body is not protobuf: a field reaches beyond the message that it is in")


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
