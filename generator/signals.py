"""What a machine's sensors read: temperature, energy, errors, status, uptime and fill, one row per step.

Readings are computed piece by piece and never depend on where the pieces are cut: noise comes from
sequential streams, the recursions carry their state, and energy is counted in whole joules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Literal

import numpy as np

from generator.clock import DAY_NS, SECOND_NS
from generator.deposits import Flags, Floats, Ints
from generator.fleet import Machine
from generator.intervals import MachineIntervals
from generator.randomness import Purpose, generator
from generator.spec import FaultKind, FleetSpec

ERROR_TYPES: Final = ("jam", "sensor", "network")
STATES: Final = ("ok", "degraded", "failed", "needs_cleaning")
_STATE_OF_ERROR: Final = (1, 3, 1)  # index into STATES while the error lasts

_DEPOSIT_J: Final = 900.0  # conveyor, camera light and compactor for one deposit (our choice)
_NOISE_CORRELATION_S: Final = 600.0
_NOISE_SD_C: Final = 0.35
_HEAT_TIME_CONSTANT_S: Final = 1_800.0
_HEAT_C_PER_W: Final = 0.12
_WARMEST_LOCAL_H: Final = 15.0


@dataclass(frozen=True, slots=True)
class Series:
    """One OTLP time series of a machine; the same for all machines."""

    metric: str
    unit: str
    kind: Literal["gauge", "counter", "updowncounter"]
    attributes: tuple[tuple[str, str], ...]
    reading: int
    """Row of ``Readings.doubles`` or ``Readings.integers``."""
    integer: bool


def _series() -> tuple[Series, ...]:
    machine, hopper = (("hw.id", "machine"),), (("hw.id", "hopper-1"),)
    enclosure = (("hw.type", "enclosure"),)
    return (
        Series("hw.temperature", "Cel", "gauge", (*hopper, ("hw.type", "temperature")), 0, integer=False),
        Series("hw.energy", "J", "counter", (*machine, ("hw.type", "power_supply")), 0, integer=True),
        *(
            Series(
                "hw.errors",
                "{error}",
                "counter",
                (*machine, *enclosure, ("error.type", name)),
                1 + i,
                integer=True,
            )
            for i, name in enumerate(ERROR_TYPES)
        ),
        *(
            Series(
                "hw.status",
                "1",
                "updowncounter",
                (*machine, *enclosure, ("hw.state", name)),
                4 + i,
                integer=True,
            )
            for i, name in enumerate(STATES)
        ),
        Series("system.uptime", "s", "gauge", (), 1, integer=False),
        Series("machine.fill", "1", "gauge", hopper, 2, integer=False),
    )


SERIES: Final = _series()
"""In the order of the bytes; series of one metric stand together."""


@dataclass(frozen=True, slots=True)
class Readings:
    """The readings that a machine emits in a piece of time, gaps of downtime left out.

    ``true_ns`` is when they were taken, ``time_ns`` what the machine's clock said; ``doubles`` has the rows
    temperature (Celsius), uptime (s), fill (0 to 1); ``integers`` energy (J), error counts, states.
    """

    true_ns: Ints
    time_ns: Ints
    doubles: Floats
    integers: Ints

    def values(self, series: Series) -> Floats | Ints:
        """The column of one series."""
        column: Floats | Ints = (self.integers if series.integer else self.doubles)[series.reading]
        return column


@dataclass(frozen=True, slots=True)
class MachineError:
    """An ordinary error, not a fault: the machine counts it, says so, and goes on working."""

    time_ns: int
    to_ns: int
    type: int


def errors_of_day(
    spec: FleetSpec, machine: Machine, day: int, intervals: MachineIntervals
) -> list[MachineError]:
    """The ordinary errors of a day: a jam on 3 days in 10, a dirty camera or a lost uplink on 1 in 10."""
    u = generator(spec.seed, machine.number, Purpose.ERRORS, day).random((len(ERROR_TYPES), 3))
    found = []
    for kind, rate in enumerate((0.3, 0.1, 0.1)):
        if u[kind, 0] < rate:
            millisecond = int(u[kind, 1] * 86_400_000)
            at_ns = spec.start_ns + day * DAY_NS + millisecond * 1_000_000
            if at_ns < spec.end_ns and intervals.reachable(at_ns) == at_ns:
                found.append(MachineError(at_ns, at_ns + int(120 + 1_080 * u[kind, 2]) * SECOND_NS, kind))
    return sorted(found, key=lambda error: (error.time_ns, error.type))


@dataclass(slots=True)
class SensorState:
    """What the sensors of one machine remember, and what they will see, from one piece to the next."""

    spec: FleetSpec
    machine: Machine
    intervals: MachineIntervals
    deposit_ns: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    fill_ns: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    fill: Floats = field(default_factory=lambda: np.empty(0))
    errors: list[MachineError] = field(default_factory=list)
    _step: int = 0
    _fill_before: float = 0.0
    _noise: float = 0.0
    _load_w: float = 0.0
    _energy_j: int = 0
    _rng_noise: np.random.Generator = field(init=False)
    _rng_energy: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._rng_noise = generator(self.spec.seed, self.machine.number, Purpose.TEMPERATURE)
        self._rng_energy = generator(self.spec.seed, self.machine.number, Purpose.ENERGY)
        self._energy_j = self.machine.energy_at_start_j
        self._load_w = self.machine.idle_w

    def see(self, deposit_ns: Ints, fill_ns: Ints, fill: Floats, errors: list[MachineError]) -> None:
        """Add a day's deposits, fill steps and errors; days come in order."""
        self.deposit_ns = np.concatenate((self.deposit_ns, deposit_ns))
        self.fill_ns = np.concatenate((self.fill_ns, fill_ns))
        self.fill = np.concatenate((self.fill, fill))
        self.errors.extend(errors)

    def read_until(self, end_ns: int) -> Readings:
        """The next readings, up to, not including, the true time ``end_ns``, which was seen already."""
        step_ns = self.spec.step_s * SECOND_NS
        first_ns = self.spec.start_ns + self.machine.sensor_phase_ms * 1_000_000
        stop = max(self._step, -(-(end_ns - first_ns) // step_ns))
        true_ns = first_ns + np.arange(self._step, stop, dtype=np.int64) * step_ns
        down = self.intervals.down(true_ns)
        deposits = self._deposits_per_step(true_ns, step_ns)
        joules = self._joules(len(true_ns), deposits, down)
        energy = self._energy_j + np.cumsum(joules)
        temperature = self._temperature(true_ns, joules)
        if len(true_ns):
            self._energy_j = int(energy[-1])
        doubles = np.stack((temperature, self._uptime(true_ns), self._fill_at(true_ns)))
        integers = np.stack((energy, *self._error_counts(true_ns), *self._states(true_ns)))
        self._step = stop
        self._forget(first_ns + (stop - 1) * step_ns)
        up = ~down
        return Readings(
            true_ns=true_ns[up],
            time_ns=(true_ns + self.intervals.skewed(true_ns))[up],
            doubles=doubles[:, up],
            integers=integers[:, up],
        )

    def _deposits_per_step(self, true_ns: Ints, step_ns: int) -> Ints:
        after = np.searchsorted(self.deposit_ns, true_ns, side="right")
        before = np.searchsorted(self.deposit_ns, true_ns - step_ns, side="right")
        return (after - before).astype(np.int64)

    def _joules(self, steps: int, deposits: Ints, down: Flags) -> Ints:
        noise = 1 + 0.03 * np.clip(self._rng_energy.standard_normal(steps), -3, 3)
        used = np.rint(self.machine.idle_w * self.spec.step_s * noise).astype(np.int64)
        used += (deposits * _DEPOSIT_J).astype(np.int64)
        used[down] = 0
        return used

    def _temperature(self, true_ns: Ints, joules: Ints) -> Floats:
        """Day and night outside, the warmth of the work, correlated noise, and the sensor's faults."""
        site = self.machine.site
        hour = np.mod(true_ns / (3_600 * SECOND_NS) + site.utc_offset_h, 24.0)
        ambient = site.mean_temperature_c + site.daily_swing_c * np.cos(
            (hour - _WARMEST_LOCAL_H) * (math.pi / 12)
        )
        inertia = math.exp(-self.spec.step_s / _HEAT_TIME_CONSTANT_S)
        power = (joules * ((1 - inertia) / self.spec.step_s)).tolist()
        load = list(accumulate(power, lambda warm, w: inertia * warm + w, initial=self._load_w))
        keep = math.exp(-self.spec.step_s / _NOISE_CORRELATION_S)
        shocks = self._rng_noise.standard_normal(len(true_ns)) * (_NOISE_SD_C * math.sqrt(1 - keep * keep))
        noise = list(accumulate(shocks.tolist(), lambda x, e: keep * x + e, initial=self._noise))
        self._load_w, self._noise = load[-1], noise[-1]
        reading = ambient + _HEAT_C_PER_W * np.array(load[1:]) + np.array(noise[1:])
        for interval in self.intervals.intervals:
            inside = (true_ns >= interval.from_ns) & (true_ns < interval.to_ns)
            if interval.kind is FaultKind.SENSOR_SPIKE:
                reading[inside] += interval.amplitude_c
            elif interval.kind is FaultKind.SLOW_DRIFT:
                length_ns = interval.to_ns - interval.from_ns
                reading[inside] += interval.amplitude_c * ((true_ns[inside] - interval.from_ns) / length_ns)
        rounded: Floats = np.round(reading, 2)
        return rounded

    def _uptime(self, true_ns: Ints) -> Floats:
        boot_ns = np.full(len(true_ns), self.spec.start_ns - self.machine.boot_before_start_s * SECOND_NS)
        for interval in self.intervals.of(FaultKind.DOWNTIME):
            boot_ns[true_ns >= interval.to_ns] = interval.to_ns
        seconds: Floats = np.round((true_ns - boot_ns) / SECOND_NS, 3)
        return seconds

    def _fill_at(self, true_ns: Ints) -> Floats:
        levels = np.concatenate(([self._fill_before], self.fill))
        found: Floats = levels[np.searchsorted(self.fill_ns, true_ns, side="right")]
        return found

    def _error_counts(self, true_ns: Ints) -> list[Ints]:
        counts = []
        for kind in range(len(ERROR_TYPES)):
            times = np.array([e.time_ns for e in self.errors if e.type == kind], dtype=np.int64)
            counts.append(np.searchsorted(times, true_ns, side="right").astype(np.int64))
        return counts

    def _states(self, true_ns: Ints) -> list[Ints]:
        state = np.zeros(len(true_ns), dtype=np.int64)
        for error in self.errors:
            state[(true_ns >= error.time_ns) & (true_ns < error.to_ns)] = _STATE_OF_ERROR[error.type]
        return [(state == number).astype(np.int64) for number in range(len(STATES))]

    def _forget(self, last_step_ns: int) -> None:
        """Drop what no later reading can see."""
        self.deposit_ns = self.deposit_ns[np.searchsorted(self.deposit_ns, last_step_ns, side="right") :]
        passed = int(np.searchsorted(self.fill_ns, last_step_ns, side="right"))
        if passed:
            self._fill_before = float(self.fill[passed - 1])
            self.fill_ns, self.fill = self.fill_ns[passed:], self.fill[passed:]
