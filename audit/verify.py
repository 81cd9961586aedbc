"""Verifying the ledger: all of it or a part, in parallel, on one snapshot, while collectors go on writing."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from audit.breaks import Break, BreakKind
from audit.crew import Alone, Crew, Processes
from audit.errors import AuditError, NothingSelected, unforeseen
from audit.examine import CheckResources, CountRows, Outcome, Task
from audit.findings import Verdict
from audit.report import Drop, Report, StreamFigures
from audit.retention.declared import Retention, check_period, read_retention
from audit.schema_check import Schema, check_schema
from audit.scope import Scope, stretches
from audit.walk import Stretch
from ledger.errors import LedgerError
from ledger.streams import STREAMS, stream_named
from store.errors import StoreError
from store.reader import LedgerReader, bytes_of

Progress = Callable[[int, int], None]
"""Told of rows done and rows in all, a few times a second."""

_FIRST_MOMENT: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST_MOMENT: Final = datetime(9999, 12, 31, tzinfo=UTC)
_ALONE: Final = 100_000
"""Rows below which starting processes takes longer than the work."""


def verify(  # noqa: PLR0917  (a scope has as many sides; all but the first are optional)
    url: str,
    streams: Sequence[str] | None = None,
    machine: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
    snapshot: str | None = None,
) -> Report:
    """Verify the ledger at ``url``, or the part that is asked for.

    ``machine`` is a chain: a machine, or a model in ``governance``.  ``since`` and ``until`` (excluded) are
    aware moments of event time; of each chain the part from its first to its last row in that period is
    verified.  ``snapshot``: an instant of the database that somebody exported and holds.  ``processes`` is
    the number of processes, of the processors that there are by default.

    Raises:
        ledger.errors.UnknownStream: a stream of that name does not exist.
        AuditError: nothing matches, a process was lost, or something that nobody foresaw stopped it.
        store.errors.StoreError: the database can't be read.
    """
    scope = Scope(
        tuple(STREAMS.values()) if streams is None else tuple(map(stream_named, dict.fromkeys(streams))),
        machine,
        since,
        until,
    )
    _check(scope)
    heard = None if progress is None else _Heard(progress)
    try:
        return _verified(url, scope, processes, heard, snapshot)
    except (AuditError, StoreError, LedgerError):
        raise
    except Exception as error:
        if heard is not None and heard.failed is error:
            raise  # the caller's own
        raise unforeseen(error) from error


class _Heard:
    """The caller's ``progress``, and the error that it raised, if it did."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.failed: Exception | None = None

    def __call__(self, done: int, total: int) -> None:
        try:
            self._progress(done, total)
        except Exception as error:
            self.failed = error
            raise


def _verified(
    url: str, scope: Scope, processes: int | None, progress: Progress | None, snapshot: str | None
) -> Report:
    started = time.perf_counter()
    count = processes or len(os.sched_getaffinity(0))
    with LedgerReader(url, snapshot) as reader:
        result = _Result(scope, progress)
        schema = check_schema(reader, scope.streams)
        result.add_breaks(schema.breaks)
        if len(schema.readable) < len(scope.streams):
            # What can't be trusted to be the table is not read: its rows would say what its author likes.
            scope = replace(scope, streams=tuple(one for one in scope.streams if one.name in schema.readable))
        if not scope.streams:
            return result.report(reader.snapshot_time(), time.perf_counter() - started, 1)
        retention = read_retention(reader, believed=_events_are_readable(reader, scope, schema))
        result.add_retention(retention)
        parts = _stretches(reader, scope, count, retention.counted)
        total = sum(part.rows for part in parts)
        if scope.whole_streams:
            total = max(total - sum(retention.rows(stream.name) for stream in scope.streams), 0)
        tasks: list[Task] = [*parts, CheckResources()]
        if scope.whole_streams:
            tasks[0:0] = [CountRows(stream.name) for stream in scope.streams]
        snapshot = reader.export_snapshot()
        crew: Crew = Alone(url, snapshot)
        if total >= _ALONE and len(parts) > 1:
            crew = Processes(url, snapshot, count)
        else:
            count = 1
        result.total = total
        for outcome in crew.outcomes(tasks, result.walked):
            result.add(outcome)
        if scope.whole_streams:
            result.add_foreign(reader.foreign_heads(tuple(STREAMS)))
        return result.report(reader.snapshot_time(), time.perf_counter() - started, count)


def _events_are_readable(reader: LedgerReader, scope: Scope, schema: Schema) -> bool:
    """Whether the table of events, which say what was dropped, is what the migrations made."""
    events = STREAMS["events"]
    checked = schema if events in scope.streams else check_schema(reader, [events])
    return events.name in checked.readable


