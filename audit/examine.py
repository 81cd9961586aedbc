"""Carrying out the parts of a verification on one snapshot: in this process, or in one of a crew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from types import TracebackType
from typing import Final, Self

from audit.breaks import Break, BreakKind
from audit.findings import NAMED, Collector, Findings, Named
from audit.walk import Stretch, Walk
from ledger.streams import STREAMS
from store.reader import LedgerReader
from store.retention import DroppedRun, some_runs

_PRELOADED: Final = 100_000
"""Descriptions of senders whose names are read at the start; others are looked up one by one."""
RESOURCES: Final = "resources"


@dataclass(frozen=True, slots=True)
class CountRows:
    """Count a stream's rows without its indexes."""

    stream: str


@dataclass(frozen=True, slots=True)
class CheckResources:
    """Check that each description of a sender is the one that its digest names."""


Task = Stretch | CountRows | CheckResources


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task gave: rows and chains walked, or rows counted; what was found.

    ``misnamed``: digests of descriptions that are kept, but under another digest.
    """

    task: Task
    rows: int = 0
    chains: int = 0
    findings: Findings | None = None
    named: Named | None = None
    misnamed: frozenset[bytes] = frozenset()


class _Descriptions:
    """The names of descriptions that are kept, as far as they were asked for."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self._known = reader.some_digests(_PRELOADED)

    def has(self, digest: bytes) -> bool:
        """Whether the description of that name is kept."""
        if digest in self._known:
            return True
        if not self._reader.known_digests([digest]):
            return False
        if len(self._known) > 2 * _PRELOADED:
            self._known.clear()
        self._known.add(digest)
        return True


class Examiner:
    """Carries out tasks on the snapshot; holds two connections, as heads are read beside rows."""

    def __init__(self, url: str, snapshot: str) -> None:
        with ExitStack() as stack:
            self._rows = stack.enter_context(LedgerReader(url, snapshot))
            self._side = stack.enter_context(LedgerReader(url, snapshot))
            self._descriptions = _Descriptions(self._side)
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def examine(self, task: Task, progress: Callable[[int], None]) -> Outcome:
        """Carry out one task; ``progress`` hears of every so many rows.

        Raises:
            store.errors.StoreError: the database can't be read.
        """
        match task:
            case Stretch():
                return self._walk(task, progress)
            case CountRows(stream):
                return Outcome(task, rows=self._side.row_count(STREAMS[stream]))
            case CheckResources():
                return self._check_resources(task)

    def _walk(self, stretch: Stretch, progress: Callable[[int], None]) -> Outcome:
        stream = STREAMS[stretch.stream]
        collector = Collector(stream)
        last = stretch.end.chain if stretch.end is not None else None
        heads = self._side.heads(stretch.stream, stretch.first.chain, last)
        end = last
        if stretch.end is not None and not stretch.ends_inside:
            heads = (head for head in heads if head.chain != end)
        dropped: Iterator[DroppedRun] = iter(())
        if stretch.drops:
            dropped = some_runs(self._side, stretch.stream, stretch.first.chain, last, stretch.drops)
            if stretch.end is not None and not stretch.ends_inside:
                dropped = (run for run in dropped if run.chain != end)
        walk = Walk(stream, stretch, heads, self._descriptions, collector.note, progress, dropped)
        walk.run(self._rows.rows(stream, stretch.read_from, stretch.read_to))
        return Outcome(stretch, walk.rows, walk.chains, collector.findings())

    def _check_resources(self, task: CheckResources) -> Outcome:
        named = Named()
        misnamed: set[bytes] = set()
        count = 0
        for digest, content in self._side.resources():
            count += 1
            actual = sha256(content or b"").digest()
            if digest is None or content is None or actual != digest:
                name = "" if digest is None else digest.hex()
                detail = (
                    f"the sender's description kept under {name or 'NULL'} is not the one of that digest; "
                    + ("it is NULL" if content is None else f"its own is {actual.hex()}")
                )
                named.add([Break(BreakKind.RESOURCE_ALTERED, RESOURCES, name, None, None, None, detail)])
                if len(misnamed) < NAMED:
                    misnamed.add(actual)
        return Outcome(task, rows=count, named=named, misnamed=frozenset(misnamed))
