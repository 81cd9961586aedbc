from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.errors import Undecodable
from collector.ingest import Signal
from collector.otlp_json import to_protobuf
from tests.integration.otlp_servers import REQUESTS

SIGNALS = st.sampled_from(sorted(REQUESTS))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
DOUBLES = st.floats(allow_nan=False)
LEAVES: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: TEXT,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=16),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: DOUBLES,
    FieldDescriptor.TYPE_ENUM: st.integers(0, 2),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: st.integers(0, 2**64 - 1),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def messages(draw: st.DrawFn, message_type: type[Any], depth: int = 0) -> Any:
    """Any OTLP message, ids left out: json_format reads them as base64, OTLP as hex."""
    message = message_type()
    _populate(draw, message, depth)
    return message


def _populate(draw: st.DrawFn, message: Any, depth: int) -> None:
    descriptor: Descriptor = message.DESCRIPTOR
    chosen = {oneof.name: draw(st.sampled_from([None, *oneof.fields])) for oneof in descriptor.oneofs}
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if field.name in {"trace_id", "span_id"} or (oneof is not None and chosen[oneof.name] is not field):
            continue
        if field.message_type is None:
            if field.is_repeated:
                getattr(message, field.name).extend(draw(st.lists(LEAVES[field.type], max_size=2)))
            else:
                setattr(message, field.name, draw(LEAVES[field.type]))
        elif depth < 9:
            if field.is_repeated:
                for _ in range(draw(st.integers(0, 2 if depth < 3 else 1))):
                    _populate(draw, getattr(message, field.name).add(), depth + 1)
            elif draw(st.booleans()):
                getattr(message, field.name).SetInParent()
                _populate(draw, getattr(message, field.name), depth + 1)


@given(st.data(), SIGNALS)
@settings(max_examples=60, deadline=None)
def test_what_json_format_writes_is_read_as_json_format_reads_it(data: st.DataObject, signal: Signal) -> None:
    request = data.draw(messages(REQUESTS[signal]))
    text = json_format.MessageToJson(request, use_integers_for_enums=True)
    assert REQUESTS[signal].FromString(to_protobuf(signal, text.encode()).body) == request


PATHS = {
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics", "gauge", "dataPoints"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords", "body", "kvlistValue"),
}


@given(st.data(), SIGNALS)
@settings(max_examples=200, deadline=None)
def test_any_json_anywhere_is_a_request_or_a_complaint(data: st.DataObject, signal: Signal) -> None:
    document = data.draw(JSON)
    for name in reversed(PATHS[signal][: data.draw(st.integers(0, 5))]):
        document = {name: data.draw(st.sampled_from([document, [document], [{}, document]]))}
    _convert(signal, json.dumps(document).encode())


@given(st.binary(max_size=200), SIGNALS)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_request_or_a_complaint(body: bytes, signal: Signal) -> None:
    _convert(signal, body)


@given(st.data(), SIGNALS)
@settings(max_examples=200, deadline=None)
def test_a_mutated_request_is_a_request_or_a_complaint(data: st.DataObject, signal: Signal) -> None:
    text = bytearray(SAMPLES[signal])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 6))
        text[start:end] = data.draw(st.sampled_from(TOKENS) | st.binary(max_size=3))
    _convert(signal, bytes(text))


TOKENS = [
    b"null",
    b"{}",
    b"[]",
    b'""',
    b"1e999",
    b"-1",
    b"true",
    b",",
    b":",
    b'"\\ud800"',
    b"{",
    b"[",
    b"}",
    b"]",
]
_ATTRIBUTE = {
    "key": "hw.id",
    "value": {"arrayValue": {"values": [{"intValue": "5"}, {"bytesValue": "AQ=="}]}},
}
SAMPLES: dict[Signal, bytes] = {
    "metrics": json.dumps(
        {
            "resourceMetrics": [
                {
                    "resource": {"attributes": [_ATTRIBUTE]},
                    "scopeMetrics": [
                        {
                            "metrics": [
                                {
                                    "name": "a",
                                    "gauge": {"dataPoints": [{"timeUnixNano": "17", "asDouble": 1.5}]},
                                },
                                {
                                    "name": "b",
                                    "histogram": {"dataPoints": [{"bucketCounts": [1, "2"], "sum": 3}]},
                                },
                            ]
                        }
                    ],
                }
            ]
        }
    ).encode(),
    "logs": json.dumps(
        {
            "resourceLogs": [
                {
                    "scopeLogs": [
                        {
                            "logRecords": [
                                {
                                    "timeUnixNano": "17",
                                    "severityNumber": 9,
                                    "traceId": "5b8efff798038103d269b633813fc60c",
                                    "body": {"stringValue": "x"},
                                    "attributes": [_ATTRIBUTE],
                                }
                            ]
                        }
                    ]
                }
            ]
        }
    ).encode(),
}


def _convert(signal: Signal, text: bytes) -> None:
    """Either a request, which any protobuf parser but for lone surrogates takes, or Undecodable."""
    try:
        body = to_protobuf(signal, text).body
    except Undecodable:
        pass
    else:
        if b"\\ud" not in text.lower():
            REQUESTS[signal].FromString(body)