def _stretches(reader: LedgerReader, scope: Scope, processes: int, drops: int) -> list[Stretch]:
    try:
        return stretches(reader, scope, processes, drops)
    except NothingSelected:
        if scope.timed:
            start, end = scope.since or _FIRST_MOMENT, scope.until or _LAST_MOMENT
            check_period(reader, [stream.name for stream in scope.streams], start, end)
        raise


def _check(scope: Scope) -> None:
    for moment in (scope.since, scope.until):
        if moment is not None and moment.tzinfo is None:
            raise AuditError(f"{moment} has no time zone; write it like 2026-01-31T00:00:00Z")
    if scope.since is not None and scope.until is not None and scope.since >= scope.until:
        raise AuditError(f"the period from {scope.since} to {scope.until} is empty")


def _printable(found: Break) -> Break:
    """With the bytes of a name that are no UTF-8 written out in hexadecimal."""
    return replace(found, stream=_shown(found.stream), chain=_shown(found.chain), detail=_shown(found.detail))


def _shown(text: str) -> str:
    return bytes_of(text).decode("utf-8", "backslashreplace")


class _Result:
    """Everything that tasks gave so far."""

    def __init__(self, scope: Scope, progress: Progress | None) -> None:
        self._scope = scope
        self.total = 0
        self._progress = progress
        self._done = 0
        self._verdict = Verdict(scope.streams)
        self._rows: Counter[str] = Counter()
        self._chains: Counter[str] = Counter()
        self._counted: dict[str, int] = {}
        self._resources = 0
        self._misnamed: frozenset[bytes] = frozenset()
        self._drops: tuple[Drop, ...] = ()

    def walked(self, rows: int) -> None:
        self._done += rows
        if self._progress is not None:
            self._progress(self._done, max(self.total, self._done))

    def add(self, outcome: Outcome) -> None:
        match outcome.task:
            case Stretch(stream):
                self._rows[stream] += outcome.rows
                self._chains[stream] += outcome.chains
            case CountRows(stream):
                self._counted[stream] = outcome.rows
            case CheckResources():
                self._resources = outcome.rows
                self._misnamed = outcome.misnamed
        if outcome.findings is not None:
            self._verdict.add(outcome.findings)
        if outcome.named is not None:
            self._verdict.add_named(outcome.named)

    def add_foreign(self, heads: Iterable[tuple[str | None, str | None, int]]) -> None:
        """Heads of streams that do not exist are heads whose stream was altered, or made up."""
        for stream, chain, seq in heads:
            detail = f"no stream is called {stream!r}, though this head says that row {seq} is its last"
            if stream is None or chain is None:
                detail = f"a head of seq {seq} has NULL for its stream or chain, which no collector writes"
            where = "NULL" if stream is None else stream, "NULL" if chain is None else chain
            self.add_breaks([Break(BreakKind.HEAD_ALTERED, *where, None, None, None, detail)])

    def add_retention(self, retention: Retention) -> None:
        """Rows that need not be there; runs that no event declares excuse none."""
        self._drops = retention.drops
        first = retention.first_undeclared
        if first is not None:
            detail = (
                f"{retention.undeclared} runs of rows are said to be dropped, those of drop "
                f"{first.drop_number} first, and no audit.retention event in the ledger has their digest: "
                "they excuse no missing row"
            )
            where = first.stream, first.chain, None, None, None
            self.add_breaks([Break(BreakKind.DROP_UNDECLARED, *where, detail)])

    def add_breaks(self, breaks: Iterable[Break]) -> None:
        """Breaks that were found otherwise than by walking."""
        self._verdict.add_breaks(breaks)

    def report(self, as_of: datetime, seconds: float, processes: int) -> Report:
        self._verdict.add_breaks(self._unreached())
        named = self._verdict.conclude(self._misnamed)
        broken: Counter[str] = Counter()
        for (stream, _), rows in named.counts.items():
            broken[stream] += rows
        return Report(
            scope=self._scope,
            as_of=as_of,
            seconds=seconds,
            processes=processes,
            streams=tuple(
                StreamFigures(
                    stream.name, self._rows[stream.name], self._chains[stream.name], broken[stream.name]
                )
                for stream in self._scope.streams
            ),
            resources=self._resources,
            breaks=tuple(map(_printable, named.breaks)),
            counts=tuple((_shown(stream), kind, rows) for (stream, kind), rows in named.counts.items()),
            drops=self._drops,
        )

    def _unreached(self) -> list[Break]:
        """Rows that a walk along the chains does not meet, though they lie in the table."""
        found = []
        for stream, counted in self._counted.items():
            hidden = counted - self._rows[stream]
            if hidden:
                detail = (
                    f"the table has {counted} rows, its chains {self._rows[stream]}: "
                    "rows without chain or seq, or an index of the chains that was tampered with "
                    "(REINDEX it, then verify again)"
                )
                found.append(Break(BreakKind.ROW_INSERTED, stream, "", None, None, None, detail))
        return found
