"""Rows that were dropped with their chunks: reading which, and dropping.

Dropping needs an owner's or an administrator's connection.  It is one transaction: which rows go, and that
they go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from ledger.streams import Stream
from store.closing import Closing
from store.errors import StoreError
from store.queries import query
from store.reader import LedgerReader, text_of, translated_reading
from store.seals import SealStore

Snapshot = LedgerReader | SealStore
"""What sees one instant of the database; a ``SealStore`` only after ``hold_still``."""


class DroppedRun(NamedTuple):
    """Rows of a chain that were dropped, by the drop of that number; ``last_hash`` is row ``last_seq``'s."""

    drop_number: int
    stream: str
    chain: str
    first_seq: int
    last_seq: int
    last_hash: bytes

    @property
    def rows(self) -> int:
        """How many."""
        return max(self.last_seq - self.first_seq + 1, 0)


class ChunkChanged(StoreError):
    """A chunk has other rows than it was planned with, or is gone: plan again."""


class Chunk(NamedTuple):
    """A chunk of a stream: its table, and its event times, the end excluded."""

    stream: str
    schema: str
    name: str
    start: datetime
    end: datetime

    @property
    def title(self) -> str:
        """The stream and the interval (ISO 8601), as events name it."""
        return f"{self.stream} {_moment(self.start)}/{_moment(self.end)}"


class ChunkRun(NamedTuple):
    """Rows of a chain in one chunk, their seqs without a gap; ``rows`` are as many if all is well."""

    chain: str
    first_seq: int
    last_seq: int
    rows: int
    last_hash: bytes

    @property
    def sound(self) -> bool:
        """Whether each of the rows is there once."""
        return (
            self.first_seq >= 1
            and self.rows == self.last_seq - self.first_seq + 1
            and len(self.last_hash) == 32
        )


class SealedPart(NamedTuple):
    """How many of a run's rows are sealed, and the leaf after the last of them (0 for none)."""

    rows: int
    end_leaf: int


class RetentionStore(Closing):
    """One connection; each statement a transaction of its own but for ``drop``.

    Raises (every method):
        StoreUnavailable: the database can't be reached, or the connection broke.
        StoreError: the database refuses: no right to drop, or nothing to drop from.
    """

    def __init__(self, url: str) -> None:
        with translated_reading():
            self._connection = psycopg.connect(url, autocommit=True, application_name="tally retention")
            try:
                self._connection.execute(query("sealer_session"))
                self._connection.execute("SET statement_timeout = 0")
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def chunks(self, stream: str) -> list[Chunk]:
        """The chunks of a stream, the oldest first."""
        return [
            Chunk(
                stream,
                row["schema_name"],
                row["name"],
                row["range_start"].astimezone(UTC),
                row["range_end"].astimezone(UTC),
            )
            for row in self._rows(sql.SQL(query("retention_chunks")), {"stream": stream})
        ]

    def runs(self, stream: Stream, chunk: Chunk) -> list[ChunkRun]:
        """The rows of a chunk; a NULL reads as seq 0 or as a hash of no bytes."""
        statement = sql.SQL(query("retention_chunk_rows")).format(
            chunk=_table(chunk), chain=sql.Identifier(stream.chain_column)
        )
        return [
            ChunkRun(
                text_of(row["chain"] or b""),
                row["first_seq"] or 0,
                row["last_seq"] or 0,
                row["rows"],
                row["last_hash"] or b"",
            )
            for row in self._rows(statement, {}, binary=True)
        ]

    def sealed_part(self, stream: str, run: ChunkRun) -> SealedPart:
        """How far these rows are sealed."""
        values = {"stream": stream, "chain": run.chain, "first": run.first_seq, "last": run.last_seq}
        (row,) = self._rows(sql.SQL(query("retention_seals")), values)
        return SealedPart(row["rows"], row["end_leaf"] or 0)

    def drop(
        self,
        chunks: Sequence[tuple[Stream, Chunk, Sequence[ChunkRun]]],
        runs: Sequence[DroppedRun],
        declared: Callable[[], bool],
    ) -> None:
        """Keep ``runs`` and drop ``chunks``, both or neither.

        ``declared`` is asked, on another connection, when nobody can write to the chunks any more, whether
        the ledger says what is about to happen.  A crash within leaves everything as it was.

        Raises:
            ChunkChanged: a chunk has other rows by now, or another table would be dropped, or it is not
            declared.
        """
        with translated_reading(), self._connection.transaction():
            for stream, chunk, expected in chunks:
                self._connection.execute(sql.SQL(query("retention_lock")).format(chunk=_table(chunk)))
                if self.runs(stream, chunk) != list(expected):
                    raise ChunkChanged(
                        f"{chunk.title} has other rows than it was planned with: nothing was dropped"
                    )
            if not declared():
                raise ChunkChanged(
                    "the event that declares the drop is not in this ledger: nothing was dropped. Does the "
                    "collector "
                    "write to another database?"
                )
            with self._connection.cursor().copy(query("retention_keep_runs")) as copy:
                for run in runs:
                    copy.write_row(run)
            for _, chunk, _ in chunks:
                values = {"stream": chunk.stream, "range_start": chunk.start, "range_end": chunk.end}
                gone = [row["chunk"] for row in self._rows(sql.SQL(query("retention_drop_chunk")), values)]
                if gone != [f"{chunk.schema}.{chunk.name}"]:
                    raise ChunkChanged(
                        f"dropping {chunk.title} would drop {gone}, expected {chunk.schema}.{chunk.name} "
                        "alone: "
                        "nothing was dropped"
                    )

    def _rows(
        self, statement: sql.SQL | sql.Composed, values: dict[str, Any], *, binary: bool = False
    ) -> list[dict[str, Any]]:
        with translated_reading(), self._connection.cursor(row_factory=dict_row, binary=binary) as cursor:
            return cursor.execute(statement, values).fetchall()


