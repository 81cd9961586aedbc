"""Faults of one transaction: which deposits are hit, and by what.

A transaction is hit at most once, never while the machine's clock is off, and never if a human reviews it:
every fault has one right class.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from generator.clock import SECOND_NS
from generator.deposits import Flags, Floats, Ints, Visits
from generator.intervals import MachineIntervals
from generator.materials import IMPLAUSIBLE_FACTOR, MATERIALS
from generator.randomness import FLEET, Purpose, generator
from generator.spec import TRANSACTION_KINDS, FaultKind, FleetSpec

LATE_S: Final = (7_200, 43_200)
DUPLICATE_S: Final = (20, 240)

_MIN_DG: Final = np.array([round(m.min_g * 10) for m in MATERIALS], dtype=np.int64)
_MAX_DG: Final = np.array([round(m.max_g * 10) for m in MATERIALS], dtype=np.int64)


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
        may: Flags = self.eligible & (self.code == NO_FAULT)
        if kind is FaultKind.WRONG_MATERIAL:
            may = may & self.alternatives.any(axis=1)
        if kind is FaultKind.LOST_DEPOSIT:
            may = may & self.losable
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
        self._missing: dict[FaultKind, int] = {
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
        heaviest = int(_MAX_DG[material]) * count
        return heaviest * IMPLAUSIBLE_FACTOR + int(heaviest * 8 * u[1]) + 1
    return max(1, int(int(_MIN_DG[material]) * count * (0.2 + 0.6 * u[1]) / IMPLAUSIBLE_FACTOR))
