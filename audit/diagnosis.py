"""From evidence to breaks: what happened to the rows that did not fit.

Several pieces of evidence can have one cause.  Two exchanged rows leave four hashes that do not fit; a row
whose seq was changed leaves a gap and an extra row; a changed row hash leaves two mismatches.  The rules,
in their order:

1. A row hash was altered: the row's values give another hash, and the next row (or the head) builds on that
   one.
2. A row stands in the wrong place: put where another row is missing or does not fit, with that place's
   chain and seq, its hash fits. A SHA-256 that fits is proof, so this needs no guessing.
3. A run of rows was renumbered: each fits after its neighbour with another seq, all by the same distance.
4. What is left of a mismatch is an altered value, of a gap missing rows, of an extra row an inserted one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from audit.breaks import Break, BreakKind
from audit.evidence import (
    Beyond,
    Evidence,
    Extra,
    Gap,
    HeadAlone,
    HeadMissing,
    HeadWrong,
    Mismatch,
    SeenRow,
    Undescribed,
    where,
)
from ledger.chain import link
from ledger.errors import DecodingError
from ledger.rows import decode_image
from ledger.streams import Stream
from store.reader import NO_SEQ

POOL: Final = 400
"""Rows that are tried in each other's places; more would cost minutes and are reported as they stand."""
_DISTANCE: Final = 64
"""How far a run of rows may have been renumbered to be recognised."""

Spot = tuple[str, int]
"""A chain and a seq in it."""


def diagnose(stream: Stream, evidence: Iterable[Evidence], pool: int = POOL) -> list[Break]:
    """The breaks that explain the evidence, in the order of chain and seq.

    ``pool``: how many rows are tried in each other's places.
    """
    pieces = _joined(sorted(evidence, key=where))
    breaks = _Diagnosis(stream, pieces, pool).breaks()
    breaks.sort(key=lambda found: (found.chain, found.kind, found.seq or 0))
    return sorted(_runs(breaks), key=lambda found: (found.chain, found.seq or 0))


def event_time(stream: Stream, image: bytes) -> datetime | None:
    """A row's event_time; None if the image can't be decoded."""
    try:
        moment = decode_image(stream, image)["event_time"]
    except (DecodingError, UnicodeDecodeError):  # a text that is no UTF-8 is no fault of the reader
        return None
    return moment if isinstance(moment, datetime) else None


def _joined(pieces: Sequence[Evidence]) -> list[Evidence]:
    """Gaps that two walks saw from both sides are one gap."""
    joined: list[Evidence] = []
    last: Gap | None = None
    for piece in pieces:
        if isinstance(piece, Gap):
            if last is not None and last.chain == piece.chain and piece.first <= last.last + 1:
                last.last = max(last.last, piece.last)
                last.after = piece.after or last.after
                last.head_hash = piece.head_hash if last.head_hash is None else last.head_hash
                continue
            last = replace(piece)
            joined.append(last)
        else:
            joined.append(piece)
    return joined


def _runs(breaks: Sequence[Break]) -> list[Break]:
    """Neighbouring rows of which exactly the same is said become one break."""
    merged: list[Break] = []
    for found in breaks:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.seq is not None
            and found.seq is not None
            and (last.kind, last.chain, last.detail) == (found.kind, found.chain, found.detail)
            and last.last_seq == found.seq - 1
            and found.kind is BreakKind.ORDER_CHANGED
        ):
            merged[-1] = replace(last, last_seq=found.last_seq)
        else:
            merged.append(found)
    return merged


