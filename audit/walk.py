"""Walking along the chains of a part of a stream: the fast path, and the way out of it.

Rows come in the order of chain and seq as binary COPY tuples.  In the fast path a row costs a hash, a
comparison of its last 36 bytes (length word and row_hash) and one of the bytes that hold chain, seq and
resource_digest; nothing is decoded.  Only when a comparison fails is the row looked at, together with those
of equal seq and the next one.

Memory does not grow with the number of rows, nor with the number of breaks: see ``audit.findings``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain as chained
from struct import Struct
from typing import Final

from audit.chaincheck import ENDLESS, ChainCheck, Descriptions
from audit.evidence import CHAIN_OFFSET, Evidence, Extra, Odd, SeenRow
from ledger.chain import HASH_BYTES
from ledger.errors import DecodingError
from ledger.rows import HASH_FIELD_LENGTH, split_fields
from ledger.streams import Stream
from store.reader import LOWEST_SEQ, Place, StoredHead, bytes_of, text_of
from store.retention import DroppedRun

STRIDE: Final = 20_000
"""Rows between two reports of progress: some 25 ms."""
_TAIL: Final = len(HASH_FIELD_LENGTH) + HASH_BYTES
_CANDIDATES: Final = 16
"""Rows of equal seq that are weighed against each other; any more of them count as duplicates."""
_EIGHT: Final = (8).to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a stream to walk: from ``first`` up to but not ``end`` (None: the stream's end).

    ``rows``: about how many there are.  ``rim``: nobody walks the part before ``first``, so a missing
    predecessor is reported here.  ``drops``: the number of the last drop whose rows need not be there.
    """

    stream: str
    first: Place
    end: Place | None
    rows: int
    rim: bool = False
    drops: int = 0

    @property
    def starts_inside(self) -> bool:
        """Whether the walk starts inside a chain."""
        return self.first.seq > 1

    @property
    def ends_inside(self) -> bool:
        """Whether the walk ends inside a chain."""
        return self.end is not None and self.end.seq != LOWEST_SEQ

    @property
    def read_from(self) -> Place:
        """Where reading starts: a row earlier, if the walk starts inside a chain."""
        return Place(self.first.chain, self.first.seq - 1) if self.starts_inside else self.first

    @property
    def read_to(self) -> Place | None:
        """Where reading ends: a row later, if the walk ends inside a chain."""
        if self.end is None or not self.ends_inside:
            return self.end
        return Place(self.end.chain, self.end.seq + 1)


def seen_row(row: bytes) -> SeenRow:
    """A tuple with its chain, seq, image and hash told apart, whatever the lengths of its fields.

    Raises:
        DecodingError: it is no tuple of a stream; PostgreSQL does not send such.
    """
    fields, end = split_fields(row)
    if end != len(row) or len(fields) < 6:
        raise DecodingError(f"a tuple of {len(fields)} fields and {len(row)} bytes, {end} of them fields")
    chain, seq, row_hash = fields[2], fields[3], fields[-1]
    tail = 4 if row_hash is None else 4 + len(row_hash)
    position = int.from_bytes(seq or b"", "big", signed=True)
    return SeenRow(text_of(chain or b""), position, row[:-tail], row_hash or b"")


