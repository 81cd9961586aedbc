"""Canonical bytes of a row: PostgreSQL's binary COPY tuple, up to and not including ``row_hash``.

The image starts with the int16 count of all fields, ``row_hash`` included, as it stands on the wire; each
field is an int32 length and that many bytes, or the length -1 for null.  What is hashed is what is sent.
Specification: ``docs/ledger.md``, section 2; PostgreSQL documentation, COPY, "Binary Format".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from ledger.errors import DecodingError, EncodingError
from ledger.streams import Column, ColumnType, Stream

Value = datetime | str | int | float | bytes | None

COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
COPY_TRAILER: Final = struct.pack(">h", -1)
HASH_FIELD_LENGTH: Final = struct.pack(">i", 32)
"""The length word that stands between a row's image and its ``row_hash`` on the wire."""

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL counts a timestamptz in microseconds from here."""
UNIX_EPOCH_OFFSET_US: Final = 946_684_800_000_000
"""Microseconds from 1970-01-01 to 2000-01-01, UTC."""

_NULL: Final = struct.pack(">i", -1)
_INT8: Final = struct.Struct(">iq")
_FLOAT8: Final = struct.Struct(">id")
_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Microseconds from 2000-01-01 UTC to an aware moment."""
    return (moment - EPOCH) // _MICROSECOND


def _timestamptz(value: object) -> bytes:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("an aware datetime")
    return _INT8.pack(8, microseconds(value))


def _text(value: object) -> bytes:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError("a string without NUL")
    data = value.encode()
    return struct.pack(">i", len(data)) + data


def _int8(value: object) -> bytes:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise ValueError("an integer of 64 bits")
    return _INT8.pack(8, value)


def _float8(value: object) -> bytes:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a finite number")
    return _FLOAT8.pack(8, value)


def _bytea(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("bytes")  # noqa: TRY004  (encode_field turns it into an EncodingError)
    return struct.pack(">i", len(value)) + value


_ENCODERS: Final[Mapping[ColumnType, Callable[[object], bytes]]] = {
    "timestamptz": _timestamptz,
    "text": _text,
    "int8": _int8,
    "float8": _float8,
    "bytea": _bytea,
    "json": _text,
}


def encode_field(column: Column, value: Value) -> bytes:
    """A field on the wire: its length word and its bytes.

    Raises:
        EncodingError: the value is not of the column's type, or null where the column forbids it.
    """
    if value is None:
        if not column.nullable:
            raise EncodingError(f"{column.name} must not be null")
        return _NULL
    try:
        return _ENCODERS[column.type](value)
    except (ValueError, OverflowError) as error:
        raise EncodingError(f"{column.name} takes {error}, not {value!r}") from error


@dataclass(frozen=True, slots=True)
class Row:
    """A row's image but for its ``seq``, which it gets when it is chained: ``before || seq || after``."""

    chain: str
    before: bytes
    after: bytes

    def image(self, seq: int) -> bytes:
        """The tuple image of this row at position ``seq`` (1 and up) of its chain."""
        return self.before + seq.to_bytes(8, "big", signed=True) + self.after


def encode_row(stream: Stream, values: Mapping[str, Value]) -> Row:
    """The row's image; ``values`` holds every hashed column but ``seq``.

    Raises:
        EncodingError: a value is missing, unknown or can't be encoded; the message names the column.
    """
    hashed = stream.hashed_columns
    if unknown := values.keys() - {column.name for column in hashed}:
        raise EncodingError(f"{stream.name} has no column {', '.join(sorted(unknown))}")
    parts = [len(stream.columns).to_bytes(2, "big")]
    before = b""
    for column in hashed:
        if column.name == "seq":
            before = b"".join([*parts, struct.pack(">i", 8)])
            parts = []
        else:
            parts.append(encode_field(column, values.get(column.name)))
    chain = values[stream.chain_column]
    assert isinstance(chain, str), "encode_field has refused any other"
    return Row(chain, before, b"".join(parts))


def split_fields(data: bytes, offset: int = 0) -> tuple[list[bytes | None], int]:
    """The fields of the tuple at ``offset``, and the offset after it.

    Raises:
        DecodingError: the bytes end early or a length is impossible.
    """
    try:
        (count,) = struct.unpack_from(">h", data, offset)
        position = offset + 2
        fields: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", data, position)
            position += 4
            if length == -1:
                fields.append(None)
                continue
            if length < 0 or position + length > len(data):
                raise DecodingError(f"the field at byte {position} claims {length} of {len(data)} bytes")
            fields.append(data[position : position + length])
            position += length
    except struct.error as error:
        raise DecodingError(f"the tuple at byte {offset} ends early: {error}") from error
    return fields, position


def _decode(column: Column, data: bytes) -> Value:
    try:
        match column.type:
            case "timestamptz":
                return EPOCH + timedelta(microseconds=int.from_bytes(_exactly(data, 8), "big", signed=True))
            case "int8":
                return int.from_bytes(_exactly(data, 8), "big", signed=True)
            case "float8":
                (number,) = struct.unpack(">d", _exactly(data, 8))
                return float(number)
            case "text" | "json":
                return data.decode()
            case "bytea":
                return data
    except (ValueError, OverflowError) as error:
        raise DecodingError(f"{column.name}: {error}") from error


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ValueError(f"{size} bytes expected, {len(data)} found")
    return data


def decode_image(stream: Stream, image: bytes) -> dict[str, Value]:
    """The values of a tuple image: every column but ``row_hash``.

    Raises:
        DecodingError: the bytes are not an image of a row of this stream.
    """
    if image[:2] != len(stream.columns).to_bytes(2, "big"):
        count = int.from_bytes(image[:2], "big")
        raise DecodingError(f"a tuple of {stream.name} has {len(stream.columns)} fields, not {count}")
    hashed = stream.hashed_columns
    fields, end = split_fields(len(hashed).to_bytes(2, "big") + image[2:])
    if end != len(image):
        raise DecodingError(f"{len(image) - end} bytes follow the image")
    return {
        column.name: None if field is None else _decode(column, field)
        for column, field in zip(hashed, fields, strict=True)
    }


def split_copy(data: bytes) -> Iterator[bytes]:
    """The tuples of a whole binary COPY file, each from its field count to its last field.

    Raises:
        DecodingError: it has no COPY header, no trailer, or a broken tuple.
    """
    if not data.startswith(COPY_HEADER[:11]) or len(data) < 19:
        raise DecodingError("not a binary COPY file: its signature is missing")
    position = 19 + int.from_bytes(data[15:19], "big")
    while data[position : position + 2] != COPY_TRAILER:
        _, end = split_fields(data, position)
        yield data[position:end]
        position = end
    if position + 2 != len(data):
        raise DecodingError(f"{len(data) - position - 2} bytes follow the COPY trailer")
