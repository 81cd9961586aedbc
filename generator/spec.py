"""What to simulate: a frozen spec that determines every byte of a run.

Nothing outside the spec (clock, environment, number of cores, transport) has a say in what is emitted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from generator.errors import SpecError

SERIES_PER_MACHINE: Final = 11
_LONGEST_REQUEST_POINTS: Final = 50_000
_DEFAULT_START: Final = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday


class FaultKind(StrEnum):
    """Every fault that the generator can play; what each does is in docs/generator.md."""

    DOWNTIME = "downtime"
    SENSOR_SPIKE = "sensor_spike"
    SLOW_DRIFT = "slow_drift"
    CLOCK_SKEW = "clock_skew"
    DUPLICATED_DEPOSIT = "duplicated_deposit"
    LOST_DEPOSIT = "lost_deposit"
    LOST_PREDICTION = "lost_prediction"
    WRONG_MATERIAL = "wrong_material"
    WRONG_MASS = "wrong_mass"
    LATE_ARRIVAL = "late_arrival"


INTERVAL_KINDS: Final = (
    FaultKind.DOWNTIME,
    FaultKind.SENSOR_SPIKE,
    FaultKind.SLOW_DRIFT,
    FaultKind.CLOCK_SKEW,
)
"""Faults of a machine for a while; the others hit one transaction."""

TRANSACTION_KINDS: Final = tuple(kind for kind in FaultKind if kind not in INTERVAL_KINDS)

_PARAMETERS: Final[Mapping[FaultKind, tuple[str, ...]]] = {
    FaultKind.DOWNTIME: ("duration_s",),
    FaultKind.SENSOR_SPIKE: ("samples", "amplitude_c"),
    FaultKind.SLOW_DRIFT: ("duration_s", "amplitude_c"),
    FaultKind.CLOCK_SKEW: ("duration_s", "shift_s"),
    FaultKind.LATE_ARRIVAL: ("delay_s",),
}


@dataclass(frozen=True, slots=True)
class FaultRates:
    """How often each fault happens by chance: 0 switches it off.

    Intervals are per machine and day (at most 1); the others are a probability per deposit (sum at most
    0.5).  A deposit that must stay clean (see docs/generator.md) is never hit, so rates are upper bounds.
    """

    downtime: float = 0.05
    sensor_spike: float = 0.20
    slow_drift: float = 0.03
    clock_skew: float = 0.03
    duplicated_deposit: float = 0.0010
    lost_deposit: float = 0.0010
    lost_prediction: float = 0.0010
    wrong_material: float = 0.0020
    wrong_mass: float = 0.0005
    late_arrival: float = 0.0010

    def __post_init__(self) -> None:
        for kind in FaultKind:
            if not 0 <= self.of(kind) <= 1:
                raise SpecError(f"fault rate {kind}: expected 0 to 1, got {self.of(kind)}")
        if sum(self.of(kind) for kind in TRANSACTION_KINDS) > 0.5:
            raise SpecError("fault rates per deposit: expected a sum of at most 0.5")

    @classmethod
    def off(cls) -> FaultRates:
        """No fault at all."""
        return cls(**dict.fromkeys((f.name for f in fields(cls)), 0.0))

    def of(self, kind: FaultKind) -> float:
        """The rate of one kind."""
        return float(getattr(self, kind.value))


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault at a given place: machine number (from 1), seconds after the start, and chosen parameters.

    A fault of a transaction hits the first deposit at or after ``at_s`` that may be hit.
    """

    kind: FaultKind
    machine: int
    at_s: float
    parameters: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for name, _ in self.parameters:
            if name not in _PARAMETERS.get(self.kind, ()):
                known = ", ".join(_PARAMETERS.get(self.kind, ())) or "none"
                raise SpecError(f"fault plan: {self.kind} takes parameters {known}, got {name!r}")

    def parameter(self, name: str) -> float | None:
        """The chosen value, or None if it is left to chance."""
        return dict(self.parameters).get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """A fleet, a period, and what goes wrong in it.

    Args:
        seed: any non-negative integer.
        fleet: name of the fleet; machine ids start with it.
        sites: number of sites, 1 to 10,000.
        machines: number of machines, 1 to 100,000, dealt out to the sites in turn.
        start: aware, whole seconds.
        duration_s: length of the period in seconds.
        step_s: seconds between two readings of a machine's sensors.
        window_s: seconds of a machine's records that go into one request; it decides how rows are cut into
            requests, never what they say.
        deposits_per_day: mean number of deposits of a machine per day.
        fill_per_day: mean part of a bin that a day's deposits fill.  Street bins of Wyndham City Council,
            Victoria ("Smart Bins", 2018-2021), rose 0.134 a day; 0.4 is our choice for busy machines.
        low_confidence_share: part of the deposits whose prediction falls below the threshold and goes to a
            human, who confirms it.
        faults: chance of each fault.
        at_least: so many faults of each kind with a rate above zero, in the whole fleet, wherever possible.
        plan: faults at given places, on top of those by chance.
    """

    seed: int = 1
    fleet: str = "fleet"
    sites: int = 5
    machines: int = 20
    start: datetime = _DEFAULT_START
    duration_s: int = 86_400
    step_s: int = 30
    window_s: int = 60
    deposits_per_day: float = 250.0
    fill_per_day: float = 0.40
    low_confidence_share: float = 0.02
    faults: FaultRates = field(default_factory=FaultRates)
    at_least: int = 0
    plan: tuple[PlannedFault, ...] = ()

    def __post_init__(self) -> None:
        _expect("seed", self.seed, 0, 2**128 - 1)
        _expect("sites", self.sites, 1, 10_000)
        _expect("machines", self.machines, 1, 100_000)
        _expect("duration_s", self.duration_s, 1, 20 * 366 * 86_400)
        _expect("step_s", self.step_s, 1, 3_600)
        _expect("window_s", self.window_s, 1, 86_400)
        _expect("deposits_per_day", self.deposits_per_day, 0, 50_000)
        _expect("fill_per_day", self.fill_per_day, 0.001, 20)
        _expect("low_confidence_share", self.low_confidence_share, 0, 0.5)
        _expect("at_least", self.at_least, 0, 10_000)
        if not self.fleet or not self.fleet.isascii() or not self.fleet.replace("-", "").isalnum():
            raise SpecError(f"fleet: expected ASCII letters, digits and hyphens, got {self.fleet!r}")
        if self.start.tzinfo is None or self.start.microsecond:
            raise SpecError(f"start: expected an aware time in whole seconds, got {self.start.isoformat()}")
        last = self.start.astimezone(UTC) + timedelta(seconds=self.duration_s)
        if self.start.year < 2000 or last.year > 2200:
            raise SpecError(f"start: expected a period between 2000 and 2200, got {self.start.isoformat()}")
        if self.window_s // self.step_s * SERIES_PER_MACHINE > _LONGEST_REQUEST_POINTS:
            raise SpecError(
                f"window_s: {self.window_s} s of readings every {self.step_s} s make a request of more than "
                f"{_LONGEST_REQUEST_POINTS} points; choose a shorter window"
            )
        for fault in self.plan:
            _expect("fault plan: machine", fault.machine, 1, self.machines)
            _expect("fault plan: at_s", fault.at_s, 0, self.duration_s)

    @property
    def start_ns(self) -> int:
        """The start, in nanoseconds since 1970."""
        return int(self.start.timestamp()) * 1_000_000_000

    @property
    def end_ns(self) -> int:
        """The end (exclusive), in nanoseconds since 1970."""
        return self.start_ns + self.duration_s * 1_000_000_000

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; :func:`spec_from_json` reads it back."""
        content = asdict(self)
        content["start"] = self.start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        content["plan"] = [
            {"kind": f.kind.value, "machine": f.machine, "at_s": f.at_s, "parameters": dict(f.parameters)}
            for f in self.plan
        ]
        return content

    @property
    def run(self) -> str:
        """Eight hex digits that stand for this spec: part of every transaction id, so runs never collide.

        ``window_s`` is left out, because it must not change what the rows say.
        """
        content = {name: value for name, value in self.to_json().items() if name != "window_s"}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def spec_from_json(content: Mapping[str, Any]) -> FleetSpec:
    """The inverse of :meth:`FleetSpec.to_json`.

    Raises:
        SpecError: a value is missing, unknown or out of range.
    """
    try:
        values = dict(content)
        values["start"] = datetime.fromisoformat(str(values["start"]))
        values["faults"] = FaultRates(**values["faults"])
        values["plan"] = plan_from_json(values["plan"])
        return FleetSpec(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(f"spec: {error}") from error


def plan_from_json(entries: Any) -> tuple[PlannedFault, ...]:
    """A fault plan from parsed JSON: a list of ``{kind, machine, at_s, parameters}``.

    Raises:
        SpecError: it has another shape; the message names the entry.
    """
    if not isinstance(entries, list):
        raise SpecError("fault plan: expected a JSON list of faults")
    plan = []
    for number, entry in enumerate(entries, start=1):
        try:
            plan.append(_planned_fault(entry))
        except (AttributeError, TypeError, ValueError, SpecError) as error:
            raise SpecError(f"fault plan, entry {number}: {error}") from error
    return tuple(plan)


def _planned_fault(entry: object) -> PlannedFault:
    required, optional = {"kind", "machine", "at_s"}, {"parameters"}
    if not isinstance(entry, Mapping) or not required <= set(entry) <= required | optional:
        raise SpecError("expected an object with kind, machine, at_s and, if you like, parameters")
    chosen = {str(name): float(value) for name, value in entry.get("parameters", {}).items()}
    kind = FaultKind(entry["kind"])
    return PlannedFault(kind, int(entry["machine"]), float(entry["at_s"]), tuple(sorted(chosen.items())))


def _expect(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SpecError(f"{name}: expected {low} to {high}, got {value}")
