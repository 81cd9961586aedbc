"""The result of a verification: figures, breaks, and what they prove."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from audit.breaks import Break, BreakKind
from audit.scope import Scope

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """What was verified of a stream, and how many rows of it are concerned by breaks."""

    stream: str
    rows: int
    chains: int
    broken: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Rows that were dropped with their chunks after they had been exported: ``audit.retention``.

    ``rows`` by stream.  ``event_seq``: the event's row in the chain ``tally-audit`` of ``events``, and what
    it says; None if that row was dropped since: a later event's digest covers its drop too.  ``bundles``:
    SHA-256 of the files that have the rows.
    """

    number: int
    rows: tuple[tuple[str, int], ...]
    event_seq: int | None
    event_time: datetime | None
    before: str
    actor: str
    reason: str
    bundles: tuple[str, ...]

    @property
    def total(self) -> int:
        """Rows of all streams."""
        return sum(count for _, count in self.rows)

    def to_json(self) -> dict[str, Json]:
        """As JSON values."""
        return {
            "drop": self.number,
            "rows": {stream: count for stream, count in self.rows},  # noqa: C416 - values that JSON has
            "event": None
            if self.event_seq is None or self.event_time is None
            else {
                "stream": "events",
                "chain": "tally-audit",
                "seq": self.event_seq,
                "event_time": self.event_time.isoformat(),
            },
            "before": self.before,
            "actor": self.actor,
            "reason": self.reason,
            "bundles": list(self.bundles),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a verification.

    ``as_of``: the database's clock when the snapshot was taken, which everything was read from.  ``breaks``
    are named; ``counts`` has all of them in rows, ``unnamed`` those that are not among ``breaks``.
    ``drops``: rows that are not there any more and need not be.
    """

    scope: Scope
    as_of: datetime
    seconds: float
    processes: int
    streams: tuple[StreamFigures, ...]
    resources: int
    breaks: tuple[Break, ...]
    counts: tuple[tuple[str, BreakKind, int], ...]
    drops: tuple[Drop, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is broken."""
        return not self.counts

    @property
    def rows(self) -> int:
        """Rows verified."""
        return sum(stream.rows for stream in self.streams)

    @property
    def chains(self) -> int:
        """Chains verified, in whole or in part."""
        return sum(stream.chains for stream in self.streams)

    @property
    def dropped(self) -> int:
        """Rows that were dropped, of the streams in the scope."""
        names = {stream.name for stream in self.scope.streams}
        return sum(count for drop in self.drops for stream, count in drop.rows if stream in names)

    @property
    def unnamed(self) -> int:
        """Rows concerned by breaks that are counted but not named."""
        return sum(count for _, _, count in self.counts) - sum(found.rows for found in self.breaks)

    @property
    def rows_per_s(self) -> float:
        """Rows verified a second, start of the processes included."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def proves(self) -> tuple[str, ...]:
        """What the check shows if nothing was found."""
        scope = self.scope
        said = ["Every row read is the one that its chain was built with: no value and no order was changed."]
        if scope.timed:
            said.append(
                "Between the first and the last row that each chain has in the period, no row is missing."
            )
        else:
            said.append(
                "No row is missing or was added in these chains, from their first row on"
                + (", but for those that were dropped." if self.dropped else ".")
            )
        if scope.to_the_end:
            said.append("Each chain ends where its head says.")
        return tuple(said)

    @property
    def leaves_open(self) -> tuple[str, ...]:
        """What the check can't show."""
        scope = self.scope
        said = []
        if scope.timed:
            said.append(
                "The rows before each part were not checked: the hash of the row before was taken as given."
            )
            said.append(
                "A chain whose rows in the period are all gone is seen only by a check without a period."
            )
        elif scope.machine is not None:
            said.append(
                "Rows that were moved to other chains are named here as missing; where they are is not told."
            )
        elif not scope.whole:
            said.append("Other streams were not checked.")
        if scope.until is not None:
            said.append("The ends of the chains were not compared with their heads.")
        if self.dropped:
            said.append(
                f"{self.dropped:,} rows were dropped, as the ledger's own events say: they are in the "
                "bundles alone, whose verify.py checks them."
            )
            if not any(stream.name == "events" for stream in scope.streams):
                said.append("The events that say so were not checked: they are rows of the stream events.")
        said.append(
            "Someone who can write everything can rewrite a chain from some row to its end, with its head, "
            "or remove a chain with its head: only what was kept elsewhere (checkpoints) shows that."
        )
        return tuple(said)

    def to_json(self) -> dict[str, Json]:
        """The report as JSON values; times are ISO 8601, UTC."""
        scope = self.scope
        return {
            "ok": self.ok,
            "as_of": self.as_of.isoformat(),
            "scope": {
                "streams": [stream.name for stream in scope.streams],
                "machine": scope.machine,
                "since": scope.since.isoformat() if scope.since else None,
                "until": scope.until.isoformat() if scope.until else None,
                "whole_ledger": scope.whole,
            },
            "rows": self.rows,
            "chains": self.chains,
            "resources": self.resources,
            "seconds": round(self.seconds, 3),
            "rows_per_s": round(self.rows_per_s),
            "processes": self.processes,
            "streams": [
                {"stream": one.stream, "rows": one.rows, "chains": one.chains, "broken": one.broken}
                for one in self.streams
            ],
            "broken": sum(count for _, _, count in self.counts),
            "counts": [
                {"stream": stream, "kind": kind.value, "rows": count} for stream, kind, count in self.counts
            ],
            "breaks": [
                {
                    "kind": found.kind.value,
                    "stream": found.stream,
                    "chain": found.chain,
                    "seq": found.seq,
                    "last_seq": found.last_seq,
                    "event_time": found.event_time.isoformat() if found.event_time else None,
                    "detail": found.detail,
                }
                for found in self.breaks
            ],
            "unnamed": self.unnamed,
            "dropped": self.dropped,
            "drops": [drop.to_json() for drop in self.drops],
            "proves": list(self.proves) if self.ok else [],
            "leaves_open": list(self.leaves_open),
        }
