"""What was sealed: allocating trees, reading which leaves are which rows, keeping checkpoints.

A tree is allocated in one transaction, size and root together, and only if it follows the last one.  So any
number of sealers can't make two trees of one size out of one database, whatever else goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from ledger.heads import Batch, ChainHead
from ledger.streams import Stream
from store.closing import Closing
from store.errors import StoreError
from store.queries import query
from store.reader import translated_reading

AUDITING: Final = "tally audit"
"""The name under which an audit's connections go: they are not to be told apart."""
_PAGE: Final = 10_000
_LOCK: Final = int.from_bytes(b"tallyseal"[1:], "big") >> 1
"""The advisory lock that a sealer holds: any number that nobody else takes."""


class NotNext(StoreError):
    """Another sealer has allocated this batch meanwhile, or the last one is not what it was."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A batch as it was allocated: the root of the tree that ends with it; its statement's digest."""

    batch: Batch
    root: bytes
    heads_digest: bytes


class Moved(NamedTuple):
    """A chain with rows that are not sealed: the seqs of its last and its last sealed row; its sites."""

    stream: str
    chain: str
    seq: int
    sealed_seq: int
    sites: tuple[str, ...]


class Range(NamedTuple):
    """Rows of a chain, both ends included."""

    chain: str
    first_seq: int
    last_seq: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.last_seq - self.first_seq + 1


class Leaves(NamedTuple):
    """The rows that were found of a range: ``hashes`` are all their hashes, one after the other."""

    first_seq: int
    last_seq: int
    rows: int
    hashes: bytes
    sites: tuple[str, ...]


class Seal(NamedTuple):
    """Rows of a chain and their leaves: leaf ``first_leaf + n`` is row ``first_seq + n``.

    ``row_hash`` is the last row's; ``sites`` are all that the chain has named so far.
    """

    batch: int
    stream: str
    chain: str
    first_seq: int
    last_seq: int
    first_leaf: int
    row_hash: bytes
    sites: tuple[str, ...]

    @property
    def head(self) -> ChainHead:
        """What the batch's statement says of the chain."""
        return ChainHead(self.stream, self.chain, self.last_seq, self.row_hash, self.sites)

    @property
    def range(self) -> Range:
        """Its rows."""
        return Range(self.chain, self.first_seq, self.last_seq)


class Published(NamedTuple):
    """A checkpoint as it was published."""

    size: int
    witnessed: bool
    published_at: datetime
    note: str
    timestamp_token: bytes | None


