"""OTLP requests, opened only as far as every record can still fail alone.

A protobuf parser refuses a whole message for one string that is not UTF-8, so parsing a request with the
generated classes lets one bad record take a thousand good ones along.  These messages have OTLP's field
numbers, but leave records, resources, scopes and names as bytes: same wire format, later judgement.  They
also leave each data point in one piece, which is what makes the fast way in ``datapoints`` possible.

Source: opentelemetry-proto 1.11, metrics/v1/metrics.proto and logs/v1/logs.proto.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from collector.errors import Undecodable
from collector.ingest import Signal

_PACKAGE: Final = "tally.envelope"
_TYPES: Final = {
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
}
_MESSAGES: Final[dict[str, tuple[tuple[int, str, str], ...]]] = {
    "Metrics": ((1, "resource_metrics", "*ResourceMetrics"),),
    "ResourceMetrics": (
        (1, "resource", "bytes"),
        (2, "scope_metrics", "*ScopeMetrics"),
        (3, "schema_url", "bytes"),
    ),
    "ScopeMetrics": ((1, "scope", "bytes"), (2, "metrics", "*Metric"), (3, "schema_url", "bytes")),
    "Metric": (
        (1, "name", "bytes"),
        (3, "unit", "bytes"),
        (5, "gauge", "Points"),
        (7, "sum", "Points"),
        (9, "histogram", "Points"),
        (10, "exponential_histogram", "Points"),
        (11, "summary", "Points"),
    ),
    "Points": ((1, "data_points", "*bytes"), (2, "temporality", "int32"), (3, "monotonic", "bool")),
    "Logs": ((1, "resource_logs", "*ResourceLogs"),),
    "ResourceLogs": (
        (1, "resource", "bytes"),
        (2, "scope_logs", "*ScopeLogs"),
        (3, "schema_url", "bytes"),
    ),
    "ScopeLogs": ((1, "scope", "bytes"), (2, "log_records", "*bytes"), (3, "schema_url", "bytes")),
}


def _build() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="tally/envelope.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name == "Metric":
            message.oneof_decl.add(name="data")
        for number, field_name, kind in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = field.LABEL_REPEATED if kind[0] == "*" else field.LABEL_OPTIONAL
            bare = kind.lstrip("*")
            if name == "Metric" and bare == "Points":
                field.oneof_index = 0  # as in OTLP, where the last one on the wire counts
            if bare in _TYPES:
                field.type = _TYPES[bare]
            else:
                field.type = field.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{bare}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_POOL: Final = _build()


def _message(name: str) -> type[Message]:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


_REQUESTS: Final[dict[Signal, type[Message]]] = {"metrics": _message("Metrics"), "logs": _message("Logs")}
_POINTS: Final = _message("Points")


def open_request(signal: Signal, body: bytes) -> Any:
    """The request with its records still closed.

    Raises:
        Undecodable: the bytes are not protobuf of this shape.
    """
    try:
        return _REQUESTS[signal].FromString(body)
    except DecodeError as error:
        raise Undecodable(f"the body is not an OTLP {signal} request in protobuf: {error}") from error


def count_unknown_points(data: bytes) -> int:
    """How many data points a metric of a type unknown to us holds, as far as one can tell: at least 1.

    Every metric type of OTLP so far keeps its data points in field 1.
    """
    try:
        points: Any = _POINTS.FromString(data)
    except DecodeError:
        return 1
    return max(1, len(points.data_points))