@dataclass(slots=True)
class _Diagnosis:
    stream: Stream
    pieces: list[Evidence]
    most: int
    misfits: dict[Spot, Mismatch] = field(init=False)
    pool: list[SeenRow] = field(init=False)
    hashes: dict[Spot, bytes] = field(default_factory=dict)
    """The hash that belongs at a spot, where it is known to be another than the one that stands there."""
    home: dict[int, Spot] = field(default_factory=dict)
    """Where a row of the pool (by identity) belongs, if not where it stands."""
    filled: dict[Spot, SeenRow] = field(default_factory=dict)
    hash_altered: set[Spot] = field(default_factory=set)
    clean: set[Spot] = field(default_factory=set)
    shifted: dict[Spot, int] = field(default_factory=dict)
    moved_by_runs: list[Break] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.misfits = {where(piece): piece for piece in self.pieces if isinstance(piece, Mismatch)}
        rows = [piece.row for piece in self.pieces if isinstance(piece, Mismatch | Extra)]
        self.pool = rows[: self.most]

    def breaks(self) -> list[Break]:
        for piece in tuple(self.pieces):
            match piece:
                case Mismatch():
                    self._place_misfit(piece)
                case Gap():
                    self._fill_gap(piece)
        self._find_shifts()
        renamed = self._renamed_heads()
        found = [found for piece in self.pieces if id(piece) not in renamed for found in self._explain(piece)]
        found += [head for head in renamed.values() if head is not None]
        return found + self.moved_by_runs

    # Rules 1 and 2.

    def _place_misfit(self, piece: Mismatch) -> None:
        spot = chain, seq = where(piece)
        row = piece.row
        previous = self.hashes.get((chain, seq - 1), piece.previous)
        if previous != piece.previous and row.follows(previous):
            self.clean.add(spot)
            return
        own = link(previous, row.image)
        behind = self.misfits.get((chain, seq + 1))
        if own == piece.head_hash or (behind is not None and behind.row.follows(own)):
            self.hash_altered.add(spot)
            self.hashes[spot] = own
            return
        self._try_pool(spot, previous, row)

    def _try_pool(self, spot: Spot, previous: bytes, occupant: SeenRow | None) -> bool:
        """Look for the row that belongs at ``spot``, after ``previous``."""
        for row in self.pool:
            if row is occupant or id(row) in self.home:
                continue
            expected = link(previous, row.moved(*spot))
            if expected == row.row_hash or (occupant is not None and expected == occupant.row_hash):
                self.home[id(row)] = spot
                self.filled[spot] = row
                self.hashes[spot] = expected
                return True
        return False

    def _fill_gap(self, gap: Gap) -> None:
        """Find rows of the gap elsewhere, from its start as far as each is found."""
        previous = self.hashes.get((gap.chain, gap.first - 1), gap.previous)
        while previous is not None and gap.first <= gap.last:
            spot = gap.chain, gap.first
            if not self._try_pool(spot, previous, None):
                return
            previous = self.hashes[spot]
            gap.first += 1
        if previous is not None and gap.after is not None:
            spot = gap.after.chain, gap.after.seq
            if not gap.after.follows(previous):
                late = Mismatch(gap.after, previous, (gap.chain, gap.after.seq + 1) not in self.misfits)
                self.pieces.append(late)
                self.misfits[spot] = late
                self._place_misfit(late)

    # Rule 3.

    def _find_shifts(self) -> None:
        distance = 0
        for spot, piece in self.misfits.items():
            chain, seq = spot
            before = self.misfits.get((chain, seq - 1))
            if before is None or self._settled(piece):
                distance = 0
                continue
            starting = (chain, seq - 2) not in self.misfits
            tries: Iterable[int] = _distances() if starting else (distance,)
            distance = next((by for by in tries if by and self._shifted_by(piece, by)), 0)
            if not distance:
                continue
            self.shifted[spot] = distance
            if starting and not self._settled(before):
                # The first of the run: what it built on is gone, or stands before it with another seq.
                self.shifted[chain, seq - 1] = distance
                if not self._shifted_by(before, distance):
                    self.moved_by_runs.append(self._cause_of_run(chain, seq - 1, distance))

    def _cause_of_run(self, chain: str, seq: int, distance: int) -> Break:
        if distance > 0:
            kind, first, last = BreakKind.ROW_MISSING, seq, seq + distance - 1
            detail = "removed, and the rows behind were renumbered to close the gap"
        else:
            kind, first, last = BreakKind.ROW_INSERTED, seq + distance, seq - 1
            detail = "inserted, and the rows behind were renumbered to make room"
        return Break(kind, self.stream.name, chain, first, last, None, detail)

    @staticmethod
    def _shifted_by(piece: Mismatch, distance: int) -> bool:
        row = piece.row
        return link(piece.previous, row.renumbered(row.seq + distance)) == row.row_hash

    def _settled(self, piece: Mismatch) -> bool:
        spot = where(piece)
        return (
            spot in self.clean
            or spot in self.hash_altered
            or spot in self.filled
            or id(piece.row) in self.home
        )

    # Heads whose chain was renamed.

    def _renamed_heads(self) -> dict[int, Break | None]:
        """Pieces that are explained by a head that carries another chain's name."""
        alone = {(head.seq, head.row_hash): head for head in self.pieces if isinstance(head, HeadAlone)}
        found: dict[int, Break | None] = {}
        for piece in self.pieces:
            if isinstance(piece, HeadMissing):
                head = alone.pop((piece.last_seq, piece.row_hash), None)
                if head is not None:
                    found[id(head)] = None
                    found[id(piece)] = self._head(
                        piece.chain, f"its head now stands under the name {head.chain!r}"
                    )
        return found

    # Rule 4, and words for it all.

    def _explain(self, piece: Evidence) -> Iterator[Break]:
        match piece:
            case Mismatch():
                yield from self._explain_misfit(piece)
            case Gap():
                yield from self._explain_gap(piece)
            case Extra():
                yield self._explain_extra(piece)
            case Beyond():
                yield self._row(
                    BreakKind.ROW_INSERTED,
                    piece.chain,
                    piece.first,
                    piece.image,
                    "beyond the chain's head, though following from the chain: "
                    "added past the collector, or the head was moved back",
                    last=piece.last,
                )
            case HeadWrong():
                yield from self._explain_head(piece)
            case HeadMissing():
                yield self._head(
                    piece.chain,
                    f"no head points at its last row, {piece.last_seq}: the head was deleted, or the whole "
                    "chain was added past the collector",
                    kind=BreakKind.HEAD_MISSING,
                )
            case HeadAlone(chain, seq):
                yield Break(
                    BreakKind.TAIL_CUT if seq > 0 else BreakKind.HEAD_ALTERED,
                    self.stream.name,
                    chain,
                    1 if seq > 0 else None,
                    seq if seq > 0 else None,
                    None,
                    f"the head says {_seq(seq)} of the last row; there is none",
                )
            case Undescribed():
                yield self._row(
                    BreakKind.RESOURCE_MISSING,
                    piece.chain,
                    piece.seq,
                    piece.image,
                    f"from here on rows refer to the sender's description {piece.digest.hex()}, "
                    "which is not kept",
                )

    def _explain_misfit(self, piece: Mismatch) -> Iterator[Break]:
        spot = chain, seq = where(piece)
        row = piece.row
        if id(row) in self.home:
            yield self._out_of_place(row)
            return
        if spot in self.clean:
            return
        if spot in self.hash_altered:
            kind = BreakKind.HASH_ALTERED
            detail = (
                "its values are intact: what comes next builds on the hash that they give, "
                "not on the one stored"
            )
        elif spot in self.filled:
            kind = BreakKind.ROW_INSERTED
            detail = "it stands where another row belongs, and belongs nowhere"
        elif spot in self.shifted:
            kind = BreakKind.ORDER_CHANGED
            detail = f"renumbered: its seq was {abs(self.shifted[spot])} " + (
                "higher" if self.shifted[spot] > 0 else "lower"
            )
        else:
            kind, detail = BreakKind.VALUE_ALTERED, self._altered_detail(piece)
        yield self._row(kind, chain, seq, row.image, detail)

    def _altered_detail(self, piece: Mismatch) -> str:
        chain, seq = where(piece)
        before = self.misfits.get((chain, seq - 1))
        if before is not None and not self._settled(before):
            return (
                "its values do not give its hash after that of the row before, which is broken too: "
                "either this row was altered as well, or only the hash before it"
            )
        said = "its values do not give its hash"
        if piece.follower_fits:
            said += ", and what comes next still builds on that hash"
        if seq > 1:
            said += f"; either they were altered, or row {seq - 1} was rewritten together with its hash"
        return said

    def _out_of_place(self, row: SeenRow) -> Break:
        chain, seq = self.home[id(row)]
        if chain != row.chain:
            detail = (
                f"it now stands as row {row.seq} of {row.chain!r}: its {self.stream.chain_column} was altered"
            )
            return self._row(BreakKind.VALUE_ALTERED, chain, seq, row.image, detail)
        if (chain, seq) not in self.misfits:
            return self._row(
                BreakKind.ORDER_CHANGED,
                chain,
                seq,
                row.image,
                f"it now carries seq {row.seq}, its own is free",
            )
        return self._row(
            BreakKind.ORDER_CHANGED,
            chain,
            row.seq,
            row.image,
            f"the row that stands here belongs at seq {seq}",
        )

    def _explain_gap(self, gap: Gap) -> Iterator[Break]:
        if gap.first > gap.last:
            return
        if gap.head_hash is not None and gap.head_hash == gap.previous:
            # Not rows were cut off: the head says a seq too high.
            yield from self._explain_head(
                HeadWrong(gap.chain, gap.last, gap.head_hash, gap.first - 1, renumbered=True)
            )
            return
        if gap.head_hash is not None:
            kind, detail = BreakKind.TAIL_CUT, f"the head says that the chain goes on to row {gap.last}"
        else:
            kind, detail = BreakKind.ROW_MISSING, "the chain goes on behind"
            if gap.after is not None:
                detail += f"; the values of row {gap.after.seq} can't be checked without the row before it"
        yield Break(kind, self.stream.name, gap.chain, gap.first, gap.last, None, detail)

    def _explain_extra(self, piece: Extra) -> Break:
        row = piece.row
        if id(row) in self.home:
            return self._out_of_place(row)
        return self._row(BreakKind.ROW_INSERTED, row.chain, row.seq, row.image, piece.why.value)

    def _explain_head(self, piece: HeadWrong) -> Iterator[Break]:
        chain, last = piece.chain, piece.last_seq
        if piece.renumbered:
            if self.shifted.get((chain, last)) == piece.seq - last:
                return  # the rows were renumbered, not the head
            detail = f"it says {_seq(piece.seq)}, but its hash is that of the last row, {last}"
        elif (chain, piece.seq) in self.hashes and self.hashes[chain, piece.seq] == piece.row_hash:
            return  # the head is right: the row that belongs there stands elsewhere
        else:
            detail = (
                f"its hash is not that of row {piece.seq}: the head was altered, or the row was rewritten "
                "together with its hash"
            )
        yield self._head(chain, detail)

    def _head(self, chain: str, detail: str, kind: BreakKind = BreakKind.HEAD_ALTERED) -> Break:
        return Break(kind, self.stream.name, chain, None, None, None, detail)

    def _row(
        self, kind: BreakKind, chain: str, seq: int, image: bytes, detail: str, *, last: int | None = None
    ) -> Break:
        moment = event_time(self.stream, image)
        return Break(kind, self.stream.name, chain, seq, last or seq, moment, detail)


def _seq(seq: int) -> str:
    return "seq NULL (or -1)" if seq == NO_SEQ else f"seq {seq}"


def _distances() -> Iterator[int]:
    for distance in range(1, _DISTANCE + 1):
        yield distance
        yield -distance
