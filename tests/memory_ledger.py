"""A stream in memory, as tuples and heads, to tamper with and to walk along without a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from audit.breaks import BreakKind
from audit.findings import Collector, Named, Verdict
from audit.scope import cut
from audit.walk import Stretch, Walk, seen_row
from ledger.chain import genesis, link
from ledger.rows import HASH_FIELD_LENGTH, encode_row
from ledger.streams import STREAMS
from store.reader import START, Place, StoredHead
from tests.ledger_writer import SENDER_DIGEST, sample

STREAM = STREAMS["reviews"]
Place_ = tuple[BreakKind, str, int | None, int | None]


def tuple_of(image: bytes, row_hash: bytes) -> bytes:
    """A row as it is on the wire."""
    return image + HASH_FIELD_LENGTH + row_hash


class OneSender:
    """The descriptions that are kept: that of ``SENDER`` alone."""

    def has(self, digest: bytes) -> bool:
        """Whether it is that one."""
        return digest == SENDER_DIGEST


@dataclass
class MemoryLedger:
    """Rows (as tuples, in any order) and heads of one stream."""

    rows: list[bytes] = field(default_factory=list)
    heads: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def fill(self, chain: str, count: int) -> None:
        """Append sample rows to a chain."""
        for _ in range(count):
            seq, previous = self.heads.get(chain, (0, genesis(STREAM.name, chain)))
            image = encode_row(STREAM, sample(STREAM, chain, seq + 1)).image(seq + 1)
            row_hash = link(previous, image)
            self.rows.append(tuple_of(image, row_hash))
            self.heads[chain] = seq + 1, row_hash

    def place(self, chain: str, seq: int) -> int:
        """The index of a row."""
        return next(
            index
            for index, row in enumerate(self.rows)
            if (seen_row(row).chain, seen_row(row).seq) == (chain, seq)
        )

    def _between(self, first: Place, end: Place | None) -> Iterator[bytes]:
        rows = sorted(self.rows, key=_where)
        return iter([row for row in rows if first <= _where(row) and (end is None or _where(row) < end)])

    def whole(self) -> list[Stretch]:
        """All of it in one stretch."""
        return [Stretch(STREAM.name, START, None, len(self.rows))]

    def cuts(self, target: int) -> list[Stretch]:
        """All of it in stretches of about so many rows."""
        lengths = [(chain, max(seq, 0)) for chain, (seq, _) in sorted(self.heads.items())]
        return list(cut(STREAM.name, START, None, lengths, target))

    def verify(self, stretches: Sequence[Stretch]) -> Named:
        """Walk the stretches, in the order given, and conclude."""
        verdict = Verdict([STREAM])
        for stretch in stretches:
            collector = Collector(STREAM)
            heads = self._heads(stretch)
            walk = Walk(STREAM, stretch, heads, OneSender(), collector.note, lambda _rows: None)
            walk.run(self._between(stretch.read_from, stretch.read_to))
            verdict.add(collector.findings())
        return verdict.conclude()

    def _heads(self, stretch: Stretch) -> Iterator[StoredHead]:
        last = stretch.end
        for chain, (seq, row_hash) in sorted(self.heads.items()):
            inside = last is None or chain < last.chain or (chain == last.chain and stretch.ends_inside)
            if chain >= stretch.first.chain and inside:
                yield StoredHead(chain, seq, row_hash)


def _where(row: bytes) -> Place:
    seen = seen_row(row)
    return Place(seen.chain, seen.seq)


def places(named: Named) -> set[Place_]:
    """Kind, chain and rows of each break."""
    return {(one.kind, one.chain, one.seq, one.last_seq) for one in named.breaks}


def endless(rows: Iterable[bytes]) -> Iterator[bytes]:
    """Rows that are made while they are walked, so that only the walk's own memory counts."""
    yield from rows