class Walk:
    """A walk along one stretch of a stream.

    ``heads`` are the stored heads of the stretch's chains, in their order, ``dropped`` the runs of their rows
    that need not be there.  ``note`` takes each piece of evidence; ``progress`` is told how many rows were
    walked since it was told last.
    """

    def __init__(  # noqa: PLR0917  (what it reads, and whom it tells)
        self,
        stream: Stream,
        stretch: Stretch,
        heads: Iterator[StoredHead],
        descriptions: Descriptions,
        note: Callable[[Evidence], None],
        progress: Callable[[int], None],
        dropped: Iterator[DroppedRun] = iter(()),  # noqa: B008 - an empty one stays empty
    ) -> None:
        self._stream = stream
        self._stretch = stretch
        self._heads = heads
        self._head = next(heads, None)
        self._dropped = dropped
        self._run = next(dropped, None)
        self._descriptions = descriptions
        self._note = note
        self._progress = progress
        self._unreported = 0
        self.rows = 0
        self.chains = 0

    def run(self, rows: Iterator[bytes]) -> None:
        """Walk all the rows of the stretch; ``rows`` starts at ``read_from`` and ends at ``read_to``."""
        row = next(rows, b"")
        while row:
            name = seen_row(row).chain
            self._chains_without_rows(name)
            hashes, row = self._predecessors(name, row, rows)
            check = self._check(name, hashes)
            row = self._along(check, row, rows)
            check.finish()
        self._chains_without_rows(None)
        self._count(0, flush=True)

    def _chains_without_rows(self, before: str | None) -> None:
        """Those that have a head or dropped rows only, up to the chain ``before``."""
        while names := [one.chain for one in (self._head, self._run) if one is not None]:
            name = min(names, key=bytes_of)
            if before is not None and bytes_of(name) >= bytes_of(before):
                return
            self._check(name, ()).finish()

    def _head_of(self, name: str) -> StoredHead | None:
        head = self._head
        if head is None or head.chain != name:
            return None
        self._head = next(self._heads, None)
        return head

    def _dropped_of(self, name: str) -> list[DroppedRun]:
        found = []
        while self._run is not None and self._run.chain == name:
            found.append(self._run)
            self._run = next(self._dropped, None)
        return found

    def _check(self, name: str, hashes: tuple[bytes, ...]) -> ChainCheck:
        head, dropped = self._head_of(name), self._dropped_of(name)
        stretch = self._stretch
        inside = stretch.starts_inside and name == stretch.first.chain
        cut = stretch.end is not None and stretch.ends_inside and name == stretch.end.chain
        self.chains += not inside or stretch.rim
        first = 1
        if inside:
            # With nobody to report that the row before is missing, it counts as the first one missing here.
            first = stretch.first.seq - (
                stretch.rim
                and not hashes
                and not any(run.last_seq == stretch.first.seq - 1 for run in dropped)
            )
        return ChainCheck(
            stretch.stream,
            name,
            head,
            first=first,
            limit=stretch.end.seq if cut and stretch.end is not None else ENDLESS,
            predecessors=hashes if inside else None,
            descriptions=self._descriptions,
            note=self._note,
            dropped=dropped,
        )

    def _predecessors(self, name: str, row: bytes, rows: Iterator[bytes]) -> tuple[tuple[bytes, ...], bytes]:
        """The hashes that the stretch's first row may build on (another walk checks them), and that row."""
        first = self._stretch.first
        hashes: list[bytes] = []
        while row and self._stretch.starts_inside and name == first.chain:
            seen = seen_row(row)
            if seen.chain != name or seen.seq >= first.seq:
                break
            if len(hashes) < _CANDIDATES:
                hashes.append(seen.row_hash)
            row = next(rows, b"")
        return tuple(hashes), row

    def _along(self, check: ChainCheck, row: bytes, rows: Iterator[bytes]) -> bytes:
        """Walk one chain; return the first row of the next one, or nothing."""
        name = bytes_of(check.name)
        prefix = len(name).to_bytes(4, "big") + name + _EIGHT
        word, tail, hasher = HASH_FIELD_LENGTH, -_TAIL, sha256
        last = before = b""  # the row that the fast path took last, and the hash before it
        while row:
            if check.smooth:
                first = seq = check.next_seq
                row_hash, digest = check.hashes[0], check.digest
                stop = min(check.end, first + STRIDE)
                place = Struct(f">{len(prefix)}sq{len(digest)}s").pack
                for seq, row in zip(range(first, stop), chained((row,), rows), strict=False):  # noqa: B020, PLR1704
                    found = hasher(row_hash + row[:tail]).digest()
                    if not (
                        row.endswith(word + found)
                        and row.startswith(place(prefix, seq, digest), CHAIN_OFFSET)
                    ):
                        break
                    before = row_hash
                    row_hash = found
                    last = row
                else:
                    seq += 1
                    row = next(rows, b"")
                check.advance(seq, row_hash)
                self._count(seq - first)
                if first < seq == stop < check.end:
                    continue
                if not row:
                    break
            seen = seen_row(row)
            if seen.chain != check.name:
                return row
            if seen.seq >= check.limit:
                check.follower(seen)
                return self._next_chain(check.name, rows)
            group = [seen]
            if last and seen.seq == check.next_seq - 1:
                # Of the same seq as the row that the fast path took just now: put that one beside it again.
                group.insert(0, seen_row(last))
                check.advance(check.next_seq - 1, before)
                self._count(-1)
            row = self._group(check, group, rows)
            last = before = b""
        return b""

    def _group(self, check: ChainCheck, group: list[SeenRow], rows: Iterator[bytes]) -> bytes:
        """Gather the rows of equal seq, have them settled, and return the row behind them."""
        extras = 0
        while True:
            row = next(rows, b"")
            following = seen_row(row) if row else None
            if following is None or following.seq != group[0].seq or following.chain != check.name:
                break
            if len(group) < _CANDIDATES:
                group.append(following)
            else:
                extras += 1
                self._note(Extra(following, Odd.DUPLICATE))
        self._count(len(group) + extras)
        check.settle(group, following)
        return row

    def _next_chain(self, name: str, rows: Iterator[bytes]) -> bytes:
        return next((row for row in rows if seen_row(row).chain != name), b"")

    def _count(self, rows: int, *, flush: bool = False) -> None:
        self.rows += rows
        self._unreported += rows
        if flush or self._unreported >= STRIDE:
            self._progress(self._unreported)
            self._unreported = 0
