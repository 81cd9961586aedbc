"""Replay a column of a CSV file as the gauge of one machine: every row, in the order of the file.

Nothing is repaired: repeated timestamps and backward jumps are sent as they stand, and counted.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.metrics.export import Gauge, Metric, NumberDataPoint

from generator import sdk
from generator.delivery import Delivery
from generator.emit_sdk import SdkEmitter, quiet_exporters
from generator.errors import DeliveryError, SpecError
from generator.fleet import Attributes
from generator.progress import ProgressCallback, Reporter
from generator.settings import Target

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """Which column becomes which metric of which machine.  Times without an offset are taken as UTC."""

    csv: Path
    metric: str
    unit: str
    machine: str
    time_column: str = "timestamp"
    value_column: str = "value"
    fleet: str = "replay"
    rows_per_request: int = 1_000

    def __post_init__(self) -> None:
        for name in ("metric", "machine", "fleet"):
            if not str(getattr(self, name)).strip():
                raise SpecError(f"{name}: expected a name, got nothing")
        if not 1 <= self.rows_per_request <= 50_000:
            raise SpecError(f"rows_per_request: expected 1 to 50000, got {self.rows_per_request}")


@dataclass(frozen=True, slots=True)
class Row:
    """A reading: nanoseconds since 1970 and its value."""

    time_ns: int
    value: float


@dataclass(slots=True)
class Order:
    """What is odd about the times of a series.

    A timestamp is repeated if an earlier row had it; a jump is backward if the row before had a later one.
    """

    rows: int = 0
    repeated_timestamps: int = 0
    backward_jumps: int = 0


class OrderCounter:
    """Counts rows, repeated timestamps and backward jumps as rows go by."""

    def __init__(self) -> None:
        self.order = Order()
        self._seen: set[int] = set()
        self._before: int | None = None

    def add(self, time_ns: int) -> None:
        """The next row's time."""
        self.order.rows += 1
        if time_ns in self._seen:
            self.order.repeated_timestamps += 1
        self._seen.add(time_ns)
        if self._before is not None and time_ns < self._before:
            self.order.backward_jumps += 1
        self._before = time_ns


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The end of a replay."""

    spec: ReplaySpec
    order: Order
    delivery: Delivery
    elapsed_s: float
    problem: str = ""

    @property
    def good(self) -> bool:
        """Every row was taken."""
        return not self.problem and self.delivery.clean

    def to_json(self) -> dict[str, Any]:
        """The summary that ``--json`` prints."""
        return {
            "mode": "replay",
            "good": self.good,
            "problem": self.problem,
            "csv": str(self.spec.csv),
            "metric": self.spec.metric,
            "machine": self.spec.machine,
            **asdict(self.order),
            "acknowledged": self.delivery.acknowledged["telemetry"],
            "delivery": self.delivery.to_json(),
            "elapsed_s": round(self.elapsed_s, 3),
        }


def read_rows(spec: ReplaySpec) -> Iterator[Row]:
    """The readings of the file, in its order.

    Raises:
        SpecError: the file or a column is missing, or a row is not a time and a number; names the line.
    """
    try:
        with spec.csv.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            for column in (spec.time_column, spec.value_column):
                if column not in names:
                    raise SpecError(
                        f"{spec.csv}: no column {column!r}; there are {', '.join(names) or 'none'}"
                    )
            for row in reader:
                where = f"{spec.csv}, line {reader.line_num}"
                yield Row(_time_ns(row[spec.time_column], where), _value(row[spec.value_column], where))
    except OSError as error:
        raise SpecError(f"{spec.csv}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{spec.csv}: expected UTF-8 text") from error
    except csv.Error as error:
        raise SpecError(f"{spec.csv}: {error}") from error


def _time_ns(text: str | None, where: str) -> int:
    try:
        moment = datetime.fromisoformat((text or "").strip())
    except ValueError as error:
        raise SpecError(f"{where}: expected an ISO 8601 time, got {text!r}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


def _value(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError as error:
        raise SpecError(f"{where}: expected a number, got {text!r}") from error
    if not math.isfinite(value):
        raise SpecError(f"{where}: expected a finite number, got {text!r}")
    return value


def replay(spec: ReplaySpec, target: Target, *, progress: ProgressCallback | None = None) -> ReplayReport:
    """Send all rows through the stock SDK exporter.

    Raises:
        SpecError: the file cannot be replayed; nothing was sent.
        DeliveryError: no collector answers at all.
    """
    quiet_exporters()
    counter = OrderCounter()
    rows = []
    for row in read_rows(spec):
        counter.add(row.time_ns)
        rows.append(row)
    if not rows:
        raise SpecError(f"{spec.csv}: no rows to replay")
    target.check()
    delivery, reporter = Delivery(), Reporter(progress)
    problem = ""
    resource: Attributes = (
        ("service.name", "recycling-machine"),
        ("service.namespace", spec.fleet),
        ("service.instance.id", spec.machine),
    )
    try:
        with SdkEmitter(target, delivery, workers_per_door=1) as emitter:
            for first in range(0, len(rows), spec.rows_per_request):
                part = rows[first : first + spec.rows_per_request]
                data = sdk.metrics_data(resource, [_gauge(spec, part)])
                emitter.send(0, "metrics", {"telemetry": len(part)}, lambda data=data: data)  # type: ignore[misc]
                reporter.add(len(part), (first + len(part)) / len(rows))
    except DeliveryError as error:
        problem = str(error)
    elapsed_s = reporter.elapsed_s
    reporter.finish()
    return ReplayReport(spec, counter.order, delivery, elapsed_s, problem)


def _gauge(spec: ReplaySpec, rows: list[Row]) -> Metric:
    attributes = {"hw.id": spec.csv.stem, "replay.source": spec.csv.name}
    points = [NumberDataPoint(attributes, None, row.time_ns, row.value) for row in rows]  # type: ignore[arg-type]
    return Metric(spec.metric, "", spec.unit, Gauge(points))
