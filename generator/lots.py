"""The hopper: it fills with deposits, is emptied by a driver, and each filling is a lot.

A lot lasts from one emptying to the next.  When the fill reaches the machine's threshold a driver comes half
an hour to four hours later; until then the machine goes on, and it refuses deposits when it is full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from generator.clock import SECOND_NS, whole_ms
from generator.deposits import Floats, Ints, Visits
from generator.fleet import Machine


@dataclass(slots=True)
class Hopper:
    """What a day hands on to the next."""

    volume_l: float = 0.0
    lot: int = 1
    driver_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Emptying:
    """A driver empties the hopper: the lot ends."""

    time_ns: int
    lot: int
    fill_before: float


@dataclass(frozen=True, slots=True)
class Filling:
    """One day of a hopper: which visits were accepted, their lots, and the fill as a step function.

    ``fill[i]`` holds from ``fill_time_ns[i]`` on.
    """

    accepted: Visits
    lot: Ints
    fill_time_ns: Ints
    fill: Floats
    emptyings: list[Emptying] = field(default_factory=list)


def fill_day(
    machine: Machine,
    hopper: Hopper,
    visits: Visits,
    *,
    day_end_ns: int,
    draw: Callable[[], float],
    reachable: Callable[[int], int],
) -> Filling:
    """Lead one day's visits through the hopper, which is changed.

    Args:
        machine: for its capacity and threshold.
        hopper: its state at the start of the day.
        visits: in order of time.
        day_end_ns: no driver is served after it by this call.
        draw: uniform numbers, for the driver's delay.
        reachable: moves a time out of a machine's fault intervals.
    """
    times = visits.time_ns
    accepted = np.zeros(len(visits), dtype=np.bool_)
    lots = np.zeros(len(visits), dtype=np.int64)
    step_times: list[Ints] = []
    step_fills: list[Floats] = []
    emptyings: list[Emptying] = []
    position = 0
    while True:
        volume = hopper.volume_l + np.cumsum(visits.volume_l[position:])
        if hopper.driver_ns is None:
            crossed = int(np.searchsorted(volume, machine.fill_threshold * machine.capacity_l))
            if position + crossed < len(times):
                due_ns = int(times[position + crossed])
                hopper.driver_ns = reachable(whole_ms(due_ns + (1_800 + 12_600 * draw()) * SECOND_NS))
        leaves_ns = day_end_ns if hopper.driver_ns is None else min(hopper.driver_ns, day_end_ns)
        stop = int(np.searchsorted(times, leaves_ns))
        room = int(np.searchsorted(volume, machine.capacity_l, side="right"))
        taken = min(stop - position, room)
        if taken:
            accepted[position : position + taken] = True
            lots[position : position + taken] = hopper.lot
            step_times.append(times[position : position + taken])
            step_fills.append(np.round(volume[:taken] / machine.capacity_l, 4))
            hopper.volume_l = float(volume[taken - 1])
        position = stop
        if hopper.driver_ns is None or hopper.driver_ns >= day_end_ns:
            break
        emptyings.append(
            Emptying(hopper.driver_ns, hopper.lot, round(hopper.volume_l / machine.capacity_l, 4))
        )
        step_times.append(np.array([hopper.driver_ns], dtype=np.int64))
        step_fills.append(np.array([0.0]))
        hopper.volume_l, hopper.driver_ns = 0.0, None
        hopper.lot += 1
    return Filling(
        accepted=visits.keep(accepted),
        lot=lots[accepted],
        fill_time_ns=np.concatenate(step_times) if step_times else np.empty(0, np.int64),
        fill=np.concatenate(step_fills) if step_fills else np.empty(0),
        emptyings=emptyings,
    )
