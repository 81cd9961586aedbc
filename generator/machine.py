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
from generator.clock import DAY_NS, SECOND_NS, rfc3339, whole_ms
from generator.deposits import Ints, Visits, visits
from generator.faults import (
    DUPLICATE_S,
    LATE_S,
    NO_FAULT,
    Interval,
    MachineIntervals,
    TransactionFaults,
    declared_material,
    faults_by_chance,
    implausible_mass_dg,
)
from generator.fleet import Fleet, Machine
from generator.lots import Filling, Hopper, fill_day
from generator.manifest import FaultRecord
from generator.materials import MATERIAL_IDS
from generator.otlp import Event
from generator.randomness import Purpose, generator
from generator.signals import SensorState, errors_of_day
from generator.spec import SERIES_PER_MACHINE, TRANSACTION_KINDS, FaultKind, FleetSpec

_MG_PER_DG: Final = 100
_TICKET_DELAY_S: Final = (7_200, 36_000)
_REVIEW_DELAY_S: Final = (600, 14_400)
_SCALE_SD: Final = 0.003
_SCALE_CUT_SIGMA: Final = 3.0
_SCALE_STEP_DG: Final = 100
_LOT_TARE_DG: Final = 18_000
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


class MachineSimulation:
    """The life of one machine; days are drawn in order."""

    def __init__(self, spec: FleetSpec, fleet: Fleet, machine: Machine, intervals: MachineIntervals) -> None:
        self.machine = machine
        self.intervals = intervals
        self.sensors = SensorState(spec, machine, intervals)
        self.truth_mg = np.zeros(len(MATERIAL_IDS), dtype=np.int64)
        self.reported_mg = np.zeros(len(MATERIAL_IDS), dtype=np.int64)
        self.fault_records: list[FaultRecord] = []
        self.lots: list[dict[str, Any]] = []
        self.plant_events: list[Event] = []
        self.review_events: list[Event] = []
        self.deposits = 0
        self._spec = spec
        self._run = spec.run
        self._plant = fleet.plant.id
        self._hopper = Hopper()
        self._lot_truth_dg = np.zeros(len(MATERIAL_IDS), dtype=np.int64)
        self._lot_reported_dg = 0
        self._lot_deposits = 0
        self._days: deque[Day] = deque()
        self._emitted_to_ns = spec.start_ns
        self._held: list[Event] = [events.status(spec.start_ns, "ok", "in service")]
        self._held += [events.status(i.to_ns, "ok", "restarted") for i in intervals.of(FaultKind.DOWNTIME)]
        self._skewed: dict[Interval, list[dict[str, Any]]] = {i: [] for i in intervals.of(FaultKind.CLOCK_SKEW)}

    def draw_day(self, number: int) -> Day:
        """Draw a day: who comes, what the hopper takes, and the faults that happen by chance."""
        spec, machine = self._spec, self.machine
        wanted = visits(spec, machine, number)
        wanted = wanted.keep(~self.intervals.unvisited(wanted.time_ns))
        rng = generator(spec.seed, machine.number, Purpose.LOTS, number)
        end_ns = min(spec.start_ns + (number + 1) * DAY_NS, spec.end_ns)
        filling = fill_day(machine, self._hopper, wanted, end_ns, rng.random, self.intervals.reachable)
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
        taken, faults = day.visits, day.faults
        copies = np.ones(len(taken), dtype=np.int64)
        for position in np.flatnonzero(faults.code != NO_FAULT).tolist():
            copies[position] = self._play(day, position)
        np.add.at(self.truth_mg, taken.material, taken.mass_dg * _MG_PER_DG)
        np.add.at(self.reported_mg, day.declared, day.reported_dg * copies * _MG_PER_DG)
        rng = generator(self._spec.seed, self.machine.number, Purpose.REVIEWS, day.number)
        for position in np.flatnonzero(taken.low_confidence).tolist():
            low_s, high_s = _REVIEW_DELAY_S
            delay_ns = whole_ms((low_s + (high_s - low_s) * rng.random()) * SECOND_NS)
            reviewer = _REVIEWERS[int(rng.random() * len(_REVIEWERS))]
            item = self._item(day, position)
            self.review_events.append(events.review(item.true_ns + delay_ns, self.machine.number, item, reviewer))
        self._close_lots(day, copies)

    def events_until(self, end_ns: int) -> list[Event]:
        """Everything that is sent before the true time ``end_ns`` and was not handed out yet, in order."""
        begin_ns, self._emitted_to_ns = self._emitted_to_ns, end_ns
        self._held += self._heartbeats(begin_ns, end_ns)
        for day in self._days:
            if day.number * DAY_NS + self._spec.start_ns >= end_ns:
                break
            times = day.visits.time_ns
            first, last = np.searchsorted(times, (begin_ns, end_ns)).tolist()
            for position in range(first, last):
                self._held += self._records(day, position)
        while self._days and (self._days[0].number + 1) * DAY_NS + self._spec.start_ns <= end_ns:
            self._days.popleft()
        due = sorted((event for event in self._held if event.order[0] < end_ns), key=lambda event: event.order)
        self._held = [event for event in self._held if event.order[0] >= end_ns]
        return due

    def _heartbeats(self, begin_ns: int, end_ns: int) -> list[Event]:
        period_ns = events.HEARTBEAT_S * SECOND_NS
        first_ns = self._spec.start_ns + self.machine.heartbeat_phase_ms * 1_000_000
        end_ns = min(end_ns, self._spec.end_ns)
        skip = max(0, -(-(begin_ns - first_ns) // period_ns))
        true_ns = np.arange(first_ns + skip * period_ns, end_ns, period_ns, dtype=np.int64)
        true_ns = true_ns[~self.intervals.down(true_ns)]
        claimed = true_ns + self.intervals.skewed(true_ns)
        return [events.heartbeat(t, c) for t, c in zip(true_ns.tolist(), claimed.tolist(), strict=True)]

    def _item(self, day: Day, position: int) -> events.Deposit:
        taken, machine = day.visits, self.machine
        true_ns, seq = int(taken.time_ns[position]), day.first_seq + position
        return events.Deposit(
            machine=machine.id,
            transaction_id=f"{machine.id}-{self._run}-{seq:08d}",
            device_seq=seq,
            true_ns=true_ns,
            shift_ns=self._shift_at(true_ns),
            material=int(taken.material[position]),
            declared=int(day.declared[position]),
            count=int(taken.count[position]),
            mass_dg=int(taken.mass_dg[position]),
            reported_dg=int(day.reported_dg[position]),
            tare_dg=machine.tare_dg,
            lot_id=self._lot_id(int(day.filling.lot[position])),
            confidence_e4=int(taken.confidence_e4[position]),
            lead_ms=int(taken.lead_ms[position]),
        )

    def _shift_at(self, true_ns: int) -> int:
        for interval in self._skewed:
            if interval.from_ns <= true_ns < interval.to_ns:
                return interval.shift_ns
        return 0

    def _lot_id(self, lot: int) -> str:
        return f"lot-{self.machine.id}-{self._run}-{lot:04d}"

    def _delays(self, day: Day, position: int, kind: FaultKind) -> list[int]:
        """When the held-back or repeated records of a faulty transaction are sent, by the true clock."""
        _, u1, u2, u3 = day.faults.u[position].tolist()
        true_ns = int(day.visits.time_ns[position])
        if kind is FaultKind.LATE_ARRIVAL:
            chosen = day.faults.delay_s.get(position)
            delays = [LATE_S[0] + (LATE_S[1] - LATE_S[0]) * u1 if chosen is None else chosen]
        else:
            span = DUPLICATE_S[1] - DUPLICATE_S[0]
            delays = [DUPLICATE_S[0] + span * u1, DUPLICATE_S[0] + span * u2][: 1 if u3 < 0.85 else 2]
        return sorted(self.intervals.reachable(whole_ms(true_ns + delay * SECOND_NS)) for delay in delays)

    def _records(self, day: Day, position: int) -> Iterator[Event]:
        """The records of one transaction as its fault leaves them."""
        item = self._item(day, position)
        code = int(day.faults.code[position])
        kind = TRANSACTION_KINDS[code] if code != NO_FAULT else None
        sent_ns = [item.true_ns]
        if kind is FaultKind.LATE_ARRIVAL:
            sent_ns = self._delays(day, position, kind)
        elif kind is FaultKind.DUPLICATED_DEPOSIT:
            sent_ns += self._delays(day, position, kind)
        if kind is not FaultKind.LOST_PREDICTION and not (
            kind is FaultKind.LOST_DEPOSIT and not self._prediction_survives(day, position)
        ):
            yield events.prediction(item, sent_ns[0])
        if kind is not FaultKind.LOST_DEPOSIT:
            for copy, at_ns in enumerate(sent_ns):
                yield events.deposit(item, at_ns, copy)
        if item.shift_ns:
            for interval, members in self._skewed.items():
                if interval.from_ns <= item.true_ns < interval.to_ns:
                    members.append(_row("transactions", item))
                    members.append(_row("predictions", item))

    @staticmethod
    def _prediction_survives(day: Day, position: int) -> bool:
        return bool(day.faults.u[position, 1] < 0.5)

    def _play(self, day: Day, position: int) -> int:
        """Let a transaction's fault happen; records it and returns how many deposit records are sent."""
        taken = day.visits
        kind = TRANSACTION_KINDS[int(day.faults.code[position])]
        true_ns = int(taken.time_ns[position])
        material, mass_dg = int(taken.material[position]), int(taken.mass_dg[position])
        u = day.faults.u[position, 1:].tolist()
        parameters: dict[str, Any] = {}
        copies, end_ns = 1, true_ns
        effect_dg = {}
        if kind is FaultKind.WRONG_MATERIAL:
            declared = declared_material(day.faults.alternatives[position], u[0])
            day.declared[position] = declared
            parameters = {"true_material": MATERIAL_IDS[material], "declared_material": MATERIAL_IDS[declared]}
            effect_dg = {material: -mass_dg, declared: mass_dg}
        elif kind is FaultKind.WRONG_MASS:
            reported = implausible_mass_dg(material, int(taken.count[position]), u)
            day.reported_dg[position] = reported
            parameters = {"true_mass_mg": mass_dg * _MG_PER_DG, "reported_mass_mg": reported * _MG_PER_DG}
            effect_dg = {material: reported - mass_dg}
        elif kind is FaultKind.LOST_DEPOSIT:
            copies = 0
            parameters = {"prediction_sent": self._prediction_survives(day, position)}
            effect_dg = {material: -mass_dg}
        elif kind in (FaultKind.DUPLICATED_DEPOSIT, FaultKind.LATE_ARRIVAL):
            sent_ns = self._delays(day, position, kind)
            parameters = {"sent": [rfc3339(at_ns) for at_ns in sent_ns]}
            end_ns = sent_ns[-1]
            if kind is FaultKind.DUPLICATED_DEPOSIT:
                copies += len(sent_ns)
                parameters["copies"] = len(sent_ns)
                effect_dg = {material: mass_dg * len(sent_ns)}
        item = self._item(day, position)
        parameters |= {"material": MATERIAL_IDS[item.material], "mass_mg": mass_dg * _MG_PER_DG}
        self.fault_records.append(
            FaultRecord(
                kind=kind,
                machine=self.machine.id,
                site=self.machine.site.id,
                begin=rfc3339(true_ns),
                end=rfc3339(end_ns),
                rows=_fault_rows(kind, item, copies, parameters),
                parameters=parameters | {"lot_id": item.lot_id},
                effect_mg={MATERIAL_IDS[m]: dg * _MG_PER_DG for m, dg in effect_dg.items()},
                key=item.device_seq,
            )
        )
        return copies

    def _close_lots(self, day: Day, copies: Ints) -> None:
        """Add a day's deposits to their lots; a lot that was emptied goes to the plant and is weighed."""
        taken = day.visits
        rng = generator(self._spec.seed, self.machine.number, Purpose.LOTS, day.number + 1_000_000)
        first = 0
        for emptying in [*day.filling.emptyings, None]:
            last = len(taken) if emptying is None else int(np.searchsorted(taken.time_ns, emptying.time_ns))
            np.add.at(self._lot_truth_dg, taken.material[first:last], taken.mass_dg[first:last])
            self._lot_reported_dg += int((day.reported_dg[first:last] * copies[first:last]).sum())
            self._lot_deposits += last - first
            first = last
            if emptying is not None:
                lot_id = self._lot_id(emptying.lot)
                self._held.append(events.emptied(emptying.time_ns, lot_id, emptying.fill_before))
                self._weigh(lot_id, emptying.lot, emptying.time_ns, rng)

    def _weigh(self, lot_id: str, lot: int, emptied_ns: int, rng: np.random.Generator) -> None:
        truth_dg = int(self._lot_truth_dg.sum())
        delay_s = _TICKET_DELAY_S[0] + (_TICKET_DELAY_S[1] - _TICKET_DELAY_S[0]) * rng.random()
        noise = np.clip(rng.standard_normal(1 + len(MATERIAL_IDS)), -_SCALE_CUT_SIGMA, _SCALE_CUT_SIGMA)
        mass_dg = round(truth_dg * (1 + _SCALE_SD * float(noise[0])) / _SCALE_STEP_DG) * _SCALE_STEP_DG
        at_ns = whole_ms(emptied_ns + delay_s * SECOND_NS)
        weights = np.rint(self._lot_truth_dg * (1 + 0.004 * noise[1:])).astype(np.int64)
        parts = tuple((m, p) for m, p in zip(MATERIAL_IDS, _parts_e4(weights.tolist()), strict=True) if p)
        order = (self.machine.number, lot)
        site_id = self.machine.site.id
        if mass_dg > 0:
            self.plant_events.append(
                events.scale_ticket(at_ns, order, self._plant, site_id, lot_id, mass_dg, _LOT_TARE_DG, parts)
            )
        self.lots.append(
            {
                "lot_id": lot_id,
                "machine": self.machine.id,
                "site": site_id,
                "emptied": rfc3339(emptied_ns),
                "deposits": self._lot_deposits,
                "truth_mg": truth_dg * _MG_PER_DG,
                "truth_by_material_mg": _by_material(self._lot_truth_dg * _MG_PER_DG),
                "reported_mg": self._lot_reported_dg * _MG_PER_DG,
                "ticket": f"ticket-{lot_id}" if mass_dg > 0 else None,
                "ticket_mg": mass_dg * _MG_PER_DG,
                "ticket_time": rfc3339(at_ns),
            }
        )
        self._lot_truth_dg[:] = 0
        self._lot_reported_dg = self._lot_deposits = 0

    def finish(self) -> None:
        """Record the interval faults, once all days are emitted."""
        for interval in self.intervals.intervals:
            self.fault_records.append(self._interval_record(interval))

    def facts(self) -> dict[str, Any]:
        """The machine's line of the manifest."""
        return {
            "machine": self.machine.id,
            "site": self.machine.site.id,
            "deposits": self.deposits,
            "open_lot": {
                "lot_id": self._lot_id(self._hopper.lot),
                "deposits": self._lot_deposits,
                "truth_mg": int(self._lot_truth_dg.sum()) * _MG_PER_DG,
                "reported_mg": self._lot_reported_dg * _MG_PER_DG,
            },
            "truth_mg": _by_material(self.truth_mg),
            "reported_mg": _by_material(self.reported_mg),
        }

    def _interval_record(self, interval: Interval) -> FaultRecord:
        spec, machine, kind = self._spec, self.machine, interval.kind
        beats = _on_grid(spec.start_ns, machine.heartbeat_phase_ms, events.HEARTBEAT_S, interval)
        steps = _on_grid(spec.start_ns, machine.sensor_phase_ms, spec.step_s, interval)
        period = {"from": rfc3339(interval.from_ns), "to": rfc3339(interval.to_ns)}
        rows: list[dict[str, Any]]
        parameters: dict[str, Any] = {}
        if kind is FaultKind.DOWNTIME:
            rows = [
                {"stream": "events", "event_name": "machine.heartbeat", **period, "missing": beats},
                {"stream": "telemetry", **period, "missing": steps * SERIES_PER_MACHINE},
            ]
        elif kind is FaultKind.CLOCK_SKEW:
            parameters = {"shift_ms": interval.shift_ns // 1_000_000}
            rows = [
                {"stream": "events", "event_name": "machine.heartbeat", **period, "count": beats},
                {"stream": "telemetry", **period, "count": steps * SERIES_PER_MACHINE},
                *self._skewed[interval],
            ]
        else:
            parameters = {"amplitude_c": interval.amplitude_c}
            rows = [{"stream": "telemetry", "metric": "hw.temperature", **period, "count": steps}]
        return FaultRecord(
            kind=kind,
            machine=machine.id,
            site=machine.site.id,
            begin=period["from"],
            end=period["to"],
            rows=rows,
            parameters=parameters,
            effect_mg={},
        )


def _row(stream: str, item: events.Deposit) -> dict[str, Any]:
    return {"stream": stream, "transaction_id": item.transaction_id, "device_seq": item.device_seq}


def _fault_rows(
    kind: FaultKind, item: events.Deposit, copies: int, parameters: dict[str, Any]
) -> list[dict[str, Any]]:
    """Which rows show a transaction's fault; ``count`` is how many there are, 0 for one that is missing."""
    transactions = {**_row("transactions", item), "count": copies}
    prediction_count = int(kind is not FaultKind.LOST_PREDICTION and parameters.get("prediction_sent", True))
    predictions = {**_row("predictions", item), "count": prediction_count}
    if kind in (FaultKind.DUPLICATED_DEPOSIT, FaultKind.WRONG_MASS):
        return [transactions]
    return [transactions, predictions]


def _on_grid(start_ns: int, phase_ms: int, period_s: int, interval: Interval) -> int:
    """How many points of a periodic grid fall into an interval."""
    first_ns, period_ns = start_ns + phase_ms * 1_000_000, period_s * SECOND_NS

    def before(time_ns: int) -> int:
        return max(0, -(-(time_ns - first_ns) // period_ns))

    return before(interval.to_ns) - before(interval.from_ns)


def _parts_e4(weights: list[int]) -> list[int]:
    """Weights as parts of 10,000 that sum to exactly that (largest remainders)."""
    total = sum(weights)
    if total <= 0:
        return [0] * len(weights)
    parts = [weight * 10_000 // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(weights[i] * 10_000 % total), i))
    for index in by_remainder[: 10_000 - sum(parts)]:
        parts[index] += 1
    return parts


def _by_material(mass_mg: Ints) -> dict[str, int]:
    return dict(zip(MATERIAL_IDS, mass_mg.tolist(), strict=True))
