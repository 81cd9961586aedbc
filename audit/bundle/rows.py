"""The rows of a bundle: as they were hashed (binary COPY), and as people read them (CSV, Parquet).

Rows are streamed and every hash is recomputed on the way, from the opening statement to the closing one: rows
that are not those that were sealed make no bundle.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, cast

import duckdb

from audit.bundle.errors import LedgerBroken
from audit.bundle.selection import ChainRows
from ledger.chain import HASH_BYTES, genesis, link
from ledger.errors import DecodingError
from ledger.rows import COPY_HEADER, COPY_TRAILER, EPOCH, HASH_FIELD_LENGTH, Value, split_fields
from ledger.streams import Stream
from store.reader import LedgerReader, Place

MOST_BLOCK_ROWS: Final = 4_096
MOST_BLOCK_BYTES: Final = 8 << 20
"""A block is what a verifier takes at a time.  Our choice."""
Fields = tuple[bytes | None, ...]
Row = tuple[bytes, Fields]
"""A tuple as it was hashed, row_hash last, and its fields."""
_CHAIN: Final = 2
_SEQ: Final = 3
_SENDER: Final = 4
"""Where the chain's name, seq and resource_digest are among the fields of every stream."""
_NUMBER_BYTES: Final = 8
_HASH_FIELD: Final = len(HASH_FIELD_LENGTH) + 32
_PARQUET: Final = {
    "timestamptz": "TIMESTAMPTZ",
    "int8": "BIGINT",
    "float8": "DOUBLE",
    "text": "VARCHAR",
    "json": "VARCHAR",
    "bytea": "VARCHAR",
}


@dataclass(slots=True)
class WrittenRows:
    """What was written of a stream: how many rows, and the digests of the senders that they name."""

    rows: int = 0
    senders: set[bytes] = field(default_factory=set)


def write_stream(reader: LedgerReader, chains: Sequence[ChainRows], folder: Path) -> WrittenRows:
    """Write the rows of chains of one stream, in their order, into ``rows/``, ``csv/`` and ``parquet/``.

    Raises:
        LedgerBroken: a row is missing, or not the one that was sealed.
    """
    stream = chains[0].stream
    written = WrittenRows()
    for kind in ("rows", "csv", "parquet"):
        (folder / kind).mkdir(exist_ok=True)
    with ExitStack() as stack:
        copy, lengths, table, blocks = (
            stack.enter_context((folder / name).open("xb"))
            for name in (
                f"rows/{stream.name}.copy",
                f"rows/{stream.name}.lengths",
                f"csv/{stream.name}.csv",
                f"csv/{stream.name}.blocks",
            )
        )
        copy.write(COPY_HEADER)
        table.write((",".join(stream.column_names) + "\r\n").encode())
        blocks.write(b"rows,bytes\r\n")
        for block in _blocks(row for one in chains for row in checked_rows(reader, one)):
            rows = [row for row, _ in block]
            lines = _lines(stream, [fields for _, fields in block])
            copy.write(b"".join(rows))
            lengths.write(struct.pack(f">{len(rows)}I", *map(len, rows)))
            table.write(lines)
            blocks.write(f"{len(block)},{len(lines)}\r\n".encode())
            written.rows += len(block)
            written.senders.update(fields[_SENDER] or b"" for _, fields in block)
        copy.write(COPY_TRAILER)
    write_parquet(stream, folder / f"csv/{stream.name}.csv", folder / f"parquet/{stream.name}.parquet")
    return written


def checked_rows(reader: LedgerReader, chain: ChainRows) -> Iterator[Row]:
    """The rows of a chain, each after it proved to be the next one.

    Raises:
        LedgerBroken: it is not, or the last one is not the sealed one.
    """
    stream, seq = chain.stream, chain.first_seq
    before = genesis(stream.name, chain.chain) if chain.previous is None else chain.previous
    where = f"{stream.name} {chain.chain} row"
    for row in reader.rows(stream, Place(chain.chain, seq), Place(chain.chain, chain.last_seq + 1)):
        before = link(before, row[:-_HASH_FIELD])
        try:
            fields = tuple_fields(stream, row)
            found = _int8(fields[_SEQ] or b"")
        except DecodingError as error:
            raise LedgerBroken(f"{where} {seq}: {error}") from error
        if found != seq:
            raise LedgerBroken(f"{where} {seq} was sealed, and row {found} stands in its place")
        if row[-_HASH_FIELD:] != HASH_FIELD_LENGTH + before:
            raise LedgerBroken(f"{where} {seq}: its bytes do not give its hash; `tally verify` says more")
        yield row, fields
        seq += 1
    if seq != chain.last_seq + 1:
        raise LedgerBroken(f"{where} {seq} was sealed, and is not there")
    if before != chain.last:
        raise LedgerBroken(
            f"{where} {chain.last_seq} is not the one that was sealed: the chain was rewritten"
        )


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    block: list[Row] = []
    size = 0
    for row in rows:
        block.append(row)
        size += len(row[0])
        if len(block) == MOST_BLOCK_ROWS or size >= MOST_BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _int8(data: bytes) -> int:
    if len(data) != _NUMBER_BYTES:
        raise DecodingError(f"a number of {len(data)} bytes")
    return int.from_bytes(data, "big", signed=True)


