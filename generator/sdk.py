"""The same records as OpenTelemetry SDK objects, for its stock exporters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from generator import GENERATOR_VERSION
from generator.fleet import Attributes
from generator.otlp import SCHEMA_URL, SCOPE_NAME, Event
from generator.signals import SERIES, Readings, Series
from generator.wire import Value

_SCOPE = InstrumentationScope(SCOPE_NAME, GENERATOR_VERSION, SCHEMA_URL)


@lru_cache(maxsize=65_536)
def resource(attributes: Attributes) -> Resource:
    """The SDK's resource of an emitter."""
    return Resource(dict(attributes), SCHEMA_URL)


def metrics_data(emitter: Attributes, metrics: Sequence[Metric]) -> MetricsData:
    """Metrics of one emitter, ready for ``OTLPMetricExporter.export``."""
    scope = ScopeMetrics(scope=_SCOPE, metrics=metrics, schema_url=SCHEMA_URL)
    return MetricsData(
        [ResourceMetrics(resource=resource(emitter), scope_metrics=[scope], schema_url=SCHEMA_URL)]
    )


def readings_to_metrics(readings: Readings, begin: int, end: int, start_ns: int) -> list[Metric]:
    """The SDK's metrics for readings number ``begin`` up to, not including, ``end``."""
    metrics = []
    times = readings.time_ns[begin:end].tolist()
    for _, group in groupby(SERIES, key=lambda series: series.metric):
        members = list(group)
        points = [
            point
            for series in members
            for point in _points(series, times, readings.values(series)[begin:end].tolist(), start_ns)
        ]
        first = members[0]
        data: Gauge | Sum = (
            Gauge(points)
            if first.kind == "gauge"
            else Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=first.kind == "counter")
        )
        metrics.append(Metric(first.metric, "", first.unit, data))
    return metrics


def _points(series: Series, times: list[int], values: list[float], start_ns: int) -> list[NumberDataPoint]:
    attributes = dict(series.attributes)
    start = None if series.kind == "gauge" else start_ns
    return [
        NumberDataPoint(attributes=attributes, start_time_unix_nano=start, time_unix_nano=time, value=value)  # type: ignore[arg-type]
        for time, value in zip(times, values, strict=True)
    ]


def _plain(value: Value) -> object:
    return dict(value) if isinstance(value, tuple) else value


def log_records(emitter: Attributes, events: Sequence[Event]) -> list[ReadableLogRecord]:
    """The SDK's log records, ready for ``OTLPLogExporter.export``."""
    of = resource(emitter)
    return [
        ReadableLogRecord(
            log_record=LogRecord(
                timestamp=event.time_ns,
                observed_timestamp=event.observed_ns,
                severity_number=SeverityNumber(event.severity),
                attributes={key: _plain(value) for key, value in event.attributes},  # type: ignore[misc]
                event_name=event.name,
            ),
            resource=of,
            instrumentation_scope=_SCOPE,
        )
        for event in events
    ]
