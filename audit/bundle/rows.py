"""The rows of a bundle: as they were hashed (binary COPY), and as people read them (CSV, Parquet).

Rows are streamed and every hash is recomputed on the way, from the opening statement to the closing one: rows
that are not those that were sealed make no bundle.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import duckdb

from audit.bundle.errors import LedgerBroken
from audit.bundle.selection import ChainRows
from ledger.chain import genesis, link
from ledger.errors import DecodingError
from ledger.rows import COPY_HEADER, COPY_TRAILER, HASH_FIELD_LENGTH, Value, decode_image
from ledger.streams import Stream
from store.reader import LedgerReader, Place

MOST_BLOCK_ROWS: Final = 4_096
MOST_BLOCK_BYTES: Final = 8 << 20
"""A block is what a verifier takes at a time.  Our choice."""
Row = tuple[bytes, dict[str, Value]]
"""A tuple as it was hashed, row_hash last, and its values without it."""
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
            lines = "".join(csv_line(row, values) for row, values in block).encode()
            copy.write(b"".join(rows))
            lengths.write(struct.pack(f">{len(rows)}I", *map(len, rows)))
            table.write(lines)
            blocks.write(f"{len(block)},{len(lines)}\r\n".encode())
            written.rows += len(block)
            written.senders |= {_sender(values) for _, values in block}
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
        image = row[:-_HASH_FIELD]
        before = link(before, image)
        try:
            values = decode_image(stream, image)
        except DecodingError as error:
            raise LedgerBroken(f"{where} {seq}: {error}") from error
        if values["seq"] != seq:
            raise LedgerBroken(f"{where} {seq} was sealed, and row {values['seq']!r} stands in its place")
        if row[-_HASH_FIELD:] != HASH_FIELD_LENGTH + before:
            raise LedgerBroken(f"{where} {seq}: its bytes do not give its hash; `tally verify` says more")
        yield row, values
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


def _sender(values: dict[str, Value]) -> bytes:
    value = values["resource_digest"]
    assert isinstance(value, bytes), "the column is a bytea"
    return value


def csv_line(row: bytes, values: dict[str, Value]) -> str:
    """A row as a line of CSV (RFC 4180): NULL is nothing, the empty text is quoted."""
    return ",".join([*map(csv_field, values.values()), row[-32:].hex()]) + "\r\n"


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
