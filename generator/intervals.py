"""Faults that last: downtime, sensor spike, slow drift and clock skew, and when each machine has them.

The intervals of one machine never touch: a guard lies between them, so that each has one right class.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from generator.clock import DAY_NS, SECOND_NS, rfc3339, whole_ms
from generator.deposits import Flags, Ints
from generator.errors import SpecError
from generator.randomness import FLEET, Purpose, generator
from generator.spec import INTERVAL_KINDS, FaultKind, FleetSpec, PlannedFault

_DURATION_S: Final = {
    # kind: drawn from, drawn to, shortest that is still worth playing (all in seconds; our choice)
    FaultKind.DOWNTIME: (300, 14_400, 90),
    FaultKind.CLOCK_SKEW: (600, 7_200, 60),
    FaultKind.SLOW_DRIFT: (21_600, 172_800, 60),
}
_SHIFT_S: Final = (120, 900)
_SHORTEST_DRIFT_SAMPLES: Final = 10
_PLACING_ATTEMPTS: Final = 200
_EDGE_NS: Final = 2 * SECOND_NS


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A fault of one machine from ``from_ns`` up to, not including, ``to_ns``, by the true clock.

    ``shift_ns`` is what a skewed clock adds; ``amplitude_c`` what a spike adds, or a drift has
    reached at its end, in Celsius.
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
        pad = 60 * SECOND_NS
        for interval in self._disturbing():
            if interval.from_ns - pad <= time_ns < interval.to_ns + pad:
                return interval.to_ns + pad
        return time_ns

    def earlier(self, time_ns: int) -> int:
        """That time, or shortly before the downtime or skew that it falls into."""
        pad = 60 * SECOND_NS
        for interval in self._disturbing():
            if interval.from_ns - pad <= time_ns < interval.to_ns + pad:
                return interval.from_ns - pad
        return time_ns

    def _disturbing(self) -> Iterator[Interval]:
        return (i for i in self.intervals if i.kind in (FaultKind.DOWNTIME, FaultKind.CLOCK_SKEW))


class Schedule:
    """All interval faults of a run, and how many of each kind could not be placed.

    The planned faults are placed first, then those by chance, then what ``at_least`` still wants.

    Raises:
        SpecError: a planned fault does not fit into the run or touches another planned one.
    """

    def __init__(self, spec: FleetSpec) -> None:
        self._spec = spec
        self._by_machine: dict[int, MachineIntervals] = {}
        self._placed = dict.fromkeys(INTERVAL_KINDS, 0)
        self._kinds = [kind for kind in INTERVAL_KINDS if spec.faults.of(kind) > 0]
        rng = generator(spec.seed, FLEET, Purpose.INTERVALS)
        self._place_planned(rng)
        for number in range(1, spec.machines + 1 if self._kinds else 1):
            self._place_by_chance(number)
        for kind in self._kinds:
            self._place_missing(kind, rng)

    def of(self, machine: int) -> MachineIntervals:
        """Those of machine number ``machine``; none if it has none."""
        return self._by_machine.get(machine) or MachineIntervals()

    @property
    def unplaced(self) -> dict[FaultKind, int]:
        """What ``at_least`` wanted and found no room for."""
        wanted = self._spec.at_least
        return {kind: wanted - self._placed[kind] for kind in self._kinds if self._placed[kind] < wanted}

    def _place(self, number: int, interval: Interval | None) -> bool:
        if interval is None:
            return False
        pad_ns = min(1_800, self._spec.duration_s // 20) * SECOND_NS
        if not self._by_machine.setdefault(number, MachineIntervals()).place(interval, pad_ns):
            return False
        self._placed[interval.kind] += 1
        return True

    def _place_planned(self, rng: np.random.Generator) -> None:
        spec = self._spec
        for fault in spec.plan:
            if fault.kind in INTERVAL_KINDS:
                at_ns = whole_ms(spec.start_ns + fault.at_s * SECOND_NS)
                interval = _interval(spec, fault.kind, at_ns, rng.random(3).tolist(), fault)
                if not self._place(fault.machine, interval):
                    raise SpecError(
                        f"fault plan: {fault.kind} of machine {fault.machine} at {rfc3339(at_ns)} is too "
                        "long, or too close to an end of the run or to another planned fault of the machine"
                    )

    def _place_by_chance(self, number: int) -> None:
        spec = self._spec
        days = -(-spec.duration_s // 86_400)
        u = generator(spec.seed, number, Purpose.INTERVALS).random((days, len(INTERVAL_KINDS), 5))
        for kind in self._kinds:
            draws = u[:, INTERVAL_KINDS.index(kind)]
            for day in np.flatnonzero(draws[:, 0] < spec.faults.of(kind)).tolist():
                at_ns = whole_ms(spec.start_ns + (day + draws[day, 1]) * DAY_NS)
                self._place(number, _interval(spec, kind, at_ns, draws[day, 2:].tolist()))

    def _place_missing(self, kind: FaultKind, rng: np.random.Generator) -> None:
        spec = self._spec
        for _ in range(_PLACING_ATTEMPTS + 2 * spec.at_least):
            if self._placed[kind] >= spec.at_least:
                return
            where, at, *rest = rng.random(5).tolist()
            at_ns = whole_ms(spec.start_ns + at * spec.duration_s * SECOND_NS)
            self._place(1 + int(where * spec.machines), _interval(spec, kind, at_ns, rest))


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