class SealStore(Closing):
    """One connection, each statement a transaction of its own but for ``allocate``.

    Raises (every method):
        StoreUnavailable: the database can't be reached, or the connection broke.
        StoreError: the database refuses.
    """

    def __init__(self, url: str, application: str = "tally sealer") -> None:
        with translated_reading():
            self._connection = psycopg.connect(url, autocommit=True, application_name=application)
            try:
                self._connection.execute(query("sealer_session"))
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """End the connection, and with it the lock."""
        self._connection.close()

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """For the other queries of this package."""
        return self._connection

    def hold_still(self) -> str:
        """From now on see one instant of the database, and write nothing; its name, for other readers."""
        with translated_reading():
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return str(self._rows("seals_snapshot")[0]["name"])

    def rows(self) -> int:
        """How many rows all chains have, by their heads."""
        return int(self._rows("sealer_rows")[0]["rows"])

    def lock(self) -> bool:
        """Become the one sealer of this database; False while another is."""
        return bool(self._rows("sealer_lock", {"key": _LOCK})[0]["pg_try_advisory_lock"])

    # --- what there is to seal ---

    def moved(self) -> list[Moved]:
        """The chains with rows that are not sealed."""
        return [
            Moved(row["stream"], row["chain"], row["seq"], row["sealed_seq"], tuple(row["sites"]))
            for row in self._rows("sealer_moved")
        ]

    def leaves(self, stream: Stream, ranges: Sequence[Range]) -> Iterator[Leaves]:
        """What is found of each range, in their order; nothing where there is no row at all."""
        names = {"stream": sql.Identifier(stream.name), "chain": sql.Identifier(stream.chain_column)}
        has_site = "site_id" in stream.column_names
        text = sql.SQL(query("sealer_leaves")).format(
            **names, site=sql.SQL("site_id" if has_site else "CAST(NULL AS text)")
        )
        values = {
            "chains": [one.chain for one in ranges],
            "firsts": [one.first_seq for one in ranges],
            "lasts": [one.last_seq for one in ranges],
        }
        with translated_reading():
            found = (
                self._connection.cursor(row_factory=dict_row, binary=True).execute(text, values).fetchall()
            )
        for row, asked in zip(found, ranges, strict=True):
            sites = {row["least_site"], row["greatest_site"]} - {None}
            if len(sites) > 1:
                more = sql.SQL(query("sealer_sites")).format(**names)
                given = {"chain": asked.chain, "first": asked.first_seq, "last": asked.last_seq}
                with translated_reading():
                    sites = {site for (site,) in self._connection.execute(more, given).fetchall()}
            yield Leaves(
                row["first_seq"] or 0,
                row["last_seq"] or 0,
                row["rows"],
                row["hashes"] or b"",
                tuple(sorted(sites)),
            )

    def allocate(self, sealed: Sealed, seals: Sequence[Seal]) -> None:
        """Make a batch the log's next tree, with its seals, or change nothing.

        Raises:
            NotNext: it does not follow the last batch.
        """
        batch = sealed.batch
        values = {
            "batch": batch.number,
            "origin": batch.origin,
            "first_leaf": batch.first_leaf,
            "leaves": batch.leaves,
            "root": sealed.root,
            "heads_digest": sealed.heads_digest,
            "sealed_at": batch.sealed_at,
        }
        try:
            with translated_reading(), self._connection.transaction():
                if self._connection.execute(query("sealer_allocate_batch"), values).fetchone() is None:
                    raise NotNext(
                        f"batch {batch.number} does not follow the last one: another sealer is at work"
                    )
                with self._connection.cursor().copy(query("sealer_copy_seals")) as copy:
                    for seal in seals:
                        copy.write_row((*seal[:-1], list(seal.sites)))
        except StoreError as error:
            if isinstance(error.__cause__, psycopg.errors.UniqueViolation):
                raise NotNext(f"batch {batch.number} was allocated by another sealer") from error
            raise

    # --- what was sealed ---

    def last(self) -> Sealed | None:
        """The last batch."""
        return self._batch()

    def of_batch(self, number: int) -> Sealed | None:
        """A batch by its number."""
        return self._batch(batch=number)

    def of_size(self, size: int) -> Sealed | None:
        """The batch that the tree of ``size`` leaves ends with; None if the log never had that size."""
        return self._batch(size=size)

    def _batch(self, batch: int | None = None, size: int | None = None) -> Sealed | None:
        rows = self._rows("sealer_batch", {"batch": batch, "size": size})
        return _sealed(rows[0]) if rows else None

    def batches(self) -> Iterator[Sealed]:
        """All batches in their order."""
        after = 0
        while rows := self._rows("sealer_batches", {"after": after, "most": _PAGE}):
            yield from map(_sealed, rows)
            after = rows[-1]["batch"]

    def seals(self, first_leaf: int, end_leaf: int) -> Iterator[Seal]:
        """The seals that begin in those leaves (``end_leaf`` excluded), in the order of the leaves."""
        with (
            translated_reading(),
            self._connection.transaction(),
            self._connection.cursor(name="seals") as cursor,
        ):
            cursor.itersize = 10_000
            yield from map(
                _seal,
                cursor.execute(query("sealer_seals"), {"first_leaf": first_leaf, "end_leaf": end_leaf}),
            )

    def seal_of(self, stream: str, chain: str, seq: int) -> Seal | None:
        """The seal that covers a row; None if it is not sealed."""
        values = {"stream": stream, "chain": chain, "seq": seq}
        with translated_reading():
            row = self._connection.execute(query("sealer_seal_of_row"), values).fetchone()
        return None if row is None else _seal(row)

    def seal_of_leaf(self, leaf: int) -> Seal | None:
        """The seal that covers a leaf; None if it is a statement's, or there is none."""
        with translated_reading():
            row = self._connection.execute(query("sealer_seal_of_leaf"), {"leaf": leaf}).fetchone()
        return None if row is None else _seal(row)

    def heads(self, batch: int) -> list[ChainHead]:
        """The heads that the statement of a batch names, in its order."""
        found = [
            ChainHead(row["stream"], row["chain"], row["seq"], row["row_hash"], tuple(row["sites"]))
            for row in self._rows("sealer_heads", {"batch": batch})
        ]
        return sorted(found, key=lambda head: head.place)

    # --- what was published ---

    def publish(self, size: int, note: str, *, witnessed: bool, timestamp_token: bytes | None = None) -> None:
        """Keep a published checkpoint; once for each size, and once more when it was witnessed."""
        values = {"size": size, "witnessed": witnessed, "note": note, "timestamp_token": timestamp_token}
        with translated_reading():
            self._connection.execute(query("sealer_publish"), values)

    def published(
        self, *, least_size: int = 0, witnessed: bool | None = None, most: int = 1
    ) -> list[Published]:
        """Published checkpoints, the largest first."""
        values = {"least_size": least_size, "witnessed": witnessed, "most": most}
        return [
            Published(
                row["size"],
                row["witnessed"],
                row["published_at"].astimezone(UTC),
                row["note"],
                row["timestamp_token"],
            )
            for row in self._rows("sealer_checkpoints", values)
        ]

    def _rows(self, name: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        with translated_reading(), self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query(name), values).fetchall()


def _sealed(row: dict[str, Any]) -> Sealed:
    batch = Batch(
        row["origin"], row["batch"], row["first_leaf"], row["leaves"], row["sealed_at"].astimezone(UTC)
    )
    return Sealed(batch, row["root"], row["heads_digest"])


def _seal(row: Sequence[Any]) -> Seal:
    return Seal._make((*row[:-1], tuple(row[-1])))
