"""Reading the ledger for verification: one snapshot, rows exactly as PostgreSQL sends them.

Every reader that opens the same exported snapshot sees the same instant of the database, heads and rows
alike, while collectors go on writing.  Rows come as their binary COPY tuples, one message each, undecoded:
the hashed bytes themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import pq, sql
from psycopg.rows import class_row

from ledger.rows import COPY_HEADER, HASH_FIELD_LENGTH, split_fields
from ledger.streams import Stream
from ledger.twin import recomputed_sql
from store.closing import Closing
from store.errors import StoreError, StoreUnavailable
from store.queries import query

NO_SEQ: Final = -1
"""What a head says whose seq is NULL: no head of a chain says that."""
LOWEST_SEQ: Final = -(2**63)
"""The lowest bigint: the place before every row of a chain, also before a forged one."""


def text_of(name: bytes) -> str:
    """A text as it is stored; bytes that are no UTF-8, which only tampering makes, become lone surrogates."""
    return name.decode("utf-8", "surrogateescape")


def bytes_of(name: str) -> bytes:
    """The stored bytes of what ``text_of`` gave, in whose order chains come."""
    return name.encode("utf-8", "surrogateescape")


def nameable(name: str) -> bool:
    """Whether a query can ask for that text: PostgreSQL takes none that is not UTF-8."""
    return not any("\udc80" <= character <= "\udcff" for character in name)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the order of a stream's rows: chains by their UTF-8 bytes, then seq."""

    chain: str
    seq: int


START: Final = Place("", LOWEST_SEQ)
"""The place before every row of a stream."""


def after_chain(chain: str) -> Place:
    """The place after every row of ``chain``: no text lies between it and itself followed by U+0001."""
    return Place(chain + "\x01", LOWEST_SEQ)


