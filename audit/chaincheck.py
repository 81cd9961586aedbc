"""One chain, row by row: what fits, what does not, what is missing at its end.

The careful half of the walk.  ``audit.walk`` handles the rows that fit and asks here about all others.
Pieces of evidence are handed on when they are complete: a mismatch waits for the row behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from audit.evidence import (
    Beyond,
    Evidence,
    Extra,
    Gap,
    HeadAlone,
    HeadMissing,
    HeadWrong,
    Mismatch,
    Odd,
    SeenRow,
    Undescribed,
    seq_offset,
    start_of,
)
from ledger.chain import link
from store.reader import StoredHead
from store.retention import DroppedRun

ENDLESS: Final = 2**63
"""A seq that no row can have."""
_REMEMBERED: Final = 64
"""Undescribed senders of a chain that are not reported twice."""


class Descriptions(Protocol):
    """Which descriptions of senders are kept."""

    def has(self, digest: bytes) -> bool:
        """Whether this one is."""


class ChainCheck:
    """How far the check of a chain has come, from row ``first`` up to but not row ``limit``.

    ``hashes`` are those that the next row may build on: one, none after a gap, several where rows of equal
    seq compete.  ``predecessors``: the hashes of the row before ``first``; None where the chain starts
    here.  ``dropped``: the runs of the chain's rows that need not be there, in their order; what is there all
    the same is checked like any row.
    """

    def __init__(
        self,
        stream: str,
        name: str,
        head: StoredHead | None,
        *,
        first: int,
        limit: int,
        predecessors: tuple[bytes, ...] | None,
        descriptions: Descriptions,
        note: Callable[[Evidence], None],
        dropped: Sequence[DroppedRun] = (),
    ) -> None:
        self.name = name
        self.next_seq = first
        self.limit = limit
        self.hashes = (start_of(stream, name),) if predecessors is None else predecessors
        self.end = limit if head is None else min(limit, head.seq + 1)
        self._dropped = list(reversed(dropped))
        if not self.hashes:
            # The row before the first one may be a dropped run's last.
            self.hashes = tuple(run.last_hash for run in dropped if run.last_seq == first - 1)[:1]
        self.digest = b""
        """Length word and bytes of the resource_digest that rows refer to now; known to be described."""
        self._head = head
        self._whole = predecessors is None
        self._descriptions = descriptions
        self._note = note
        self._seen = predecessors is not None
        self._linked = not self._whole
        # A check that starts beyond the head leaves the head to another one.
        self._at_head: tuple[bytes, ...] | None = () if head is not None and 1 < first > head.seq else None
        self._pending: Mismatch | None = None
        self._gap: Gap | None = None
        self._beyond: Beyond | None = None
        self._undescribed: set[bytes] = set()

    @property
    def smooth(self) -> bool:
        """Whether rows may be checked in the fast path: one hash to build on, nothing waiting."""
        return (
            self.next_seq < self.end and len(self.hashes) == 1 and self._pending is None and bool(self.digest)
        )

    def advance(self, next_seq: int, row_hash: bytes) -> None:
        """The fast path has checked every row before ``next_seq``; the last one carries ``row_hash``."""
        self.next_seq, self.hashes = next_seq, (row_hash,)

    def settle(self, rows: Sequence[SeenRow], following: SeenRow | None) -> None:
        """Take the rows of one seq; ``following`` is the row behind them, of whatever chain."""
        seq = rows[0].seq
        self._seen = True
        if seq < self.next_seq:
            self._extras(rows, Odd.BELOW if seq < 1 else Odd.DUPLICATE)
            return
        self._pass_dropped(seq)
        self._pass_head(seq)
        fitting = self._fitting(rows) if seq == self.next_seq else []
        main = self._main(rows, fitting, following)
        self._extras([row for row in rows if row is not main], Odd.DUPLICATE)
        self._release(main in fitting if seq == self.next_seq else None)
        if seq > self.next_seq:
            self._open_gap(seq, main)
        if self._head is not None and seq > self._head.seq:
            self._take_beyond(main, fits=main in fitting)
            return
        if main in fitting:
            self._linked = True
            self._close_gap(None)
            self._check_description(main)
        elif self._head is None and not self._linked:
            self._note(Extra(main, Odd.HEADLESS))
        elif self.hashes and seq == self.next_seq:
            self._pending = Mismatch(main, self.hashes[0])
        else:
            self._close_gap(main)
        self.next_seq = seq + 1
        self.hashes = tuple(dict.fromkeys([main.row_hash, *(row.row_hash for row in fitting)]))

    def follower(self, row: SeenRow) -> None:
        """``row`` stands at ``limit``: another check's, of use for what it says about the last one here."""
        self._pass_dropped(self.limit)
        at_limit = self.next_seq == self.limit
        self._release(row.follows(self.hashes[0]) if at_limit and self.hashes else None)
        if not at_limit and self.end == self.limit:
            self._open_gap(self.limit, row)
            self._close_gap(row)
            self.next_seq = self.limit

    def finish(self) -> None:
        """There are no more rows of this chain in this check's part."""
        head = self._head
        self._pass_dropped(self.end)
        if head is not None and head.seq < self.limit:
            self._head_before_dropped(head)
        if head is None:
            self._release(None)
            self._close_gap(None)
            if self._linked and self.limit == ENDLESS:
                self._note(HeadMissing(self.name, self.next_seq - 1, self.hashes[0] if self.hashes else b""))
        elif head.seq >= self.limit:
            self._release(None)
            if self.next_seq < self.limit:
                self._open_gap(self.limit, None)
            self._close_gap(None)
        elif not self._seen:
            if head.seq != 0 or head.row_hash not in self.hashes:
                self._note(HeadAlone(self.name, head.seq, head.row_hash))
        elif self.next_seq <= head.seq:
            self._release(None)
            self._open_gap(head.seq + 1, None, head.row_hash)
            self._close_gap(None)
        else:
            self._pass_head(head.seq + 1)
            self._finish_at_head(head)

    def _finish_at_head(self, head: StoredHead) -> None:
        at_head = self._at_head or ()
        beyond, waiting = self._beyond, self._pending
        agrees = head.row_hash in at_head
        if waiting is not None:
            waiting.head_hash = head.row_hash
            agrees = agrees or link(waiting.previous, waiting.row.image) == head.row_hash
            self._release(True if head.row_hash in at_head else None)
        self._close_gap(None)
        if beyond is not None and head.row_hash in self.hashes:
            self._note(HeadWrong(self.name, head.seq, head.row_hash, beyond.last, renumbered=True))
            return
        if at_head and not agrees:
            self._note(HeadWrong(self.name, head.seq, head.row_hash, self.next_seq - 1, renumbered=False))
        if beyond is not None:
            self._note(beyond)

    def _pass_dropped(self, seq: int) -> None:
        """Go on behind the dropped rows before row ``seq``; rows before and between them are missing."""
        while self._dropped and self.next_seq < seq:
            run = self._dropped[-1]
            if run.last_seq < self.next_seq:
                self._dropped.pop()
                continue
            if run.first_seq >= seq:
                return
            self._release(None)
            if run.first_seq > self.next_seq:
                self._open_gap(run.first_seq, None)
                self._close_gap(None)
            # What lies behind a run is bound to its last hash; the run is bound to nothing before it.
            self.next_seq = min(run.last_seq + 1, seq)
            self.hashes = (run.last_hash,) if self.next_seq == run.last_seq + 1 else ()
            self._seen = self._linked = True

    def _head_before_dropped(self, head: StoredHead) -> None:
        """A head that names a row before the last dropped one went back."""
        last = max((run.last_seq for run in self._dropped), default=0)
        if last > head.seq and self.next_seq <= last:
            self._note(HeadWrong(self.name, head.seq, head.row_hash, last, renumbered=False))

    def _pass_head(self, seq: int) -> None:
        """Remember, when the first row beyond the head comes, what the head should agree with."""
        head = self._head
        if head is None or seq <= head.seq or self._at_head is not None:
            return
        if self.next_seq <= head.seq:
            self._release(None)
            self._open_gap(min(head.seq + 1, self.limit), None, head.row_hash)
            self._close_gap(None)
            self.next_seq, self.hashes = head.seq + 1, ()
        self._at_head = self.hashes

    def _fitting(self, rows: Sequence[SeenRow]) -> list[SeenRow]:
        return [row for row in rows if any(row.follows(before) for before in self.hashes)]

    def _main(
        self, rows: Sequence[SeenRow], fitting: Sequence[SeenRow], following: SeenRow | None
    ) -> SeenRow:
        """Which of the rows of equal seq is the chain's: that which the next row, or the head, builds on."""
        if len(rows) == 1:
            return rows[0]
        seq, head = rows[0].seq, self._head
        neighbour = following is not None and following.chain == self.name and following.seq == seq + 1

        def rank(row: SeenRow) -> tuple[bool, bool]:
            built_on = neighbour and following is not None and following.follows(row.row_hash)
            heads = head is not None and head.seq == seq and head.row_hash == row.row_hash
            return built_on or heads, row in fitting

        return max(rows, key=rank)

    def _take_beyond(self, row: SeenRow, *, fits: bool) -> None:
        if not fits:
            self._note(Extra(row, Odd.BEYOND))
            return
        if self._beyond is None:
            self._beyond = Beyond(self.name, row.seq, row.seq, row.image)
        self._beyond.last = row.seq
        self.next_seq, self.hashes = row.seq + 1, (row.row_hash,)

    def _open_gap(self, end: int, after: SeenRow | None, head_hash: bytes | None = None) -> None:
        """Rows from ``next_seq`` up to but not ``end`` are missing."""
        if self._head is not None and self.next_seq > self._head.seq:
            return  # beyond the head nothing is expected
        previous = self.hashes[0] if self.hashes else None
        self._gap = Gap(self.name, self.next_seq, end - 1, previous, after, head_hash)

    def _close_gap(self, after: SeenRow | None) -> None:
        if self._gap is not None:
            if after is not None:
                self._gap.after = after
            if self._linked or self._head is not None:
                self._note(self._gap)
            self._gap = None

    def _release(self, follower_fits: bool | None) -> None:
        if self._pending is not None:
            self._pending.follower_fits = follower_fits
            self._note(self._pending)
            self._pending = None

    def _extras(self, rows: Sequence[SeenRow], why: Odd) -> None:
        for row in rows:
            self._note(Extra(row, why))

    def _check_description(self, row: SeenRow) -> None:
        start = seq_offset(row.chain) + 8
        size = int.from_bytes(row.image[start : start + 4], "big")
        digest = row.image[start + 4 : start + 4 + size]
        self.digest = row.image[start : start + 4 + size]
        if not self._descriptions.has(digest) and digest not in self._undescribed:
            if len(self._undescribed) < _REMEMBERED:
                self._undescribed.add(digest)
            self._note(Undescribed(row.chain, row.seq, row.image, digest))
