"""One machine through the days: deposits, lots, faults and the events that come of them.

A day is first drawn (``draw_day``), then the fleet may place faults that were asked for, then it is settled
(``settle_day``): from there on nothing about it changes.  ``events_until`` hands out what is due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from generator import events
from generator.calibration import calibrations
from generator.clock import DAY_NS, SECOND_NS, rfc3339, whole_ms
from generator.deposits import Ints, Visits, visits
from generator.fault_records import Row, interval_record, row, transaction_rows
from generator.faults import (
    DUPLICATE_S,
    LATE_S,
    NO_FAULT,
    TransactionFaults,
    declared_material,
    faults_by_chance,
    implausible_mass_dg,
)
from generator.fleet import Fleet, Machine
from generator.intervals import Interval, MachineIntervals
from generator.lotbook import MG_PER_DG, LotBook, by_material
from generator.lots import Filling, Hopper, fill_day
from generator.manifest import FaultRecord
from generator.materials import MATERIAL_IDS
from generator.otlp import Event
from generator.questions import Question, Questioner
from generator.randomness import Purpose, generator
from generator.signals import SensorState, errors_of_day
from generator.spec import TRANSACTION_KINDS, FaultKind, FleetSpec

_REVIEW_DELAY_S: Final = (600, 14_400)
_REVIEWERS: Final = ("reviewer-a", "reviewer-b", "reviewer-c")


@dataclass(slots=True)
class Day:
    """A drawn day: what was deposited, and what goes wrong with it."""

    number: int
    filling: Filling
    faults: TransactionFaults
    first_seq: int
    declared: Ints
    reported_dg: Ints

    @property
    def visits(self) -> Visits:
        """The deposits that the machine accepted."""
        return self.filling.accepted

    def fault_at(self, position: int) -> FaultKind | None:
        """What goes wrong with that deposit."""
        code = int(self.faults.code[position])
        return None if code == NO_FAULT else TRANSACTION_KINDS[code]

    def prediction_sent(self, position: int) -> bool:
        """Whether the deposit's prediction reaches the collector; if the deposit is lost, half of them do."""
        kind = self.fault_at(position)
        if kind is FaultKind.LOST_DEPOSIT:
            return bool(self.faults.u[position, 1] < 0.5)
        return kind is not FaultKind.LOST_PREDICTION


