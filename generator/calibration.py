"""When each machine's scale was calibrated, and what the machine puts on record of it.

A calibration is put on record at the start of the run, and each later one when it is made: before the one
ahead of it ends, and never while the machine is down or its clock is wrong.
"""

from __future__ import annotations

from typing import Final

from generator import events
from generator.clock import DAY_NS, SECOND_NS
from generator.fleet import Machine
from generator.intervals import MachineIntervals
from generator.otlp import Event
from generator.randomness import Purpose, generator
from generator.spec import FleetSpec

_AGE_DAYS: Final = (30, 300)
"""Age of the calibration that holds at the start; our choice."""
_VALID_DAYS: Final = 730
"""Two years; our choice."""
_AHEAD_DAYS: Final = (7, 30)
"""How long before its end a calibration is followed by the next; our choice."""


def calibrations(spec: FleetSpec, machine: Machine, intervals: MachineIntervals) -> list[Event]:
    """Every ``machine.calibrated`` of a machine's run, in order of time."""
    rng = generator(spec.seed, machine.number, Purpose.CALIBRATION)

    def drawn_ns(days: tuple[int, int]) -> int:
        """Whole seconds, which is what the event can say."""
        return int((days[0] + (days[1] - days[0]) * rng.random()) * 86_400) * SECOND_NS

    calibrated_ns, at_ns = spec.start_ns - drawn_ns(_AGE_DAYS), spec.start_ns
    found: list[Event] = []
    while at_ns < spec.end_ns:
        until_ns = calibrated_ns + _VALID_DAYS * DAY_NS
        found.append(events.calibrated(at_ns, machine.id, calibrated_ns, until_ns))
        wanted_ns = until_ns - drawn_ns(_AHEAD_DAYS)
        next_ns = intervals.earlier(wanted_ns)
        if next_ns <= at_ns:  # a downtime was planned that outlasts a calibration
            next_ns = intervals.reachable(wanted_ns)
        calibrated_ns = at_ns = next_ns // SECOND_NS * SECOND_NS
    return found
