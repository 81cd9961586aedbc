"""Two implementations, one answer: every row's hash computed by PostgreSQL and by this process.

The SQL twin (``ledger.twin``) builds a row's image from its values with PostgreSQL's send functions; this
process hashes the binary COPY tuple.  That they agree on every row shows that what is hashed is what the
values say, and that neither implementation is the only one that can check the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Final

from audit.errors import AuditError
from audit.evidence import CHAIN_OFFSET, SeenRow, start_of
from audit.report import Json
from audit.retention.declared import read_retention
from audit.scope import Scope, stretches
from audit.walk import Stretch, seen_row
from ledger.chain import HASH_BYTES, link
from ledger.rows import HASH_FIELD_LENGTH
from ledger.streams import STREAMS, Stream, stream_named
from store.reader import LedgerReader, bytes_of
from store.retention import some_runs

_NAMED: Final = 100
_STRIDE: Final = 10_000
_TAIL: Final = len(HASH_FIELD_LENGTH) + HASH_BYTES


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row that the two compute differently; hashes in hexadecimal."""

    stream: str
    chain: str
    seq: int
    stored: str
    by_copy: str
    by_sql: str


@dataclass(frozen=True, slots=True)
class TwinReport:
    """How many rows both computed, by stream, and where they or the stored hash differ."""

    rows: tuple[tuple[str, int], ...]
    disagreements: tuple[Disagreement, ...]
    disagreeing: int

    @property
    def ok(self) -> bool:
        """Whether both agree on every row."""
        return self.disagreeing == 0

    def to_json(self) -> dict[str, Json]:
        """The report as JSON values."""
        return {
            "ok": self.ok,
            "rows": sum(count for _, count in self.rows),
            "streams": [{"stream": stream, "rows": count} for stream, count in self.rows],
            "disagreeing": self.disagreeing,
            "disagreements": [asdict(one) for one in self.disagreements],
        }


class _Comparison:
    """What was compared so far."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self._drops = read_retention(reader).counted
        self.named: list[Disagreement] = []
        self.disagreeing = 0

    def stretch(
        self, python: LedgerReader, twin: LedgerReader, stretch: Stretch, progress: Callable[[int], None]
    ) -> int:
        """Compare a stretch; returns its number of rows."""
        stream = STREAMS[stretch.stream]
        rows = 0
        name: str | None = None
        previous = place = b""
        pairs = zip(
            python.rows(stream, stretch.read_from, stretch.end),
            twin.twin_rows(stream, stretch.read_from, stretch.end),
            strict=True,
        )
        try:
            for row, (chain, seq, recomputed) in pairs:
                if chain != name:
                    name, previous = chain, start_of(stream.name, chain)
                    place = len(bytes_of(chain)).to_bytes(4, "big") + bytes_of(chain) + (8).to_bytes(4, "big")
                outside = chain == stretch.first.chain and seq < stretch.first.seq
                if row.startswith(place + seq.to_bytes(8, "big", signed=True), CHAIN_OFFSET):
                    image, row_hash = row[:-_TAIL], row[-HASH_BYTES:]
                else:
                    self._check_place(stream, seen_row(row), chain, seq)
                    image, row_hash = seen_row(row).image, seen_row(row).row_hash
                own = link(previous, image)
                previous = row_hash
                if outside:
                    continue
                rows += 1
                agreed = own == recomputed and (
                    own == row_hash or self._follows_dropped(stream, chain, seq, image, row_hash)
                )
                if not agreed:
                    hashes = row_hash.hex(), own.hex(), recomputed.hex()
                    self._note(Disagreement(stream.name, chain, seq, *hashes))
                if rows % _STRIDE == 0:
                    progress(_STRIDE)
        except ValueError as error:
            raise AuditError(f"{stream.name}: SQL and COPY do not give the same number of rows") from error
        progress(rows % _STRIDE)
        return rows

    def _follows_dropped(self, stream: Stream, chain: str, seq: int, image: bytes, row_hash: bytes) -> bool:
        """Whether the row builds on a dropped one; both computed it from the row before that."""
        return self._drops > 0 and any(
            run.last_seq == seq - 1 and link(run.last_hash, image) == row_hash
            for run in some_runs(self._reader, stream.name, chain, chain, self._drops)
        )

    @staticmethod
    def _check_place(stream: Stream, seen: SeenRow, chain: str, seq: int) -> None:
        if (chain, seq) != (seen.chain, seen.seq):
            raise AuditError(
                f"{stream.name}: SQL gives the rows in another order at {chain!r} {seq}; "
                "two have the same seq: verify names them"
            )

    def _note(self, found: Disagreement) -> None:
        self.disagreeing += 1
        if len(self.named) < _NAMED:
            self.named.append(found)


def verify_twin(
    url: str, streams: Sequence[str] | None = None, progress: Callable[[int, int], None] | None = None
) -> TwinReport:
    """Compute every row's hash in both ways and compare them with each other and with the stored one.

    Raises:
        ledger.errors.UnknownStream: a stream of that name does not exist.
        AuditError: the two do not read the same rows.
        store.errors.StoreError: the database can't be read.
    """
    chosen = tuple(STREAMS.values()) if streams is None else tuple(map(stream_named, dict.fromkeys(streams)))
    counts: dict[str, int] = {stream.name: 0 for stream in chosen}
    with ExitStack() as stack:
        python = stack.enter_context(LedgerReader(url))
        snapshot = python.export_snapshot()
        twin = stack.enter_context(LedgerReader(url, snapshot))
        side = stack.enter_context(LedgerReader(url, snapshot))
        comparison = _Comparison(side)
        parts = stretches(python, Scope(chosen), 1)
        total = sum(part.rows for part in parts)
        done = 0

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            if progress is not None:
                progress(done, max(total, done))

        for part in parts:
            counts[part.stream] += comparison.stretch(python, twin, part, advance)
    return TwinReport(tuple(counts.items()), tuple(comparison.named), comparison.disagreeing)
