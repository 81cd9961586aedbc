"""OTLP requests for tests, by the generated classes: what a client would send, and what a bad one might."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

NOON_NS: Final = 1_790_000_000_000_000_000
"""2026-09-21T14:13:20Z."""

Plain = None | str | bool | int | float | bytes | Sequence["Plain"] | Mapping[str, "Plain"]


def any_value(value: Plain) -> AnyValue:
    """A plain value as OTLP has it."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case Mapping():
            return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
        case _:
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))


def key_values(attributes: Mapping[str, Plain]) -> list[KeyValue]:
    """Attributes as OTLP has them."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def resource(machine: str | None = "rvm-1", **attributes: Plain) -> Resource:
    """A machine's resource; ``None`` for one without identity."""
    identity: dict[str, Plain] = {} if machine is None else {"service.instance.id": machine}
    return Resource(attributes=key_values({**identity, "site.id": "site-1", **attributes}))


def number(
    value: float,
    time_ns: int = NOON_NS,
    start_ns: int = 0,
    attributes: Mapping[str, Plain] | None = None,
) -> NumberDataPoint:
    """A number data point."""
    point = NumberDataPoint(
        time_unix_nano=time_ns, start_time_unix_nano=start_ns, attributes=key_values(attributes or {})
    )
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value
    return point


def gauge(*points: NumberDataPoint, name: str = "hw.temperature", unit: str = "Cel") -> Metric:
    """A gauge of these points."""
    metric = Metric(name=name, unit=unit)
    metric.gauge.data_points.extend(points)
    return metric


def metrics(*all_metrics: Metric, sender: Resource | None = None) -> ExportMetricsServiceRequest:
    """A metrics request of one sender."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.CopyFrom(resource() if sender is None else sender)
    scope = group.scope_metrics.add()
    scope.scope.name = "tests"
    scope.metrics.extend(all_metrics)
    return request


def event(name: str, time_ns: int = NOON_NS, attributes: Mapping[str, Plain] | None = None) -> LogRecord:
    """A log record with an event name."""
    return LogRecord(event_name=name, time_unix_nano=time_ns, attributes=key_values(attributes or {}))


def deposit(transaction: str = "t-1", /, **attributes: Plain) -> LogRecord:
    """A deposit; keyword ``mass_g`` and so on override ``deposit.mass_g``, None leaves it out."""
    values: dict[str, Plain] = {
        "deposit.transaction_id": transaction,
        "deposit.device_seq": 1,
        "deposit.material": "pet",
        "deposit.mass_g": 25.3,
        "lot.id": "lot-1",
    }
    values |= {f"deposit.{name}": value for name, value in attributes.items()}
    return event("machine.deposit", attributes={k: v for k, v in values.items() if v is not None})


def logs(*records: LogRecord, sender: Resource | None = None) -> ExportLogsServiceRequest:
    """A logs request of one sender."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.CopyFrom(resource() if sender is None else sender)
    group.scope_logs.add().log_records.extend(records)
    return request
