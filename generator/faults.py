"""Faults: where they may fall, and what each does to a machine or a transaction.

Faults stay apart, so that each has one right class: the intervals of one machine never touch (a guard lies
between them), and a transaction is hit at most once, never inside an interval of clock skew, and never if a
human reviews it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from generator.clock import DAY_NS, SECOND_NS, rfc3339, whole_ms
from generator.deposits import Flags, Floats, Ints, Visits
from generator.errors import SpecError
from generator.materials import IMPLAUSIBLE_FACTOR, MATERIALS
from generator.randomness import FLEET, Purpose, generator
from generator.spec import INTERVAL_KINDS, TRANSACTION_KINDS, FaultKind, FleetSpec, PlannedFault

_DURATION_S: Final = {
    # kind: drawn from, drawn to, shortest that is still worth playing (all in seconds; our choice)
    FaultKind.DOWNTIME: (300, 14_400, 90),
    FaultKind.CLOCK_SKEW: (600, 7_200, 60),
    FaultKind.SLOW_DRIFT: (21_600, 172_800, 60),
}
_SHIFT_S: Final = (120, 900)
_SHORTEST_DRIFT_SAMPLES: Final = 10
_PLACING_ATTEMPTS: Final = 200
LATE_S: Final = (7_200, 43_200)
DUPLICATE_S: Final = (20, 240)
_EDGE_NS: Final = 2 * SECOND_NS

_MIN_DG: Final = np.array([round(m.min_g * 10) for m in MATERIALS], dtype=np.int64)
_MAX_DG: Final = np.array([round(m.max_g * 10) for m in MATERIALS], dtype=np.int64)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A fault of one machine from ``from_ns`` up to, not including, ``to_ns``, by the true clock.

    ``shift_ns`` is what a skewed clock adds; ``amplitude_c`` what a spike adds and what a drift has reached at
    its end, in Celsius.
    """

    from_ns: int
    to_ns: int
    kind: FaultKind
    shift_ns: int = 0
    amplitude_c: float = 0.0

    @property
    def occupied(self) -> tuple[int, int]:
        """The true times and the times that the machine claims."""
        return min(self.from_ns, self.from_ns + self.shift_ns), max(self.to_ns, self.to_ns + self.shift_ns)


@dataclass(slots=True)
class MachineIntervals:
    """The interval faults of one machine, in order of time, none touching another."""

    intervals: list[Interval] = field(default_factory=list)

    def place(self, new: Interval, pad_ns: int) -> bool:
        """Add it if it stays ``pad_ns`` clear of all others."""
        begin, end = new.occupied
        if any(begin - pad_ns < i.occupied[1] and i.occupied[0] < end + pad_ns for i in self.intervals):
            return False
        insort(self.intervals, new)
        return True

    def of(self, kind: FaultKind) -> Iterator[Interval]:
        """Those of one kind."""
        return (interval for interval in self.intervals if interval.kind is kind)

    def down(self, times_ns: Ints) -> Flags:
        """Which of these true times fall into a downtime."""
        mask = np.zeros(len(times_ns), dtype=np.bool_)
        for interval in self.of(FaultKind.DOWNTIME):
            mask |= (times_ns >= interval.from_ns) & (times_ns < interval.to_ns)
        return mask

    def skewed(self, times_ns: Ints) -> Ints:
        """What the machine's clock says at these true times, minus the truth."""
        shift = np.zeros(len(times_ns), dtype=np.int64)
        for interval in self.of(FaultKind.CLOCK_SKEW):
            shift[(times_ns >= interval.from_ns) & (times_ns < interval.to_ns)] = interval.shift_ns
        return shift

    def unvisited(self, times_ns: Ints) -> Flags:
        """True times at which nobody can make a deposit: downtime, and two seconds around every edge."""
        mask = np.zeros(len(times_ns), dtype=np.bool_)
        for interval in self.intervals:
            if interval.kind is FaultKind.DOWNTIME:
                mask |= (times_ns >= interval.from_ns - _EDGE_NS) & (times_ns < interval.to_ns + _EDGE_NS)
            elif interval.kind is FaultKind.CLOCK_SKEW:
                for edge in (interval.from_ns, interval.to_ns):
                    mask |= (times_ns >= edge - _EDGE_NS) & (times_ns < edge + _EDGE_NS)
        return mask

    def reachable(self, time_ns: int) -> int:
        """That time, or shortly after the downtime or skew that it falls into."""
        for interval in self.intervals:
            if interval.kind in (FaultKind.DOWNTIME, FaultKind.CLOCK_SKEW):
                pad = 60 * SECOND_NS
                if interval.from_ns - pad <= time_ns < interval.to_ns + pad:
                    return interval.to_ns + pad
        return time_ns


