"""Where random numbers come from: one independent stream for each machine, day and purpose.

``SeedSequence`` spawn keys make the streams independent of each other and of the order in which they are
drawn, so neither the number of machines nor the size of the pieces that a run is cut into changes what any
machine does.  Only ``random``, ``standard_normal`` and ``standard_exponential`` are drawn from; what is
derived from them is rounded to a sensor's resolution before it is emitted, which also hides differences of
one unit in the last place between processors' vector units.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for.  The numbers are part of the bytes: never reuse one."""

    MACHINE = 1
    ARRIVALS = 2
    FAULT_CHOICE = 3
    DRIVER = 4
    ERRORS = 5
    TEMPERATURE = 6
    ENERGY = 7
    INTERVALS = 8
    FLEET_FAULTS = 9
    REVIEWS = 10
    SCALE = 11
    QUESTIONS = 12
    CALIBRATION = 13


FLEET = 0
"""The machine number that stands for the fleet as a whole; machines count from 1."""


def generator(seed: int, machine: int, purpose: Purpose, day: int = 0) -> np.random.Generator:
    """The stream for a purpose of a machine (its number; 0 is the fleet) on a day (from 0)."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(machine, int(purpose), day)))
    )
