"""Read a run's requests back with the reference decoder."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from generator.events import STREAM_OF_EVENT
from generator.simulate import Simulation
from generator.spec import FleetSpec


@dataclass(frozen=True)
class LogRow:
    """A decoded log record; ``at`` is its place in the whole sequence."""

    at: int
    machine: str
    name: str
    time_ns: int
    observed_ns: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """A decoded data point."""

    machine: str
    metric: str
    attributes: tuple[tuple[str, Any], ...]
    time_ns: int
    value: float


@dataclass
class Decoded:
    """All records of a run, in order."""

    logs: list[LogRow] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)

    def named(self, name: str) -> list[LogRow]:
        return [row for row in self.logs if row.name == name]

    def series(self, machine: str, metric: str, **attributes: str) -> list[Point]:
        wanted = {key.replace("_", "."): value for key, value in attributes.items()}.items()
        return [
            p
            for p in self.points
            if p.machine == machine and p.metric == metric and wanted <= dict(p.attributes).items()
        ]

    def rows_by_stream(self) -> dict[str, dict[str, int]]:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for point in self.points:
            counts["telemetry"][point.machine] += 1
        for row in self.logs:
            counts[STREAM_OF_EVENT[row.name]][row.machine] += 1
        return {stream: dict(of) for stream, of in counts.items()}

    def add(self, signal: str, payload: bytes) -> None:
        if signal == "metrics":
            for metrics in ExportMetricsServiceRequest.FromString(payload).resource_metrics:
                machine = self._resource(metrics.resource.attributes)
                for scope in metrics.scope_metrics:
                    for metric in scope.metrics:
                        for p in getattr(metric, metric.WhichOneof("data") or "gauge").data_points:
                            value = p.as_double if p.WhichOneof("value") == "as_double" else p.as_int
                            attributes = tuple(plain(p.attributes).items())
                            self.points.append(
                                Point(machine, metric.name, attributes, p.time_unix_nano, value)
                            )
        else:
            for logs in ExportLogsServiceRequest.FromString(payload).resource_logs:
                machine = self._resource(logs.resource.attributes)
                for scope_logs in logs.scope_logs:
                    for r in scope_logs.log_records:
                        self.logs.append(
                            LogRow(
                                len(self.logs),
                                machine,
                                r.event_name,
                                r.time_unix_nano,
                                r.observed_time_unix_nano,
                                plain(r.attributes),
                            )
                        )

    def _resource(self, pairs: Iterable[KeyValue]) -> str:
        attributes = plain(pairs)
        identity = str(attributes["service.instance.id"])
        self.resources[identity] = attributes
        return identity


def plain(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return plain(value.kvlist_value.values)
    return getattr(value, kind or "string_value")


def decode(simulation: Simulation) -> Decoded:
    """Play a simulation to its end and decode what it emits."""
    decoded = Decoded()
    for batch in simulation.batches():
        decoded.add(batch.signal, batch.payload)
    return decoded


def play(spec: FleetSpec) -> tuple[Decoded, Simulation]:
    simulation = Simulation(spec)
    return decode(simulation), simulation