class StoredHead(NamedTuple):
    """A row of chain_heads, as it stands; a NULL reads as ``NO_SEQ``, or as a hash of no bytes."""

    chain: str
    seq: int
    row_hash: bytes


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view in the catalogue.

    ``kind`` is pg_class.relkind.  ``rules``: how many there are (a view has one).  ``columns`` and
    ``triggers`` are a line each: name and type; name, tgtype, function, digest of the function's text.
    ``definition``: a view's query.
    """

    name: str
    kind: str
    row_security: bool
    rules: int
    hypertable: bool
    columns: list[str]
    triggers: list[str]
    definition: str | None


class Period(NamedTuple):
    """The part of a chain between its first and its last row in a period of event time."""

    chain: str
    first_seq: int
    last_seq: int


@contextmanager
def translated_reading() -> Iterator[None]:
    """Translate psycopg's errors."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreError(f"{_first_line(error)}; connect as a role that may read the ledger") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise StoreError(f"{_first_line(error)}; run `tally migrate` if it is a new database") from error
    except psycopg.OperationalError as error:
        raise StoreUnavailable(_first_line(error)) from error
    except psycopg.Error as error:
        raise StoreError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class LedgerReader(Closing):
    """A connection that reads one snapshot of the ledger, in a transaction that can't write.

    Raises (every method):
        StoreUnavailable: the database can't be reached, or the connection broke.
        StoreError: the database refuses: no ledger there, no right to read it, the snapshot is gone.
    """

    def __init__(self, url: str, snapshot: str | None = None) -> None:
        """Open a new snapshot, or the one that another reader exported and still holds."""
        with translated_reading():
            self._connection = psycopg.connect(url, autocommit=True, application_name="tally audit")
            try:
                self._connection.execute(query("reader_session"))
                self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                if snapshot is not None:
                    self._connection.execute(
                        sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot))
                    )
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """End the transaction and the connection."""
        self._connection.close()

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """For the other queries of this package."""
        return self._connection

    def export_snapshot(self) -> str:
        """The snapshot's name, for other readers; good as long as this reader is open."""
        return str(self._one(sql.SQL("SELECT pg_export_snapshot() AS name"))[0])

    def snapshot_time(self) -> datetime:
        """The database's clock when the snapshot was taken."""
        moment = self._one(sql.SQL("SELECT transaction_timestamp() AS moment"))[0]
        assert isinstance(moment, datetime), "the column is a timestamptz"
        return moment.astimezone(UTC)

    def rows(self, stream: Stream, first: Place, end: Place | None) -> Iterator[bytes]:
        """The binary COPY tuples, field count to row_hash, from ``first`` up to but not ``end``.

        They come in the order of chain and seq; rows of equal chain and seq in any order.
        """
        until = end or START
        statement = sql.SQL(query("reader_rows")).format(
            **_names(stream),
            from_chain=sql.Literal(first.chain),
            from_seq=sql.Literal(str(first.seq)),
            to_chain=sql.Literal(until.chain),
            to_seq=sql.Literal(str(until.seq)),
            endless=sql.Literal(end is None),
        )
        return self.copy_tuples(statement)

    def twin_rows(self, stream: Stream, first: Place, end: Place | None) -> Iterator[tuple[str, int, bytes]]:
        """Chain, seq and the hash that PostgreSQL computes, for the rows that ``rows`` gives.

        The first row's predecessor is not among them: its hash is computed as if it started its chain.
        """
        until = end or START
        within = sql.SQL(
            "(r.{chain}, r.seq) >= ({from_chain}, {from_seq}::bigint) "
            "AND ({endless} OR (r.{chain}, r.seq) < ({to_chain}, {to_seq}::bigint))"
        ).format(
            chain=sql.Identifier(stream.chain_column),
            from_chain=sql.Literal(first.chain),
            from_seq=sql.Literal(str(first.seq)),
            to_chain=sql.Literal(until.chain),
            to_seq=sql.Literal(str(until.seq)),
            endless=sql.Literal(end is None),
        )
        statement = sql.SQL(f"COPY ({recomputed_sql(stream, '{within}')}) TO STDOUT (FORMAT binary)").format(
            within=within
        )
        # Chain and seq; two hashes, as a rule of 32 bytes each, with their length words.
        for row in self.copy_tuples(statement):
            if row[-72:-68] == row[-36:-32] == HASH_FIELD_LENGTH:
                yield text_of(row[6:-84]), int.from_bytes(row[-80:-72], "big", signed=True), row[-32:]
                continue
            (chain, seq, _, recomputed), _ = split_fields(row)
            yield text_of(chain or b""), int.from_bytes(seq or b"", "big", signed=True), recomputed or b""

    def copy_tuples(self, statement: sql.Composed) -> Iterator[bytes]:
        """The tuples of a ``COPY ... TO STDOUT (FORMAT binary)``, one at a time.

        The server sends each row as one message, so that libpq hands them out without a search for where
        the next one starts.  This goes below psycopg's cursor, which costs twice the time a row.
        """
        with translated_reading():
            connection = self._connection.pgconn
            result = connection.exec_(statement.as_bytes(self._connection))
            if result.status != pq.ExecStatus.COPY_OUT:
                raise _error_of(result)
            finished = False
            try:
                take = connection.get_copy_data
                size, data = take(0)
                # The file's header comes in one message with the first row, or with the trailer.
                first = bytes(data)
                start = len(COPY_HEADER) + int.from_bytes(first[15:19], "big")
                if size - start > 2:
                    yield first[start:]
                    size, data = take(0)
                    while size > 2:  # the trailer has two bytes
                        yield bytes(data)
                        size, data = take(0)
                while size > 0:
                    size, data = take(0)
                finished = True
            finally:
                if not finished and connection.status == pq.ConnStatus.OK:
                    connection.get_cancel().cancel()
                    while take(0)[0] > 0:
                        pass
                results = self._results()
            for result in results:
                if result.status != pq.ExecStatus.COMMAND_OK:
                    raise _error_of(result)

    def _results(self) -> list[pq.abc.PGresult]:
        """What is left to know of a statement; the connection takes a new one afterwards."""
        return list(iter(self._connection.pgconn.get_result, None))

    def heads(self, stream: str, first: str = "", last: str | None = None) -> Iterator[StoredHead]:
        """The heads of a stream's chains from ``first`` to ``last`` (None: the end), in order of chain."""
        values = {"stream": stream, "first": first, "last": last or "", "endless": last is None}
        with translated_reading(), self._connection.cursor(name="heads", binary=True) as cursor:
            cursor.itersize = 5_000
            for chain, seq, row_hash in cursor.execute(query("reader_heads"), values):
                yield StoredHead(text_of(chain), seq, row_hash)

    def foreign_heads(self, streams: Sequence[str]) -> Iterator[tuple[str | None, str | None, int]]:
        """Stream, chain and seq of the heads whose stream is none of ``streams``, or whose chain is NULL."""
        with translated_reading(), self._connection.cursor(name="foreign_heads", binary=True) as cursor:
            for stream, chain, seq in cursor.execute(
                query("reader_foreign_heads"), {"streams": list(streams)}
            ):
                yield _text_or_none(stream), _text_or_none(chain), seq

    def relations(self, names: Sequence[str]) -> dict[str, Relation]:
        """What the catalogue says of these tables and views; those that are not there are left out."""
        with translated_reading(), self._connection.cursor(row_factory=class_row(Relation)) as cursor:
            cursor.execute(query("reader_relations"), {"names": list(names)})
            return {relation.name: relation for relation in cursor}

    def odd_chunks(self, tables: Sequence[str]) -> list[tuple[str, str]]:
        """Table and chunk, for the chunks of these tables that are not as the ledger has them."""
        with translated_reading():
            rows = self._connection.execute(query("reader_odd_chunks"), {"tables": list(tables)}).fetchall()
        return [(str(table), str(chunk)) for table, chunk in rows]

    def last_seq(self, stream: Stream, chain: str) -> int | None:
        """The highest seq among the rows of a chain, None if it has none."""
        statement = sql.SQL(query("reader_last_seq")).format(**_names(stream))
        with translated_reading():
            row = self._connection.execute(statement, {"of": chain}).fetchone()
        return None if row is None else int(row[0])

    def period(
        self, stream: Stream, since: datetime | None, until: datetime | None, chain: str | None = None
    ) -> Iterator[Period]:
        """Which part of each chain (or of ``chain`` alone) spans the period, ``until`` excluded.

        None is before, or after, all time.
        """
        statement = sql.SQL(query("reader_period")).format(**_names(stream))
        values = {
            "since": since.isoformat() if since else "-infinity",
            "until": until.isoformat() if until else "infinity",
            "of": chain,
        }
        with translated_reading(), self._connection.cursor(name="period", binary=True) as cursor:
            for name, first_seq, last_seq in cursor.execute(statement, values):
                yield Period(text_of(name), first_seq, last_seq)

    def row_count(self, stream: Stream) -> int:
        """The number of rows that lie in the stream's chunks, whatever its indexes say."""
        statement = sql.SQL(query("reader_row_count")).format(**_names(stream))
        settings = ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan")
        with translated_reading():
            for setting in settings:
                self._connection.execute(f"SET LOCAL {setting} = off")
            (count,) = self._one(statement)
            for setting in settings:
                self._connection.execute(f"SET LOCAL {setting} = on")
        assert isinstance(count, int), "the column is a bigint"
        return count

    def resources(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        """Digest and content of every description of a sender; NULL is None."""
        with translated_reading(), self._connection.cursor(name="resources", binary=True) as cursor:
            cursor.itersize = 500
            yield from cursor.execute(query("reader_resources"))

    def some_digests(self, most: int) -> set[bytes]:
        """At most so many names of descriptions that are kept."""
        with translated_reading(), self._connection.cursor(binary=True) as cursor:
            return {row[0] for row in cursor.execute(query("reader_some_digests"), {"most": most})}

    def known_digests(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of the names whose description is kept."""
        with translated_reading(), self._connection.cursor(binary=True) as cursor:
            return {row[0] for row in cursor.execute(query("reader_digests"), {"digests": list(digests)})}

    def _one(self, statement: sql.SQL | sql.Composed) -> tuple[object, ...]:
        with translated_reading():
            row = self._connection.execute(statement).fetchone()
        assert row is not None, "the query returns a row"
        return tuple(row)


def _text_or_none(name: bytes | None) -> str | None:
    return None if name is None else text_of(name)


def _names(stream: Stream) -> dict[str, sql.Composable]:
    return {
        "stream": sql.Identifier(stream.name),
        "chain": sql.Identifier(stream.chain_column),
        "columns": sql.SQL(", ").join(sql.Identifier(name) for name in stream.column_names),
    }


def _error_of(result: pq.abc.PGresult) -> psycopg.Error:
    return psycopg.errors.error_from_result(result, encoding="utf-8")
