"""Events as OTLP requests, to the byte: what this package sends into the ledger.

The event's time is the caller's, in nanoseconds since 1970; the chain is that of the machine (of the model,
for ``model.lifecycle``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

Plain = None | str | bool | int | float | bytes | Sequence["Plain"] | Mapping[str, "Plain"]
SERVICE: Final = "tally-inference"


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
    """Attributes as OTLP has them; one that is None is left out."""
    return [
        KeyValue(key=key, value=any_value(value)) for key, value in attributes.items() if value is not None
    ]


def log_request(machine: str, event_name: str, time_unix_nano: int, *records: Mapping[str, Plain]) -> bytes:
    """A logs request of ``machine`` with an event for each of ``records``, its attributes."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(key_values({"service.instance.id": machine, "service.name": SERVICE}))
    group.scope_logs.add(
        log_records=[
            LogRecord(event_name=event_name, time_unix_nano=time_unix_nano, attributes=key_values(attributes))
            for attributes in records
        ]
    )
    return request.SerializeToString()
