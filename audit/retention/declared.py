"""Which rows were dropped, and which event of the ledger says so.

``dropped_runs`` alone proves nothing: whoever can delete rows can write into it.  Each drop puts an event
``audit.retention`` on record first, with the digest of all runs up to and including its own.  Runs count up
to the last drop whose digest such an event has; all later ones do not, and their rows are missing rows.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from audit.report import Drop
from audit.retention.errors import RowsDropped
from store.reader import bytes_of
from store.retention import (
    DroppedRun,
    RetentionEvent,
    Snapshot,
    all_runs,
    retention_events,
    some_runs,
)

EVENT: Final = "audit.retention"
CHAIN: Final = "tally-audit"
"""The chain of ``events`` in which an audit's own events stand."""
_FORMAT: Final = b"tally/dropped/v1\n"


@dataclass(frozen=True, slots=True)
class Retention:
    """All drops of a ledger.

    ``counted``: the number of the last drop that counts, 0 for none.  ``undeclared``: how many runs do not
    count, and the first of them.
    """

    drops: tuple[Drop, ...]
    counted: int
    undeclared: int = 0
    first_undeclared: DroppedRun | None = None

    def rows(self, stream: str) -> int:
        """How many rows of a stream were dropped."""
        return sum(dict(drop.rows).get(stream, 0) for drop in self.drops)


class RunsDigest:
    """SHA-256 over the canonical lines of runs; they come in the order of drop, stream, chain and seq."""

    def __init__(self) -> None:
        self._hasher = sha256(_FORMAT)

    def add(self, runs: Iterable[DroppedRun]) -> None:
        """Take the next ones."""
        for run in runs:
            self._hasher.update(_line(run))

    def hex(self) -> str:
        """Of all so far."""
        return self._hasher.copy().hexdigest()


def _line(run: DroppedRun) -> bytes:
    """RFC 8785, for texts and integers."""
    values = [*run[:-1], run.last_hash.hex()]
    return bytes_of(json.dumps(values, ensure_ascii=False, separators=(",", ":"))) + b"\n"


def read_retention(source: Snapshot, *, believed: bool = True) -> Retention:
    """Which drops count, and what the ledger says of them.

    ``believed``: False if the table of events is not what the migrations made, so that no event counts.

    Raises:
        store.errors.StoreError: the database can't be read.
    """
    digest = RunsDigest()
    rows: dict[int, Counter[str]] = {}
    runs: Counter[int] = Counter()
    first: dict[int, DroppedRun] = {}
    digests: dict[int, str] = {}
    for run in all_runs(source):
        number = run.drop_number
        digest.add([run])
        digests[number] = digest.hex()
        rows.setdefault(number, Counter())[run.stream] += run.rows
        runs[number] += 1
        first.setdefault(number, run)
    if not digests:
        return Retention((), 0)
    found = _events(source) if believed else []
    events = {(said.number, said.digest): said for said in map(said_by, found) if said is not None}
    counted = max((number for number, its in digests.items() if (number, its) in events), default=0)
    later = [number for number in digests if number > counted]
    return Retention(
        tuple(
            _drop(number, rows[number], events.get((number, digests[number])))
            for number in sorted(digests)
            if number <= counted
        ),
        counted,
        sum(runs[number] for number in later),
        first[min(later)] if later else None,
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What an event says of a drop."""

    number: int
    digest: str
    event: RetentionEvent
    before: str
    actor: str
    reason: str
    bundles: tuple[str, ...]
    chunks: tuple[str, ...]


def said_by(event: RetentionEvent) -> Said | None:
    """An event's words; None if they are not those of a drop."""
    try:
        found = json.loads(event.attributes)
        number, digest = found["retention.drop"], found["retention.runs_digest"]
        if type(number) is not int or not isinstance(digest, str):
            return None
        return Said(
            number,
            digest,
            event,
            str(found.get("retention.before", "")),
            str(found.get("retention.actor", "")),
            str(found.get("retention.reason", "")),
            _texts(found.get("retention.bundles")),
            _texts(found.get("retention.chunks")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _events(source: Snapshot) -> list[RetentionEvent]:
    return retention_events(source, CHAIN, EVENT)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _drop(number: int, rows: Counter[str], said: Said | None) -> Drop:
    found = tuple(sorted(rows.items()))
    if said is None:
        # Its event's own chunk was dropped since; a later event's digest has its runs too.
        return Drop(number, found, None, None, "", "", "", ())
    event = said.event
    return Drop(
        number, found, event.seq, event.event_time, said.before, said.actor, said.reason, said.bundles
    )


def is_declared(source: Snapshot, number: int, digest: str) -> bool:
    """Whether an event of the ledger declares that drop with that digest."""
    return any(
        (said.number, said.digest) == (number, digest)
        for said in map(said_by, _events(source))
        if said is not None
    )


def check_period(source: Snapshot, streams: Iterable[str], start: datetime, end: datetime) -> None:
    """Raise if rows of these streams in the period were dropped.

    Raises:
        RowsDropped: they were, as far as the events tell that are still in the ledger.
    """
    retention = read_retention(source)
    wanted = set(streams)
    for said in map(said_by, _events(source)):
        if said is None or said.number > retention.counted:
            continue
        for stream, first, last in map(_interval, said.chunks):
            if stream in wanted and first < end and last > start:
                raise RowsDropped(
                    f"rows of {stream} from {first:%Y-%m-%d} to {last:%Y-%m-%d} were dropped on "
                    f"{said.event.event_time:%Y-%m-%d}; they are in the bundle "
                    f"{', '.join(said.bundles) or 'unknown'}"
                )


def _interval(title: str) -> tuple[str, datetime, datetime]:
    """A chunk's stream and event times; an interval that is none lies nowhere."""
    stream, _, interval = title.partition(" ")
    first, _, last = interval.partition("/")
    try:
        start, end = (datetime.fromisoformat(moment) for moment in (first, last))
        if start.tzinfo is not None and end.tzinfo is not None:
            return stream, start, end
    except ValueError:
        pass
    return "", datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)


def check_rows(  # noqa: PLR0917 - rows have as many sides
    source: Snapshot, retention: Retention, stream: str, chain: str, first_seq: int, last_seq: int
) -> None:
    """Raise if one of these rows of a chain was dropped.

    Raises:
        RowsDropped: it was.
    """
    for run in some_runs(source, stream, chain, chain, retention.counted):
        if run.first_seq <= last_seq and run.last_seq >= first_seq:
            drop = next(one for one in retention.drops if one.number == run.drop_number)
            when = f" on {drop.event_time:%Y-%m-%d}" if drop.event_time else ""
            raise RowsDropped(
                f"rows {run.first_seq} to {run.last_seq} of {stream} {chain} were dropped{when}; they are in "
                f"the bundle {', '.join(drop.bundles) or 'that was made of them then'}"
            )