class _Shape:
    """Tuples whose fields have the same lengths, which are read at once."""

    def __init__(self, fields: Fields) -> None:
        lengths = [-1 if field is None else len(field) for field in fields]
        self.unpack = struct.Struct(">h" + "".join(f"i{max(length, 0)}s" for length in lengths)).unpack
        self.words = itemgetter(*range(1, 2 * len(fields), 2))
        self.lengths = tuple(lengths)
        # A field that is NULL is the None that comes after the last one.
        self.contents = itemgetter(*(-1 if field is None else 2 * n + 2 for n, field in enumerate(fields)))


_MOST_SHAPES: Final = 16
"""Of tuples of one size: to try more takes longer than to read field by field."""


def tuple_fields(stream: Stream, row: bytes) -> Fields:
    """The fields of a tuple with its row_hash.

    Raises:
        DecodingError: it is none of the stream.
    """
    shapes = _shapes(stream, len(row))
    count = len(stream.columns)
    for shape in shapes:
        values = shape.unpack(row)
        if shape.words(values) == shape.lengths and values[0] == count:
            found: Fields = shape.contents((*values, None))
            return found
    fields, end = split_fields(row)
    if len(fields) != count or end != len(row) or len(fields[-1] or b"") != HASH_BYTES:
        raise DecodingError(f"{len(fields)} fields of {end} bytes are no tuple of {stream.name}")
    if len(shapes) < _MOST_SHAPES:
        shapes.append(_Shape(tuple(fields)))
    return tuple(fields)


@lru_cache(4_096)
def _shapes(_stream: Stream, _size: int) -> list[_Shape]:
    return []


def _unpacked(code: str, values: Sequence[bytes]) -> Sequence[Any]:
    if any(len(value) != _NUMBER_BYTES for value in values):
        raise DecodingError("a number that has not 8 bytes")
    return struct.unpack(f">{len(values)}{code}", b"".join(values))


def _moments(values: Sequence[bytes]) -> Iterable[str]:
    return (f"{_second(number // 1_000_000)}.{number % 1_000_000:06d}Z" for number in _unpacked("q", values))


@lru_cache(4_096)
def _second(seconds: int) -> str:
    return (EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def _floats(values: Sequence[bytes]) -> Iterable[str]:
    return map(repr, _unpacked("d", values))


_RENDER: Final[dict[str, Callable[[Sequence[bytes]], Iterable[str]]]] = {
    "timestamptz": _moments,
    "int8": lambda values: map(str, _unpacked("q", values)),
    "float8": _floats,
    "text": lambda values: (csv_field(value.decode()) for value in values),
    "json": lambda values: (csv_field(value.decode()) for value in values),
    "bytea": lambda values: map(bytes.hex, values),
}
_REPEATED: Final = 4
"""A column whose values are fewer by this factor than its rows is rendered value by value."""


def _column(kind: str, values: Sequence[bytes | None]) -> Iterable[str]:
    distinct = set(values)
    if None not in distinct and len(distinct) * _REPEATED > len(values):
        return _RENDER[kind](cast("Sequence[bytes]", values))
    known = [value for value in distinct if value is not None]
    texts: dict[bytes | None, str] = dict(zip(known, _RENDER[kind](known), strict=True))
    return map((texts | {None: ""}).__getitem__, values)


def csv_lines(stream: Stream, rows: Sequence[Fields]) -> str:
    """Tuples as lines of CSV (RFC 4180): NULL is nothing, the empty text is quoted.

    Raises:
        DecodingError: a field is none of its column.
    """
    try:
        columns = [
            _column(column.type, values)
            for column, values in zip(stream.columns, zip(*rows, strict=True), strict=True)
        ]
        return "\r\n".join(map(",".join, zip(*columns, strict=True))) + "\r\n"
    except (ValueError, OverflowError, struct.error) as error:
        raise DecodingError(f"a value of {stream.name} that CSV can't say: {error}") from error


def _lines(stream: Stream, rows: Sequence[Fields]) -> bytes:
    try:
        return csv_lines(stream, rows).encode()
    except DecodingError:
        for fields in rows:
            try:
                csv_lines(stream, [fields])
            except DecodingError as error:
                chain, seq = (fields[_CHAIN] or b"").decode("utf-8", "replace"), _int8(fields[_SEQ] or b"")
                raise LedgerBroken(f"{stream.name} {chain} row {seq}: {error}") from error
        raise


def csv_field(value: Value) -> str:
    """A value: times in microseconds and Z, bytes in hex, the shortest digits that give the same float."""
    if value is None:
        return ""
    if isinstance(value, str):
        if not value or any(character in value for character in '",\r\n'):
            return '"' + value.replace('"', '""') + '"'
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"
    return value.hex() if isinstance(value, bytes) else repr(value)


def write_parquet(stream: Stream, table: Path, place: Path) -> None:
    """The same rows for reading, from the CSV file."""
    types = ", ".join(f"'{column.name}': '{_PARQUET[column.type]}'" for column in stream.columns)
    names = ", ".join(
        f'unhex("{column.name}") AS "{column.name}"' if column.type == "bytea" else f'"{column.name}"'
        for column in stream.columns
    )
    query = (
        f"SELECT {names} FROM read_csv(?, header = true, auto_detect = false, delim = ',', quote = '\"', "  # noqa: S608 - names of columns
        f"escape = '\"', nullstr = '', allow_quoted_nulls = false, parallel = false, new_line = '\\r\\n', "
        f"max_line_size = 100000000, buffer_size = 200000000, columns = {{{types}}})"
    )
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET threads = 1")
        connection.execute("SET preserve_insertion_order = true")
        connection.sql(query, params=[str(table)]).write_parquet(str(place), compression="zstd")