class RetentionEvent(NamedTuple):
    """An event that declares a drop: its seq in its chain, when, and its attributes' text."""

    seq: int
    event_time: datetime
    attributes: str


def all_runs(source: Snapshot) -> Iterator[DroppedRun]:
    """All runs, in the order in which their digest is made; none in a database of an earlier revision.

    Raises (this and the next two):
        StoreUnavailable: the database can't be reached, or the connection broke.
        StoreError: the database refuses.
    """
    with translated_reading():
        if source.connection.execute(query("retention_kept")).fetchone() != (True,):
            return
    with translated_reading(), source.connection.cursor(name="all_runs", binary=True) as cursor:
        for row in cursor.execute(query("retention_all_runs")):
            yield _run(row)


def some_runs(source: Snapshot, stream: str, first: str, last: str | None, most: int) -> Iterator[DroppedRun]:
    """The runs of the chains from ``first`` to ``last`` (None: all that follow), of drops up to ``most``."""
    values = {"stream": stream, "first": first, "last": last or "", "endless": last is None, "most": most}
    with translated_reading(), source.connection.cursor(name="some_runs", binary=True) as cursor:
        for row in cursor.execute(query("retention_runs"), values):
            yield _run(row)


def retention_events(source: Snapshot, chain: str, event_name: str) -> list[RetentionEvent]:
    """The events of that name, in the order of their chain."""
    values = {"chain": chain, "event_name": event_name}
    with translated_reading(), source.connection.cursor() as cursor:
        found = cursor.execute(query("retention_events"), values).fetchall()
    return [RetentionEvent(seq, moment.astimezone(UTC), attributes) for seq, moment, attributes in found]


def _run(row: Sequence[Any]) -> DroppedRun:
    drop_number, stream, chain, first_seq, last_seq, last_hash = row
    return DroppedRun(
        drop_number or 0,
        text_of(stream or b""),
        text_of(chain or b""),
        first_seq or 0,
        last_seq or 0,
        last_hash or b"",
    )


def _table(chunk: Chunk) -> sql.Identifier:
    return sql.Identifier(chunk.schema, chunk.name)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
