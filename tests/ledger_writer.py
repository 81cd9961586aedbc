"""Writes rows into a ledger as a collector does: encoded, chained, by binary COPY, heads moved in the same
transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg

from ledger.canonical import canonical_json, content_digest
from ledger.chain import genesis, link
from ledger.rows import COPY_HEADER, COPY_TRAILER, HASH_FIELD_LENGTH, Value, encode_row
from ledger.streams import STREAMS, Column, Stream

SENDER: Final = canonical_json({"resource": {"attributes": {"service.name": "recycling-machine"}}})
SENDER_DIGEST: Final = content_digest(SENDER)
BEGINNING: Final = datetime(2026, 3, 1, tzinfo=UTC)


def sample(stream: Stream, chain: str, number: int) -> dict[str, Value]:
    """Plausible values of a row, others for every number; every column is set, times are a minute apart."""
    moment = BEGINNING + timedelta(minutes=number)
    values: dict[str, Value] = {
        "event_time": moment,
        "received_at": moment + timedelta(milliseconds=250),
        stream.chain_column: chain,
        "resource_digest": SENDER_DIGEST,
        "attributes": canonical_json({"number": number, "hw.id": "fan-1"}).decode(),
    }
    for column in stream.hashed_columns:
        if column.name != "seq":
            values.setdefault(column.name, _sample_value(column, number, moment))
    return values


def _sample_value(column: Column, number: int, moment: datetime) -> Value:
    match column.type:
        case "timestamptz":
            return moment - timedelta(hours=1)
        case "int8":
            return 1_000 + number
        case "float8":
            return 20.5 + number / 8
        case _:
            return f"{column.name} {number}"


class LedgerWriter:
    """The only writer of a test's ledger: it remembers the heads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._heads: dict[tuple[str, str], tuple[int, bytes]] = {}

    def fill(self, stream: str, chain: str, count: int, first: int = 1) -> None:
        """Append ``count`` sample rows, numbered from ``first``."""
        definition = STREAMS[stream]
        self.append(stream, (sample(definition, chain, first + index) for index in range(count)))

    def append(self, stream: str, rows: Iterable[Mapping[str, Value]]) -> None:
        """Append rows of one stream, of any chains, in one transaction."""
        definition = STREAMS[stream]
        moved: dict[str, tuple[int, bytes]] = {}
        parts = [COPY_HEADER]
        for values in rows:
            row = encode_row(definition, values)
            seq, previous = moved.get(row.chain) or self.head(stream, row.chain)
            image = row.image(seq + 1)
            row_hash = link(previous, image)
            moved[row.chain] = seq + 1, row_hash
            parts += [image, HASH_FIELD_LENGTH, row_hash]
        with psycopg.connect(self._url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO resources VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (SENDER_DIGEST, SENDER.decode()),
            )
            with cursor.copy(f"COPY {stream} FROM STDIN (FORMAT binary)") as copy:
                copy.write(b"".join([*parts, COPY_TRAILER]))
            for chain, (seq, row_hash) in moved.items():
                cursor.execute(
                    "INSERT INTO chain_heads VALUES (%s, %s, %s, %s) "
                    "ON CONFLICT (stream, chain) DO UPDATE "
                    "SET seq = excluded.seq, row_hash = excluded.row_hash",
                    (stream, chain, seq, row_hash),
                )
        self._heads.update({(stream, chain): head for chain, head in moved.items()})

    def head(self, stream: str, chain: str) -> tuple[int, bytes]:
        """The seq and hash of a chain's last row."""
        return self._heads.get((stream, chain), (0, genesis(stream, chain)))
