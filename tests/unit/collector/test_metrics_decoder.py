"""What becomes of data points, good and bad."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
    Metric,
    NumberDataPoint,
)

from collector.errors import TooLarge, Undecodable
from ledger.canonical import content_digest
from tests.otlp_requests import NOON_NS, gauge, key_values, metrics, number, resource
from tests.unit.collector.decoding import ARRIVAL, decode_metrics, metrics_decoder, rows

NOON = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)


def test_a_gauge_point_becomes_a_row_with_every_part_in_its_column() -> None:
    records = decode_metrics(metrics(gauge(number(21.5, attributes={"hw.id": "t0"}))).SerializeToString())
    (row,) = rows(records, "telemetry")
    assert (row["machine_id"], row["metric"], row["unit"], row["kind"]) == (
        "rvm-1",
        "hw.temperature",
        "Cel",
        "gauge",
    )
    assert (row["event_time"], row["value"], row["start_time"], row["count"]) == (NOON, 21.5, None, None)
    assert row["received_at"] == NOON + timedelta(seconds=5)
    assert row["attributes"] == {"hw.id": "t0"}
    content = records.resources[row["resource_digest"]]
    assert content_digest(content) == row["resource_digest"]
    described = json.loads(content)
    assert described["resource"]["attributes"]["site.id"] == "site-1"
    assert described["scope"]["name"] == "tests"
    assert records.rejected == 0
    assert records.message() == ""


def test_a_sum_keeps_start_temporality_and_monotonicity() -> None:
    metric = Metric(name="hw.energy", unit="J")
    metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    metric.sum.is_monotonic = True
    metric.sum.data_points.append(number(10, start_ns=NOON_NS - 10**9))
    (row,) = rows(decode_metrics(metrics(metric).SerializeToString()), "telemetry")
    assert row["kind"] == "sum"
    assert row["start_time"] == NOON - timedelta(seconds=1)
    assert row["attributes"] == {"tally.otlp": {"temporality": "cumulative", "monotonic": True}}


def test_delta_sums_are_kept_as_such() -> None:
    metric = Metric(name="hw.energy")
    metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_DELTA
    metric.sum.data_points.append(number(1.0))
    (row,) = rows(decode_metrics(metrics(metric).SerializeToString()), "telemetry")
    assert row["attributes"]["tally.otlp"]["temporality"] == "delta"


def test_an_integer_beyond_float8_is_kept_exactly() -> None:
    (row,) = rows(decode_metrics(metrics(gauge(number(2**53 + 1))).SerializeToString()), "telemetry")
    assert row["attributes"]["tally.otlp"]["as_int"] == str(2**53 + 1)


def test_histograms_and_summaries_become_one_row_a_point() -> None:
    histogram, exponential, summary = Metric(name="h"), Metric(name="e"), Metric(name="s")
    histogram.histogram.data_points.add(
        time_unix_nano=NOON_NS, count=3, sum=6.0, explicit_bounds=[1, 2], bucket_counts=[1, 1, 1], max=3.0
    )
    histogram.histogram.data_points.add(time_unix_nano=NOON_NS, count=2)
    point = exponential.exponential_histogram.data_points.add(
        time_unix_nano=NOON_NS, count=5, scale=1, zero_count=1
    )
    point.positive.offset = 2
    point.positive.bucket_counts.extend([1, 3])
    quantile = summary.summary.data_points.add(time_unix_nano=NOON_NS, count=1, sum=4.0)
    quantile.quantile_values.add(quantile=0.5, value=math.nan)
    records = decode_metrics(metrics(histogram, exponential, summary).SerializeToString())
    first, second, third, fourth = rows(records, "telemetry")
    assert (first["kind"], first["value"], first["count"]) == ("histogram", 6.0, 3)
    assert first["attributes"]["tally.otlp"]["bucket_counts"] == [1, 1, 1]
    assert first["attributes"]["tally.otlp"]["max"] == 3
    assert (second["value"], second["count"]) == (None, 2)
    assert third["kind"] == "exponential_histogram"
    assert third["attributes"]["tally.otlp"]["positive"] == {"offset": 2, "bucket_counts": [1, 3]}
    assert fourth["attributes"]["tally.otlp"]["quantiles"] == [{"quantile": 0.5, "value": "NaN"}]
    assert records.rejected == 0


def test_a_point_without_recorded_value_is_kept_as_null() -> None:
    point = number(0.0)
    point.flags = 1
    (row,) = rows(decode_metrics(metrics(gauge(point)).SerializeToString()), "telemetry")
    assert row["value"] is None
    assert row["attributes"]["tally.otlp"]["no_recorded_value"] is True


BAD_POINTS = {
    "nan": (number(math.nan), "not_finite"),
    "infinite": (number(math.inf), "not_finite"),
    "minus infinite": (number(-math.inf), "not_finite"),
    "no time": (number(1.0, time_ns=0), "time_missing"),
    "1970": (number(1.0, time_ns=10**9), "time_out_of_range"),
    "9999": (number(1.0, time_ns=2**63 - 1), "time_out_of_range"),
    "negative": (number(1.0, time_ns=2**64 - 10**9), "time_out_of_range"),
    "no value": (NumberDataPoint(time_unix_nano=NOON_NS), "value_missing"),
    "nul": (number(1.0, attributes={"a": "x\x00y"}), "nul_character"),
    "nul in a key": (number(1.0, attributes={"a\x00": "x"}), "nul_character"),
    "nan attribute": (number(1.0, attributes={"a": math.nan}), "not_finite"),
    "nested infinity": (number(1.0, attributes={"a": {"b": [math.inf]}}), "not_finite"),
    "10,000 attributes": (number(1.0, attributes={f"a{i}": i for i in range(10_000)}), "too_many_attributes"),
    "1 MB string": (number(1.0, attributes={"a": "x" * 1_000_000}), "attributes_too_large"),
    "reserved": (number(1.0, attributes={"tally.otlp": 1}), "reserved_attribute"),
    "twice": (
        NumberDataPoint(
            time_unix_nano=NOON_NS, as_double=1, attributes=[*key_values({"a": 1}), *key_values({"a": 2})]
        ),
        "duplicate_attribute",
    ),
}


@pytest.mark.parametrize(("bad", "reason"), BAD_POINTS.values(), ids=BAD_POINTS.keys())
def test_a_bad_point_is_refused_with_its_reason_and_its_neighbours_are_kept(
    bad: NumberDataPoint, reason: str
) -> None:
    records = decode_metrics(metrics(gauge(number(1.0), bad, number(2.0))).SerializeToString())
    assert [row["value"] for row in rows(records, "telemetry")] == [1.0, 2.0]
    assert records.refusals == {reason: 1}
    assert f"1 refused (1 {reason})" in records.message()


def test_a_string_that_is_not_utf8_costs_its_own_record_only() -> None:
    body = metrics(gauge(number(1.0), number(2.0, attributes={"a": "BAD!"}), number(3.0))).SerializeToString()
    records = decode_metrics(body.replace(b"BAD!", b"\xff\xfe\xfd\xfc"))
    assert [row["value"] for row in rows(records, "telemetry")] == [1.0, 3.0]
    assert records.refusals == {"malformed_record": 1}


def test_a_metric_name_that_is_not_utf8_costs_its_own_points_only() -> None:
    body = metrics(
        gauge(number(1.0), number(1.5), name="BAD!"), gauge(number(2.0), name="good")
    ).SerializeToString()
    records = decode_metrics(body.replace(b"BAD!", b"\xff\xfe\xfd\xfc"))
    assert [row["metric"] for row in rows(records, "telemetry")] == ["good"]
    assert records.refusals == {"invalid_utf8": 2}


def test_points_without_a_machine_are_refused_and_counted() -> None:
    request = metrics(gauge(number(1.0), number(2.0)), sender=resource(None))
    request.resource_metrics.extend(metrics(gauge(number(3.0))).resource_metrics)
    records = decode_metrics(request.SerializeToString())
    assert records.refusals == {"no_machine_identity": 2}
    assert [row["value"] for row in rows(records, "telemetry")] == [3.0]


@pytest.mark.parametrize(
    ("attributes", "machine"),
    [
        ({"service.instance.id": "a", "device.id": "b"}, "a"),
        ({"device.id": "b", "host.id": "c"}, "b"),
        ({"host.id": "c", "host.name": "d"}, "c"),
        ({"host.name": "d"}, "d"),
        ({"service.instance.id": " ", "host.name": "d"}, "d"),
    ],
)
def test_the_machine_is_named_by_the_first_identity_present(attributes: dict[str, str], machine: str) -> None:
    records = decode_metrics(
        metrics(gauge(number(1.0)), sender=resource(None, **attributes)).SerializeToString()
    )
    assert [row["machine_id"] for row in rows(records, "telemetry")] == [machine]


def test_a_metric_of_a_future_type_is_refused_with_its_points_counted() -> None:
    metric = Metric(name="future")
    metric.gauge.data_points.extend([number(1.0), number(2.0)])
    body = metrics(metric, gauge(number(3.0))).SerializeToString()
    field_5, field_15 = bytes([5 << 3 | 2]), bytes([15 << 3 | 2])
    at = body.index(b"future") + len(b"future")
    assert body[at : at + 1] == field_5
    records = decode_metrics(body[:at] + field_15 + body[at + 1 :])
    assert records.refusals == {"unknown_metric_type": 2}
    assert [row["value"] for row in rows(records, "telemetry")] == [3.0]


def test_an_empty_metric_does_not_abort_the_payload() -> None:
    records = decode_metrics(metrics(Metric(name="empty"), gauge(), gauge(number(1.0))).SerializeToString())
    assert len(rows(records, "telemetry")) == 1
    assert records.rejected == 0
    assert "has no data" in records.message()


@pytest.mark.parametrize("request_", [ExportMetricsServiceRequest(), metrics(), metrics(gauge())])
def test_an_empty_request_is_accepted(request_: ExportMetricsServiceRequest) -> None:
    records = decode_metrics(request_.SerializeToString())
    assert (records.accepted, records.rejected, records.message()) == (0, 0, "")


def test_bytes_that_are_no_request_are_undecodable() -> None:
    with pytest.raises(Undecodable, match="not an OTLP metrics request"):
        decode_metrics(b"\xff" * 40)


def test_repeated_times_and_backward_jumps_are_stored_and_counted() -> None:
    decoder = metrics_decoder()
    times = [0, 300, 300, 600, 100, 400]
    points = [
        number(1.0, time_ns=NOON_NS - 10**12 + second * 10**9, attributes={"a": "b"}) for second in times
    ]
    records = decoder.decode(metrics(gauge(*points)).SerializeToString(), ARRIVAL)
    assert records.accepted == len(times)
    watch = decoder._clock_watch
    assert (watch._repeated._value.get(), watch._backward._value.get()) == (1, 1)


def test_a_small_request_whose_rows_would_fill_the_memory_is_refused_while_it_is_decoded() -> None:
    points = [number(1.0) for _ in range(60_000)]
    request = metrics(gauge(*points, name="n" * 1024), sender=resource("m" * 1024))
    with pytest.raises(TooLarge, match="fewer records at a time"):
        decode_metrics(request.SerializeToString())