class MachineSimulation:
    """The life of one machine; days are drawn in order."""

    def __init__(
        self,
        spec: FleetSpec,
        fleet: Fleet,
        machine: Machine,
        intervals: MachineIntervals,
        questioner: Questioner | None = None,
    ) -> None:
        """``questioner``: predictions and their reviews are others' doing; the machine only asks."""
        self.machine = machine
        self.intervals = intervals
        self.sensors = SensorState(spec, machine, intervals)
        self.truth_mg = np.zeros(len(MATERIAL_IDS), dtype=np.int64)
        self.reported_mg = np.zeros(len(MATERIAL_IDS), dtype=np.int64)
        self.fault_records: list[FaultRecord] = []
        self.plant_events: list[Event] = []
        self.review_events: list[Event] = []
        self.deposits = 0
        self.lots = LotBook(machine, spec.run, fleet.plant.id)
        self._spec = spec
        self._run = spec.run
        self._hopper = Hopper()
        self._days: deque[Day] = deque()
        self._emitted_to_ns = spec.start_ns
        self._held: list[Event] = calibrations(spec, machine, intervals)
        self._held.append(events.status(spec.start_ns, "ok", "in service"))
        self._held += [events.status(i.to_ns, "ok", "restarted") for i in intervals.of(FaultKind.DOWNTIME)]
        self._questioner = questioner
        self._questions: list[Question] = []
        self._skewed: dict[Interval, list[Row]] = {i: [] for i in intervals.of(FaultKind.CLOCK_SKEW)}

    def draw_day(self, number: int) -> Day:
        """Draw a day: who comes, what the hopper takes, and the faults that happen by chance."""
        spec, machine = self._spec, self.machine
        wanted = visits(spec, machine, number)
        wanted = wanted.keep(~self.intervals.unvisited(wanted.time_ns))
        filling = fill_day(
            machine,
            self._hopper,
            wanted,
            day_end_ns=min(spec.start_ns + (number + 1) * DAY_NS, spec.end_ns),
            draw=generator(spec.seed, machine.number, Purpose.DRIVER, number).random,
            reachable=self.intervals.reachable,
        )
        errors = errors_of_day(spec, machine, number, self.intervals)
        self.sensors.see(filling.accepted.time_ns, filling.fill_time_ns, filling.fill, errors)
        self._held += [events.error(e.time_ns, e.type) for e in errors]
        taken = filling.accepted
        day = Day(
            number=number,
            filling=filling,
            faults=faults_by_chance(spec, machine.number, number, taken, self.intervals),
            first_seq=self.deposits + 1,
            declared=taken.material.copy(),
            reported_dg=taken.mass_dg.copy(),
        )
        self.deposits += len(taken)
        self._days.append(day)
        return day

    def settle_day(self, day: Day) -> None:
        """Fix what the machine will say about a day, and close its lots."""
        taken = day.visits
        copies = np.ones(len(taken), dtype=np.int64)
        for position in np.flatnonzero(day.faults.code != NO_FAULT).tolist():
            copies[position] = self._play(day, position)
        reported_dg = day.reported_dg * copies
        np.add.at(self.truth_mg, taken.material, taken.mass_dg * MG_PER_DG)
        np.add.at(self.reported_mg, day.declared, reported_dg * MG_PER_DG)
        if self._questioner is None:
            self._review(day)
        rng = generator(self._spec.seed, self.machine.number, Purpose.SCALE, day.number)
        first = 0
        for emptying in day.filling.emptyings:
            last = int(np.searchsorted(taken.time_ns, emptying.time_ns))
            self.lots.add(taken.material[first:last], taken.mass_dg[first:last], reported_dg[first:last])
            first = last
            lot_id = self.lots.lot_id(emptying.lot)
            self._held.append(events.emptied(emptying.time_ns, lot_id, emptying.fill_before))
            ticket = self.lots.close(emptying, rng)
            if ticket is not None:
                self.plant_events.append(ticket)
        self.lots.add(taken.material[first:], taken.mass_dg[first:], reported_dg[first:])

    def events_until(self, end_ns: int) -> list[Event]:
        """Everything that is sent before the true time ``end_ns`` and was not handed out yet, in order."""
        begin_ns, self._emitted_to_ns = self._emitted_to_ns, end_ns
        self._held += self._heartbeats(begin_ns, end_ns)
        for day in self._days:
            if self._spec.start_ns + day.number * DAY_NS >= end_ns:
                break
            first, last = np.searchsorted(day.visits.time_ns, (begin_ns, end_ns)).tolist()
            for position in range(first, last):
                self._held += self._records(day, position)
        while self._days and self._spec.start_ns + (self._days[0].number + 1) * DAY_NS <= end_ns:
            self._days.popleft()
        self._held.sort(key=lambda event: event.order)
        due = [event for event in self._held if event.order[0] < end_ns]
        del self._held[: len(due)]
        return due

    def questions_until(self, end_ns: int) -> list[Question]:
        """Everything that is asked before the true time ``end_ns``; to be called after ``events_until``."""
        self._questions.sort(key=lambda question: (question.asked_ns, question.device_seq))
        due = [question for question in self._questions if question.asked_ns < end_ns]
        del self._questions[: len(due)]
        return due

    def finish(self) -> dict[str, Any]:
        """Once all days are emitted: record the interval faults; returns the machine's manifest line."""
        for interval in self.intervals.intervals:
            members = self._skewed.get(interval, [])
            self.fault_records.append(interval_record(self._spec, self.machine, interval, members))
        return {
            "machine": self.machine.id,
            "site": self.machine.site.id,
            **self._input(),
            "deposits": self.deposits,
            "open_lot": self.lots.open_lot(self._hopper.lot),
            "truth_mg": by_material(self.truth_mg),
            "reported_mg": by_material(self.reported_mg),
        }

    def _input(self) -> dict[str, str]:
        """What its deposits are predicted from, where a service predicts."""
        if self._questioner is None:
            return {}
        return {"input": "photo" if self._questioner.has_camera(self.machine) else "readings"}

    def _heartbeats(self, begin_ns: int, end_ns: int) -> list[Event]:
        period_ns = events.HEARTBEAT_S * SECOND_NS
        first_ns = self._spec.start_ns + self.machine.heartbeat_phase_ms * 1_000_000
        skip = max(0, -(-(begin_ns - first_ns) // period_ns))
        true_ns = np.arange(
            first_ns + skip * period_ns, min(end_ns, self._spec.end_ns), period_ns, dtype=np.int64
        )
        true_ns = true_ns[~self.intervals.down(true_ns)]
        claimed = true_ns + self.intervals.skewed(true_ns)
        return [events.heartbeat(t, c) for t, c in zip(true_ns.tolist(), claimed.tolist(), strict=True)]

    def _review(self, day: Day) -> None:
        """A human confirms every unsure prediction, ten minutes to four hours later."""
        rng = generator(self._spec.seed, self.machine.number, Purpose.REVIEWS, day.number)
        low_s, high_s = _REVIEW_DELAY_S
        for position in np.flatnonzero(day.visits.low_confidence).tolist():
            item = self._item(day, position)
            at_ns = whole_ms(item.true_ns + (low_s + (high_s - low_s) * rng.random()) * SECOND_NS)
            reviewer = _REVIEWERS[int(rng.random() * len(_REVIEWERS))]
            self.review_events.append(events.review(at_ns, self.machine.number, item, reviewer))

    def _item(self, day: Day, position: int) -> events.Deposit:
        taken, machine = day.visits, self.machine
        seq, true_ns = day.first_seq + position, int(taken.time_ns[position])
        interval = self._skew_at(true_ns)
        return events.Deposit(
            machine=machine.id,
            transaction_id=f"{machine.id}-{self._run}-{seq:08d}",
            device_seq=seq,
            true_ns=true_ns,
            shift_ns=interval.shift_ns if interval else 0,
            material=int(taken.material[position]),
            declared=int(day.declared[position]),
            count=int(taken.count[position]),
            mass_dg=int(taken.mass_dg[position]),
            reported_dg=int(day.reported_dg[position]),
            tare_dg=machine.tare_dg,
            lot_id=self.lots.lot_id(int(day.filling.lot[position])),
            confidence_e4=int(taken.confidence_e4[position]),
            lead_ms=int(taken.lead_ms[position]),
        )

    def _skew_at(self, true_ns: int) -> Interval | None:
        return next((i for i in self._skewed if i.from_ns <= true_ns < i.to_ns), None)

    def _sent_later(self, day: Day, position: int) -> list[int]:
        """When the held-back or repeated records of a faulty transaction are sent, by the true clock."""
        _, u1, u2, u3 = day.faults.u[position].tolist()
        if day.fault_at(position) is FaultKind.LATE_ARRIVAL:
            chosen = day.faults.delay_s.get(position)
            delays = [LATE_S[0] + (LATE_S[1] - LATE_S[0]) * u1 if chosen is None else chosen]
        else:
            low_s, high_s = DUPLICATE_S
            delays = [low_s + (high_s - low_s) * u for u in (u1, u2)][: 1 if u3 < 0.85 else 2]
        true_ns = int(day.visits.time_ns[position])
        return sorted(self.intervals.reachable(whole_ms(true_ns + delay * SECOND_NS)) for delay in delays)

    def _records(self, day: Day, position: int) -> Iterator[Event]:
        """The records of one transaction as its fault leaves them."""
        item, kind = self._item(day, position), day.fault_at(position)
        sent_ns = [item.true_ns]
        if kind is FaultKind.LATE_ARRIVAL:
            sent_ns = self._sent_later(day, position)
        elif kind is FaultKind.DUPLICATED_DEPOSIT:
            sent_ns += self._sent_later(day, position)
        if day.prediction_sent(position):
            if self._questioner is None:
                yield events.prediction(item, sent_ns[0])
            else:
                self._questions.append(self._questioner.question(self.machine, item, sent_ns[0]))
        if kind is not FaultKind.LOST_DEPOSIT:
            for copy, at_ns in enumerate(sent_ns):
                yield events.deposit(item, at_ns, copy)
        interval = self._skew_at(item.true_ns)
        if interval is not None:
            self._skewed[interval] += [row("transactions", item), row("predictions", item)]

    def _play(self, day: Day, position: int) -> int:
        """Let a transaction's fault happen: records it, and returns how many deposit records are sent."""
        kind = day.fault_at(position)
        assert kind is not None
        item = self._item(day, position)
        u = day.faults.u[position, 1:].tolist()
        parameters: dict[str, Any] = {
            "lot_id": item.lot_id,
            "material": MATERIAL_IDS[item.material],
            "mass_mg": item.mass_dg * MG_PER_DG,
        }
        copies, end_ns = 1, item.true_ns
        effect_dg: dict[int, int] = {}
        if kind is FaultKind.WRONG_MATERIAL:
            declared = declared_material(day.faults.alternatives[position], u[0])
            day.declared[position] = declared
            parameters["declared_material"] = MATERIAL_IDS[declared]
            effect_dg = {item.material: -item.mass_dg, declared: item.mass_dg}
        elif kind is FaultKind.WRONG_MASS:
            reported = implausible_mass_dg(item.material, item.count, u)
            day.reported_dg[position] = reported
            parameters["reported_mass_mg"] = reported * MG_PER_DG
            effect_dg = {item.material: reported - item.mass_dg}
        elif kind is FaultKind.LOST_DEPOSIT:
            copies = 0
            parameters["prediction_sent"] = day.prediction_sent(position)
            effect_dg = {item.material: -item.mass_dg}
        elif kind in (FaultKind.DUPLICATED_DEPOSIT, FaultKind.LATE_ARRIVAL):
            sent_ns = self._sent_later(day, position)
            parameters["sent"] = [rfc3339(at_ns) for at_ns in sent_ns]
            end_ns = sent_ns[-1]
            if kind is FaultKind.DUPLICATED_DEPOSIT:
                copies += len(sent_ns)
                parameters["extra_records"] = len(sent_ns)
                effect_dg = {item.material: item.mass_dg * len(sent_ns)}
        self.fault_records.append(
            FaultRecord(
                kind=kind,
                machine=self.machine.id,
                site=self.machine.site.id,
                begin=rfc3339(item.true_ns),
                end=rfc3339(end_ns),
                rows=transaction_rows(kind, item, copies, predicted=day.prediction_sent(position)),
                parameters=parameters,
                effect_mg={MATERIAL_IDS[m]: dg * MG_PER_DG for m, dg in effect_dg.items()},
                key=item.device_seq,
            )
        )
        return copies
