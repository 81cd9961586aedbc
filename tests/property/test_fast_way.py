"""The fast way of decoding metrics gives what the generated classes give, for whatever is sent."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric, NumberDataPoint

import collector.metrics_decoder
from collector.errors import Undecodable
from collector.records import Records
from tests.otlp_requests import NOON_NS, key_values, metrics
from tests.unit.collector.decoding import ARRIVAL, decode_logs, decode_metrics, linked, metrics_decoder

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
attributes = st.dictionaries(st.sampled_from(["hw.id", "hw.type", "", "é", "a\x00"]), values, max_size=3)
times = st.just(NOON_NS) | st.integers(0, 2**64 - 1)


@st.composite
def points(draw: st.DrawFn) -> NumberDataPoint:
    point = NumberDataPoint(
        time_unix_nano=draw(times),
        start_time_unix_nano=draw(st.just(0) | times),
        attributes=key_values(draw(attributes)),
        flags=draw(st.sampled_from([0, 0, 0, 1, 2])),
    )
    match draw(st.sampled_from(["double", "double", "int", "none"])):
        case "double":
            point.as_double = draw(st.floats())
        case "int":
            point.as_int = draw(st.integers(-(2**63), 2**63 - 1))
    if draw(st.booleans()) and draw(st.booleans()):
        point.exemplars.add(time_unix_nano=1, as_double=math.nan)
    return point


@st.composite
def requests(draw: st.DrawFn) -> ExportMetricsServiceRequest:
    metric = Metric(name=draw(st.sampled_from(["m", "", "n" * 2000])), unit="Cel")
    if draw(st.booleans()):
        metric.sum.is_monotonic = draw(st.booleans())
        metric.sum.aggregation_temporality = draw(st.sampled_from(AggregationTemporality.values()))
    target: Any = metric.sum if metric.HasField("sum") else metric.gauge
    target.data_points.extend(draw(st.lists(points(), max_size=6)))
    return metrics(metric)


def slow(body: bytes) -> Records:
    """Every point by the generated classes."""
    decoder = metrics_decoder()
    original = collector.metrics_decoder.MetricsDecoder._translate
    collector.metrics_decoder.MetricsDecoder._translate = lambda *_: None  # type: ignore[method-assign]
    try:
        return decoder.decode(body, ARRIVAL)
    finally:
        collector.metrics_decoder.MetricsDecoder._translate = original  # type: ignore[method-assign]


@settings(max_examples=400, deadline=None)
@given(requests())
def test_the_fast_way_and_the_generated_classes_agree(request: ExportMetricsServiceRequest) -> None:
    body = request.SerializeToString()
    quick, thorough = decode_metrics(body), slow(body)
    assert linked(quick) == linked(thorough)
    assert quick.refusals == thorough.refusals
    assert quick.days == thorough.days


@settings(max_examples=300, deadline=None)
@given(requests(), st.data())
def test_mutated_requests_are_decoded_alike_or_refused(
    request: ExportMetricsServiceRequest, data: st.DataObject
) -> None:
    body = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        quick = decode_metrics(bytes(body))
    except Undecodable:
        return
    thorough = slow(bytes(body))
    assert linked(quick) == linked(thorough)
    assert quick.refusals == thorough.refusals


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_undecodable_or_records_never_a_crash(body: bytes) -> None:
    for decode in (decode_metrics, decode_logs):
        try:
            records = decode(body)
        except Undecodable:
            continue
        assert records.accepted >= 0
