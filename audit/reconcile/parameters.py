"""What a reconciliation is asked: period, scope, and every threshold that its result depends on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from audit.reconcile.errors import BadRequest
from audit.reporting.model import Parameter

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_PROBABILITY: Final = re.compile(r"0(\.[0-9]{1,15})?|1(\.0{1,15})?", re.ASCII)
_YEAR_S: Final = 366 * 86_400
_MOST: Final = {
    "materiality_ppm": 1_000_000,
    "performance_materiality_ppm": 1_000_000,
    "margin_h": 366 * 24,
    "late_s": _YEAR_S,
    "skew_s": _YEAR_S,
    "heartbeat_s": _YEAR_S,
    "coverage_ppm": 1_000_000,
    "lot_tolerance_ppm": 1_000_000,
    "lot_tolerance_mg": 10**12,
    "spike_c": 1_000_000,
    "drift_c": 1_000_000,
}
"""Largest values.  They become part of SQL texts, also those of an export that came from elsewhere, so
nothing but a number may pass."""
_MAY_BE_NOTHING: Final = frozenset({"coverage_ppm", "lot_tolerance_ppm", "lot_tolerance_mg"})


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(us: int) -> datetime:
    """The inverse of :func:`micros`."""
    return _EPOCH + timedelta(microseconds=us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Everything that is chosen.  Defaults are our choice unless a source is named.

    Args:
        start: first moment of the period, aware.
        end: first moment after it.
        sites: only these; empty for all.
        machines: only these; empty for all.
        materials: only deposits declared or accepted as one of these; empty for all.
        materiality_ppm: 5 %, customary for reasonable assurance (ISO 14064-3).
        performance_materiality_ppm: 75 % of it (customarily 50 to 75 %).
        margin_h: hours around the period in which late arrivals, tickets and reviews are looked for.
        late_s: a record that arrives later than this after its event is late.
        skew_s: a clock that is off by more than this is faulty.
        heartbeat_s: seconds between two signs of life.
        coverage_ppm: heartbeat coverage that each machine needs.
        low_confidence: below it a human decides, where a prediction names no threshold of its own.
        lot_tolerance_ppm: what a lot may differ from its ticket, as a part of the ticket ...
        lot_tolerance_mg: ... plus the resolution of the plant's scale.
        spike_c: a leap of temperature that no machine makes, Celsius.
        drift_c: a leap with which a drift ends, Celsius.
    """

    start: datetime
    end: datetime
    sites: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    materiality_ppm: int = 50_000
    performance_materiality_ppm: int = 37_500
    margin_h: int = 72
    late_s: int = 3_600
    skew_s: int = 60
    heartbeat_s: int = 30
    coverage_ppm: int = 975_000
    low_confidence: str = "0.75"
    lot_tolerance_ppm: int = 10_000
    lot_tolerance_mg: int = 10_000
    spike_c: int = 25
    drift_c: int = 5

    def __post_init__(self) -> None:
        for name, moment in (("from", self.start), ("to", self.end)):
            if moment.utcoffset() is None:
                raise BadRequest(f"period: {name} has no time zone; write it like 2026-01-31T00:00:00Z")
        if self.start > self.end:
            raise BadRequest(f"period: from {shown(self.start)} is after to {shown(self.end)}; exchange them")
        if self.start == self.end:
            raise BadRequest(
                f"period: from and to are both {shown(self.start)}, which leaves no time between"
            )
        if not 0 < self.performance_materiality_ppm <= self.materiality_ppm <= 1_000_000:
            raise BadRequest(
                "materiality: expected 0 % < performance materiality <= materiality <= 100 %, got "
                f"{percent(self.performance_materiality_ppm)} and {percent(self.materiality_ppm)}"
            )
        for name, most in _MOST.items():
            value, least = getattr(self, name), 0 if name in _MAY_BE_NOTHING else 1
            if type(value) is not int or not least <= value <= most:
                raise BadRequest(f"{name}: expected a whole number from {least} to {most}, got {value!r:.40}")
        if _PROBABILITY.fullmatch(str(self.low_confidence)) is None:
            raise BadRequest(
                f"low_confidence: expected a decimal from 0 to 1, got {self.low_confidence!r:.40}"
            )
        for name in ("sites", "machines", "materials"):
            names = getattr(self, name)
            if not isinstance(names, tuple) or not all(isinstance(value, str) for value in names):
                raise BadRequest(f"{name}: expected names, got {names!r:.40}")
        try:
            _ = (self.since, self.until)
        except OverflowError as error:
            raise BadRequest(
                f"period: {self.margin_h} h around it leave the years 1 to 9999; choose another"
            ) from error

    @property
    def since(self) -> datetime:
        """Where the evidence starts."""
        return self.start - timedelta(hours=self.margin_h)

    @property
    def until(self) -> datetime:
        """Where the evidence ends (exclusive)."""
        return self.end + timedelta(hours=self.margin_h)

    @property
    def sql(self) -> str:
        """The relation ``parameters``: one row."""
        silence_us = 2 * self.heartbeat_s * 1_000_000
        sign_us = silence_us // 4
        numbers = {
            "from_us": micros(self.start),
            "to_us": micros(self.end),
            "late_us": self.late_s * 1_000_000,
            "skew_us": self.skew_s * 1_000_000,
            "heartbeat_us": self.heartbeat_s * 1_000_000,
            "silence_us": silence_us,
            "stretch_us": 56 * sign_us,
            "lot_tolerance_ppm": self.lot_tolerance_ppm,
            "lot_tolerance_mg": self.lot_tolerance_mg,
            "silent_limit_us": (micros(self.end) - micros(self.start))
            * (1_000_000 - self.coverage_ppm)
            // 1_000_000,
        }
        columns = [f"CAST({value} AS bigint) AS {name}" for name, value in numbers.items()]
        columns += [
            f"CAST({value} AS double precision) AS {name}"
            for name, value in (
                ("low_confidence", self.low_confidence),
                ("signs_per_us", 1 / sign_us),
                ("spike_c", self.spike_c),
                ("drift_c", self.drift_c),
            )
        ]
        columns += [
            f"CAST('{moment:%Y-%m-%d %H:%M:%S.%f}+00' AS timestamp with time zone) AS {name}"
            for name, moment in (
                ("from_time", self.start.astimezone(UTC)),
                ("to_time", self.end.astimezone(UTC)),
            )
        ]
        return "SELECT " + ", ".join(columns)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; :func:`parameters_from_json` reads it back."""
        content = asdict(self)
        for name in ("start", "end"):
            content[name] = shown(getattr(self, name))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in content.items()}

    def listed(self) -> tuple[Parameter, ...]:
        """For the report."""
        return tuple(
            Parameter(name, value, unit, meaning)
            for name, value, unit, meaning in (
                ("materiality", str(Decimal(self.materiality_ppm) / 10_000), "%", "of the reported figure"),
                (
                    "performance materiality",
                    str(Decimal(self.performance_materiality_ppm) / 10_000),
                    "%",
                    "of the reported figure; above it the misstatements found call for a review",
                ),
                (
                    "margin",
                    str(self.margin_h),
                    "h",
                    "around the period, in which counterparts are looked for",
                ),
                ("late", str(self.late_s), "s", "between event and arrival, from which a record is late"),
                ("clock tolerance", str(self.skew_s), "s", "that a machine's clock may be off"),
                (
                    "heartbeat",
                    str(self.heartbeat_s),
                    "s",
                    "between two signs of life; two missing are a silence",
                ),
                (
                    "heartbeat_coverage",
                    str(Decimal(self.coverage_ppm) / 10_000),
                    "%",
                    "of the period, that each machine must be heard",
                ),
                (
                    "confidence",
                    self.low_confidence,
                    "1",
                    "below which a human decides, unless the prediction says",
                ),
                (
                    "lot tolerance",
                    str(Decimal(self.lot_tolerance_ppm) / 10_000),
                    "%",
                    "of a lot's ticket, and",
                ),
                ("scale resolution", str(Decimal(self.lot_tolerance_mg) / 1000), "g", "on top of it"),
                ("spike", str(self.spike_c), "Cel", "leap of temperature that no machine makes"),
                ("drift", str(self.drift_c), "Cel", "leap with which a drifting sensor comes back"),
            )
        )


def shown(moment: datetime) -> str:
    """A time as RFC 3339, in UTC."""
    text = moment.astimezone(UTC).isoformat()
    return text.replace("+00:00", "Z")


def percent(ppm: int) -> str:
    """Parts per million as a percentage."""
    return f"{Decimal(ppm) / 10_000} %"


def parameters_from_json(content: Mapping[str, Any]) -> Parameters:
    """The inverse of :meth:`Parameters.to_json`.

    Raises:
        BadRequest: a value is missing, unknown or out of range.
    """
    known = {field.name for field in fields(Parameters)}
    try:
        if unknown := set(content) - known:
            raise BadRequest(f"parameters: {min(unknown)!r} is none")
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in content.items()}
        for name in ("start", "end"):
            values[name] = datetime.fromisoformat(str(values[name]))
        return Parameters(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequest(f"parameters: {error}") from error