@dataclass(slots=True)
class Schedule:
    """All interval faults of a run, and how many of each kind could not be placed."""

    by_machine: dict[int, MachineIntervals]
    unplaced: dict[FaultKind, int]

    def of(self, machine: int) -> MachineIntervals:
        """Those of machine number ``machine``; none if it has none."""
        return self.by_machine.get(machine) or MachineIntervals()


def schedule_intervals(spec: FleetSpec) -> Schedule:
    """Place the interval faults: the planned ones, then those by chance, then what ``at_least`` still wants.

    Raises:
        SpecError: a planned one does not fit into the run or touches another planned one.
    """
    schedule = Schedule({}, {})
    placed = dict.fromkeys(INTERVAL_KINDS, 0)
    pad_ns = min(1_800, spec.duration_s // 20) * SECOND_NS

    def place(number: int, interval: Interval | None) -> bool:
        if interval is None:
            return False
        if not schedule.by_machine.setdefault(number, MachineIntervals()).place(interval, pad_ns):
            return False
        placed[interval.kind] += 1
        return True

    rng = generator(spec.seed, FLEET, Purpose.INTERVALS)
    for fault in spec.plan:
        if fault.kind in INTERVAL_KINDS:
            at_ns = whole_ms(spec.start_ns + fault.at_s * SECOND_NS)
            if not place(fault.machine, _interval(spec, fault.kind, at_ns, rng.random(3).tolist(), fault)):
                raise SpecError(
                    f"fault plan: {fault.kind} of machine {fault.machine} at {rfc3339(at_ns)} does not fit into "
                    "the run, or is too close to its ends or to another planned fault of this machine"
                )
    days = -(-spec.duration_s // 86_400)
    kinds = [kind for kind in INTERVAL_KINDS if spec.faults.of(kind) > 0]
    if kinds:
        for number in range(1, spec.machines + 1):
            u = generator(spec.seed, number, Purpose.INTERVALS).random((len(INTERVAL_KINDS), days, 5))
            for kind in kinds:
                draws = u[INTERVAL_KINDS.index(kind)]
                for day in np.flatnonzero(draws[:, 0] < spec.faults.of(kind)).tolist():
                    at_ns = whole_ms(spec.start_ns + (day + draws[day, 1]) * DAY_NS)
                    place(number, _interval(spec, kind, at_ns, draws[day, 2:].tolist()))
    for kind in kinds:
        for _ in range(_PLACING_ATTEMPTS):
            if placed[kind] >= spec.at_least:
                break
            where, at, *rest = rng.random(5).tolist()
            at_ns = whole_ms(spec.start_ns + at * spec.duration_s * SECOND_NS)
            place(1 + int(where * spec.machines), _interval(spec, kind, at_ns, rest))
        if placed[kind] < spec.at_least:
            schedule.unplaced[kind] = spec.at_least - placed[kind]
    return schedule


def _interval(
    spec: FleetSpec, kind: FaultKind, at_ns: int, u: Sequence[float], chosen: PlannedFault | None = None
) -> Interval | None:
    """An interval fault that starts there, or None if it does not fit into the run."""

    def parameter(name: str) -> float | None:
        return chosen.parameter(name) if chosen else None

    sign = 1 if u[2] < 0.5 else -1
    shift_ns, amplitude_c = 0, 0.0
    if kind is FaultKind.SENSOR_SPIKE:
        samples = int(parameter("samples") or 1 + int(u[0] * 3))
        length_ns = samples * spec.step_s * SECOND_NS
        amplitude_c = parameter("amplitude_c") or sign * round(40 + 40 * u[1], 1)
    else:
        low_s, high_s, shortest_s = _DURATION_S[kind]
        if kind is FaultKind.SLOW_DRIFT:
            shortest_s = max(shortest_s, _SHORTEST_DRIFT_SAMPLES * spec.step_s)
            amplitude_c = parameter("amplitude_c") or sign * round(8 + 8 * u[1], 1)
        length_s = parameter("duration_s")
        if length_s is None:
            length_s = min(low_s + (high_s - low_s) * u[0], spec.duration_s / 3)
            if length_s < shortest_s:
                return None
        length_ns = whole_ms(length_s * SECOND_NS)
        if kind is FaultKind.CLOCK_SKEW:
            most_s = min(_SHIFT_S[1], spec.duration_s / 4)
            if most_s < _SHIFT_S[0]:
                return None
            shift_s = parameter("shift_s") or sign * (_SHIFT_S[0] + (most_s - _SHIFT_S[0]) * u[1])
            shift_ns = whole_ms(abs(shift_s) * SECOND_NS) * (1 if shift_s > 0 else -1)
    interval = Interval(at_ns, at_ns + length_ns, kind, shift_ns, amplitude_c)
    guard_ns = min(600, spec.duration_s // 20) * SECOND_NS
    begin, end = interval.occupied
    fits = spec.start_ns + guard_ns <= begin and end <= spec.end_ns - guard_ns
    return interval if fits else None


NO_FAULT: Final = -1


@dataclass(slots=True)
class TransactionFaults:
    """Which deposits of one machine and day are hit, and the uniform numbers for each fault's parameters.

    ``code`` indexes TRANSACTION_KINDS, NO_FAULT where there is none.  ``alternatives`` holds, for each
    deposit, the materials for which its mass would be plausible too.
    """

    code: Ints
    eligible: Flags
    alternatives: Flags
    losable: Flags
    u: Floats
    delay_s: dict[int, float] = field(default_factory=dict)

    def may_be(self, kind: FaultKind) -> Flags:
        """Deposits that this kind of fault may still hit."""
        may = self.eligible & (self.code == NO_FAULT)
        if kind is FaultKind.WRONG_MATERIAL:
            may &= self.alternatives.any(axis=1)
        if kind is FaultKind.LOST_DEPOSIT:
            may &= self.losable
        return may

    def hit(self, position: int, kind: FaultKind) -> None:
        """Let this fault happen to that deposit."""
        self.code[position] = TRANSACTION_KINDS.index(kind)


def faults_by_chance(
    spec: FleetSpec, machine: int, day: int, visits: Visits, intervals: MachineIntervals
) -> TransactionFaults:
    """Draw the faults of a day's deposits."""
    u = generator(spec.seed, machine, Purpose.FAULT_CHOICE, day).random((len(visits), 4))
    low, high = _MIN_DG * visits.count[:, None], _MAX_DG * visits.count[:, None]
    mass = visits.mass_dg[:, None]
    alternatives = (mass >= low) & (mass <= high)
    alternatives[np.arange(len(visits)), visits.material] = False
    losable = np.ones(len(visits), dtype=np.bool_)
    losable[:1] = losable[-1:] = False  # a gap in device_seq shows only between two numbers
    faults = TransactionFaults(
        code=np.full(len(visits), NO_FAULT, dtype=np.int64),
        eligible=(intervals.skewed(visits.time_ns) == 0) & ~visits.low_confidence,
        alternatives=alternatives,
        losable=losable,
        u=u,
    )
    edges = np.cumsum([spec.faults.of(kind) for kind in TRANSACTION_KINDS])
    drawn = np.searchsorted(edges, u[:, 0], side="right")
    for index, kind in enumerate(TRANSACTION_KINDS):
        faults.code[faults.may_be(kind) & (drawn == index)] = index
    return faults


class Quotas:
    """What ``at_least`` and the plan still want from the transactions of a run, served day by day."""

    def __init__(self, spec: FleetSpec) -> None:
        self._rng = generator(spec.seed, FLEET, Purpose.FLEET_FAULTS)
        self._spec = spec
        self._missing = {
            kind: spec.at_least for kind in TRANSACTION_KINDS if spec.faults.of(kind) > 0 and spec.at_least
        }
        self._planned = [fault for fault in spec.plan if fault.kind in TRANSACTION_KINDS]

    def serve(self, visits: Sequence[Visits], faults: Sequence[TransactionFaults]) -> None:
        """Place planned faults, then what is missing; the sequences are by machine, from number 1."""
        left = []
        for fault in self._planned:
            day, chosen = visits[fault.machine - 1], faults[fault.machine - 1]
            at_ns = self._spec.start_ns + fault.at_s * SECOND_NS
            candidates = np.flatnonzero(chosen.may_be(fault.kind) & (day.time_ns >= at_ns))
            if len(candidates):
                position = int(candidates[0])
                chosen.hit(position, fault.kind)
                delay_s = fault.parameter("delay_s")
                if delay_s is not None:
                    chosen.delay_s[position] = delay_s
            else:
                left.append(fault)
        self._planned = left
        for kind in list(self._missing):
            code = TRANSACTION_KINDS.index(kind)
            wanted = self._missing[kind] - sum(int((chosen.code == code).sum()) for chosen in faults)
            wanted -= self._draw_more(kind, wanted, faults)
            self._missing[kind] = wanted
            if wanted <= 0:
                del self._missing[kind]

    def _draw_more(self, kind: FaultKind, wanted: int, faults: Sequence[TransactionFaults]) -> int:
        """Hit up to ``wanted`` deposits anywhere in the fleet; returns how many."""
        if wanted <= 0:
            return 0
        candidates = [np.flatnonzero(chosen.may_be(kind)) for chosen in faults]
        ends = np.cumsum([len(positions) for positions in candidates])
        total = int(ends[-1])
        taken = np.argsort(self._rng.random(total), kind="stable")[:wanted]
        for rank in np.sort(taken).tolist():
            machine = bisect_right(ends.tolist(), rank)
            before = int(ends[machine - 1]) if machine else 0
            faults[machine].hit(int(candidates[machine][rank - before]), kind)
        return min(wanted, total)

    def unplaced(self) -> dict[FaultKind, int]:
        """What was wanted and found no deposit to hit."""
        missing = dict(self._missing)
        for fault in self._planned:
            missing[fault.kind] = missing.get(fault.kind, 0) + 1
        return missing


def declared_material(alternatives: Flags, u: float) -> int:
    """The wrong material that a machine declares: one for which the mass is plausible as well."""
    choices = np.flatnonzero(alternatives)
    return int(choices[int(u * len(choices))])


def implausible_mass_dg(material: int, count: int, u: Sequence[float]) -> int:
    """A mass that these items cannot have: far too much (7 in 10) or far too little, at least 0.1 g."""
    if u[0] < 0.7:
        return int(_MAX_DG[material]) * count * IMPLAUSIBLE_FACTOR + int(int(_MAX_DG[material]) * count * 8 * u[1]) + 1
    return max(1, int(int(_MIN_DG[material]) * count * (0.2 + 0.6 * u[1]) / IMPLAUSIBLE_FACTOR))
