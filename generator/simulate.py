"""The run as a sequence of OTLP requests: window after window, machine after machine.

The sequence is a pure function of the spec.  ``chunk_windows`` only says how many windows are prepared at a
time: more is faster and takes more memory.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from generator import events
from generator.clock import DAY_NS, SECOND_NS
from generator.faults import Quotas
from generator.fleet import Emitter, Fleet, build_fleet
from generator.intervals import Schedule
from generator.machine import MachineSimulation
from generator.manifest import Facts
from generator.materials import MATERIAL_IDS
from generator.otlp import EncodedReadings, Event, encode_readings, log_records, request
from generator.questions import Question, Questioner, body
from generator.signals import Readings
from generator.spec import SERIES_PER_MACHINE, FleetSpec

Signal = Literal["metrics", "logs", "predictions"]

_CHUNK_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Batch:
    """One OTLP request, or the questions of one machine to a prediction service (``predictions``).

    ``due_ns`` is the true time at which a live fleet would send it: the end of its window.  ``payload`` is
    the encoded request; ``content`` the same as records, for the SDK's exporters.  ``rows`` counts the rows
    that it becomes, by ledger stream; a question becomes the row of its answer.
    """

    signal: Signal
    emitter: Emitter
    due_ns: int
    payload: bytes
    rows: dict[str, int]
    content: Sequence[Event] | tuple[Readings, int, int]
    questions: tuple[Question, ...] = ()

    @property
    def total_rows(self) -> int:
        """Rows of all streams."""
        return sum(self.rows.values())


class Simulation:
    """One run.  Iterate ``batches`` once, to its end; then ``facts`` is complete."""

    def __init__(
        self, spec: FleetSpec, *, chunk_windows: int | None = None, questioner: Questioner | None = None
    ) -> None:
        """``questioner``: predictions are asked for; none is made up, nor a model's life, nor reviews."""
        self.spec = spec
        self.fleet: Fleet = build_fleet(spec)
        self._chunk_windows = chunk_windows or max(1, _CHUNK_S // spec.window_s)
        schedule = Schedule(spec)
        self._interval_unplaced = schedule.unplaced
        self._machines = [
            MachineSimulation(spec, self.fleet, m, schedule.of(m.number), questioner)
            for m in self.fleet.machines
        ]
        self._quotas = Quotas(spec)
        self._days_drawn = 0
        self._digest = hashlib.sha256()
        self._facts = Facts()
        self._complete = False
        self._stations: dict[Emitter, list[Event]] = {
            self.fleet.registry: [] if questioner else events.model_lifecycle(spec.start_ns),
            self.fleet.plant: [],
            self.fleet.review_desk: [],
        }
        self._rows: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    @property
    def facts(self) -> Facts:
        """What the manifest says, as far as the run has come; ``complete`` tells whether that is all."""
        if self._complete:
            return self._facts
        facts = Facts(requests=self._facts.requests, request_bytes=self._facts.request_bytes)
        facts.rows = {stream: dict(of) for stream, of in self._rows.items()}
        facts.digest = self._digest.hexdigest()
        return facts

    @property
    def complete(self) -> bool:
        """Whether every request was handed out."""
        return self._complete

    def batches(self) -> Iterator[Batch]:
        """Every request, in order."""
        for batch in self._batches():
            self._digest.update(b"%d %s\n" % (len(batch.payload), batch.signal.encode()))
            self._digest.update(batch.payload)
            self._facts.requests += 1
            self._facts.request_bytes += len(batch.payload)
            for stream, count in batch.rows.items():
                self._rows[stream][batch.emitter.id] += count
            yield batch
        self._finish()

    def _batches(self) -> Iterator[Batch]:
        spec = self.spec
        window_ns = spec.window_s * SECOND_NS
        windows = -(-spec.duration_s // spec.window_s)
        for first in range(0, windows, self._chunk_windows):
            last = min(first + self._chunk_windows, windows)
            end_ns = min(spec.start_ns + last * window_ns, spec.end_ns)
            while spec.start_ns + self._days_drawn * DAY_NS < end_ns:
                self._draw_day()
            readings = [
                encode_readings(machine.sensors.read_until(end_ns), spec.start_ns)
                for machine in self._machines
            ]
            logs = self._logs_until(end_ns)
            asked = self._questions_until(end_ns)
            edges = spec.start_ns + np.arange(first, last + 1, dtype=np.int64) * window_ns
            cuts = [np.searchsorted(piece.readings.true_ns, edges).tolist() for piece in readings]
            for window in range(first, last):
                due_ns = min(spec.start_ns + (window + 1) * window_ns, spec.end_ns)
                for machine, piece, cut in zip(self._machines, readings, cuts, strict=True):
                    begin, end = cut[window - first], cut[window - first + 1]
                    if end > begin:
                        yield _metrics_batch(machine.machine.emitter, due_ns, piece, begin, end)
                    yield from _logs_batch(
                        machine.machine.emitter, due_ns, logs[machine.machine.emitter][window]
                    )
                    yield from _questions_batch(
                        machine.machine.emitter, due_ns, asked[machine.machine.emitter].get(window, [])
                    )
                for station in self._stations:
                    yield from _logs_batch(station, due_ns, logs[station][window])
        yield from self._tail(window_ns)

    def _tail(self, window_ns: int) -> Iterator[Batch]:
        """What is sent after the end of the run: held-back deposits, repeats, tickets and reviews."""
        logs = self._logs_until(2**63 - 1)
        asked = self._questions_until(2**63 - 1)
        windows = {w for of in logs.values() for w in of} | {w for of in asked.values() for w in of}
        for window in sorted(windows):
            due_ns = self.spec.start_ns + (window + 1) * window_ns
            for emitter, of in logs.items():
                yield from _logs_batch(emitter, due_ns, of.get(window, []))
                yield from _questions_batch(emitter, due_ns, asked.get(emitter, {}).get(window, []))

    def _logs_until(self, end_ns: int) -> dict[Emitter, dict[int, list[Event]]]:
        """Events that are sent before ``end_ns``, by emitter and window, in order."""
        found: dict[Emitter, dict[int, list[Event]]] = {}
        for machine in self._machines:
            found[machine.machine.emitter] = self._by_window(machine.events_until(end_ns))
        for station, waiting in self._stations.items():
            due = sorted((e for e in waiting if e.order[0] < end_ns), key=lambda event: event.order)
            self._stations[station] = [e for e in waiting if e.order[0] >= end_ns]
            found[station] = self._by_window(due)
        return found

    def _questions_until(self, end_ns: int) -> dict[Emitter, dict[int, list[Question]]]:
        """Questions that are asked before ``end_ns``, by machine and window, in order."""
        found: dict[Emitter, dict[int, list[Question]]] = {}
        for machine in self._machines:
            windows = found[machine.machine.emitter] = defaultdict(list)
            for question in machine.questions_until(end_ns):
                windows[self._window(question.asked_ns)].append(question)
        return found

    def _window(self, at_ns: int) -> int:
        return (at_ns - self.spec.start_ns) // (self.spec.window_s * SECOND_NS)

    def _by_window(self, due: list[Event]) -> dict[int, list[Event]]:
        windows: dict[int, list[Event]] = defaultdict(list)
        for event in due:
            windows[self._window(event.order[0])].append(event)
        return windows

    def _draw_day(self) -> None:
        days = [machine.draw_day(self._days_drawn) for machine in self._machines]
        self._quotas.serve([day.visits for day in days], [day.faults for day in days])
        for machine, day in zip(self._machines, days, strict=True):
            machine.settle_day(day)
            self._stations[self.fleet.plant] += machine.plant_events
            self._stations[self.fleet.review_desk] += machine.review_events
            machine.plant_events, machine.review_events = [], []
        self._days_drawn += 1

    def _finish(self) -> None:
        facts = self._facts
        truth = np.zeros(len(MATERIAL_IDS), dtype=np.int64)
        reported = np.zeros(len(MATERIAL_IDS), dtype=np.int64)
        for machine in self._machines:
            facts.machines.append(machine.finish())
            facts.faults += machine.fault_records
            facts.lots += machine.lots.closed
            facts.deposits += machine.deposits
            truth += machine.truth_mg
            reported += machine.reported_mg
        facts.truth_mg = dict(zip(MATERIAL_IDS, truth.tolist(), strict=True))
        facts.reported_mg = dict(zip(MATERIAL_IDS, reported.tolist(), strict=True))
        missing = {**self._interval_unplaced, **self._quotas.unplaced()}
        facts.unplaced = {kind.value: count for kind, count in sorted(missing.items()) if count}
        facts.rows = {stream: dict(sorted(of.items())) for stream, of in sorted(self._rows.items())}
        facts.digest = self._digest.hexdigest()
        self._complete = True


def _metrics_batch(emitter: Emitter, due_ns: int, piece: EncodedReadings, begin: int, end: int) -> Batch:
    rows = {"telemetry": (end - begin) * SERIES_PER_MACHINE}
    payload = request(emitter.resource, piece.cut(begin, end))
    return Batch("metrics", emitter, due_ns, payload, rows, (piece.readings, begin, end))


def _logs_batch(emitter: Emitter, due_ns: int, due: list[Event]) -> Iterator[Batch]:
    if due:
        rows: dict[str, int] = defaultdict(int)
        for event in due:
            rows[events.STREAM_OF_EVENT[event.name]] += 1
        yield Batch("logs", emitter, due_ns, request(emitter.resource, log_records(due)), dict(rows), due)


def _questions_batch(emitter: Emitter, due_ns: int, due: list[Question]) -> Iterator[Batch]:
    if due:
        rows = {"predictions": len(due)}
        yield Batch("predictions", emitter, due_ns, body(due), rows, (), tuple(due))
