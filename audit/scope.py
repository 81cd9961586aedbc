"""What is to be verified, and its division into stretches that processes can walk in parallel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from audit.errors import AuditError, NothingSelected
from audit.walk import Stretch
from ledger.streams import STREAMS, Stream
from store.reader import (
    LOWEST_SEQ,
    START,
    LedgerReader,
    Period,
    Place,
    StoredHead,
    after_chain,
    bytes_of,
    nameable,
)
from store.retention import some_runs

SMALLEST: Final = 20_000
LARGEST: Final = 500_000
"""Rows of a stretch: enough to make its query's start unimportant, few enough to share out evenly."""
_PER_PROCESS: Final = 6
_CUTS: Final = 4_096
"""A chain is cut into at most so many stretches, however long its head and its last row say it is."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of the ledger: all of ``streams``, or one chain of them, or a period of event time."""

    streams: tuple[Stream, ...]
    machine: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def timed(self) -> bool:
        """Whether it is a period."""
        return self.since is not None or self.until is not None

    @property
    def whole_streams(self) -> bool:
        """Whether every row of its streams is in it."""
        return self.machine is None and not self.timed

    @property
    def whole(self) -> bool:
        """Whether it is the whole ledger."""
        return self.whole_streams and len(self.streams) == len(STREAMS)

    @property
    def to_the_end(self) -> bool:
        """Whether it reaches to the heads of the chains."""
        return self.until is None


def stretches(reader: LedgerReader, scope: Scope, processes: int, drops: int = 0) -> list[Stretch]:
    """Stretches that together cover the scope, each place once, the largest first.

    ``drops``: the number of the last drop whose rows need not be there.

    Raises:
        NothingSelected: no row and no head is in the scope, though it names a machine or a period.
    """
    if scope.timed and not _has_rows(reader, scope):
        of = "" if scope.machine is None else f" of {scope.machine!r}"
        raise NothingSelected(f"no rows{of} in that period, so there is nothing to verify")
    found = [
        replace(stretch, drops=drops)
        for stream in scope.streams
        for stretch in _of_stream(reader, scope, stream, processes)
    ]
    if scope.machine is not None and not any(_occupied(reader, stretch) for stretch in found):
        where = f" in {scope.streams[0].name}" if len(scope.streams) == 1 else ""
        raise NothingSelected(f"no rows of {scope.machine!r}{where}")
    return sorted(found, key=lambda stretch: stretch.rows, reverse=True)


def _has_rows(reader: LedgerReader, scope: Scope) -> bool:
    """Whether any row has an event time in the period."""
    return any(
        True
        for stream in scope.streams
        for _ in reader.period(stream, scope.since, scope.until, scope.machine)
    )


def _occupied(reader: LedgerReader, stretch: Stretch) -> bool:
    chain = stretch.first.chain
    return (
        stretch.rows > 0
        or reader.last_seq(STREAMS[stretch.stream], chain) is not None
        or any(True for _ in some_runs(reader, stretch.stream, chain, chain, stretch.drops))
    )


def _of_stream(reader: LedgerReader, scope: Scope, stream: Stream, processes: int) -> Iterator[Stretch]:
    one = scope.machine
    if scope.timed:
        yield from _of_period(reader, scope, stream)
        return
    total = sum(max(head.seq, 0) for head in reader.heads(stream.name, one or "", one))
    target = min(max(total // (processes * _PER_PROCESS), SMALLEST), LARGEST)
    first, end = (START, None) if one is None else (Place(one, START.seq), after_chain(one))
    lengths = _lengths(reader, stream, reader.heads(stream.name, one or "", one), target)
    yield from cut(stream.name, first, end, lengths, target)


def _lengths(
    reader: LedgerReader, stream: Stream, heads: Iterable[StoredHead], target: int
) -> Iterator[tuple[str, int]]:
    """The chains and how many rows they have; a head that may lie is compared with the last row."""
    for head in heads:
        if not nameable(head.chain):
            continue  # no query can start there; its rows fall into a stretch all the same
        length = max(head.seq, 0)
        if length > target:
            length = min(length, max(reader.last_seq(stream, head.chain) or 0, 0))
        yield head.chain, length


def cut(
    stream: str, first: Place, end: Place | None, lengths: Iterable[tuple[str, int]], target: int
) -> Iterator[Stretch]:
    """Cut the places from ``first`` to ``end`` into stretches of about ``target`` rows.

    ``lengths`` has chains in order with their number of rows.  Rows of chains that it does not have fall into
    the stretches all the same.
    """
    rows = 0
    for chain, length in lengths:
        step = max(target, length // _CUTS + 1)
        if rows >= step:
            yield Stretch(stream, first, Place(chain, LOWEST_SEQ), rows)
            first, rows = Place(chain, LOWEST_SEQ), 0
        taken = 0
        # The last row stays with the chain's end, which is compared with the head.
        while rows + length - taken > step and taken + step - rows < length:
            taken += step - rows
            place = Place(chain, taken + 1)
            yield Stretch(stream, first, place, step)
            first, rows = place, 0
        rows += length - taken
    yield Stretch(stream, first, end, rows)


def _of_period(reader: LedgerReader, scope: Scope, stream: Stream) -> Iterator[Stretch]:
    """A stretch for each chain; long ones in parts.

    Where the scope reaches to the heads, the last row of a chain without rows in the period belongs to it, so
    that a tail that was cut off does not go unseen.
    """
    periods = reader.period(stream, scope.since, scope.until, scope.machine)
    if scope.to_the_end:
        periods = _with_last_rows(reader, scope, stream, periods)
    for chain, first_seq, last_seq in periods:
        _check_nameable(stream, chain)
        first = first_seq if scope.since is not None and first_seq > 1 else START.seq
        end = after_chain(chain) if scope.to_the_end else Place(chain, last_seq + 1)
        rim = first > 1
        while max(first, 1) + LARGEST < min(last_seq, max(first, 1) + LARGEST * _CUTS):
            place = Place(chain, max(first, 1) + LARGEST)
            yield Stretch(stream.name, Place(chain, first), place, LARGEST, rim)
            first, rim = place.seq, False
        yield Stretch(stream.name, Place(chain, first), end, max(last_seq - max(first, 1) + 1, 0), rim)


def _check_nameable(stream: Stream, chain: str) -> None:
    if not nameable(chain):
        shown = bytes_of(chain).decode("utf-8", "backslashreplace")
        raise AuditError(
            f"{stream.name} was tampered with: a chain is called {shown}, which is no UTF-8, "
            "so a period can't be asked for; verify without --since and --until"
        )


def _with_last_rows(
    reader: LedgerReader, scope: Scope, stream: Stream, periods: Iterator[Period]
) -> Iterator[Period]:
    period = next(periods, None)
    for head in reader.heads(stream.name, scope.machine or "", scope.machine):
        _check_nameable(stream, head.chain)
        while period is not None and bytes_of(period.chain) <= bytes_of(head.chain):
            yield period
            met, period = period.chain, next(periods, None)
            if met == head.chain:
                break
        else:
            last = reader.last_seq(stream, head.chain) or 1
            yield Period(head.chain, min(last, max(head.seq, 1)), max(last, head.seq))
    while period is not None:
        yield period
        period = next(periods, None)
