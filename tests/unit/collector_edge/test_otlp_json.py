from __future__ import annotations

import json
import math
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.errors import Undecodable
from collector.ingest import Signal
from collector.otlp_json import MAX_DEPTH, to_protobuf

POINT = "resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[1]"

ONCE = "expected every key once, got"


def metrics(text: bytes | str) -> Any:
    data = text.encode() if isinstance(text, str) else text
    return ExportMetricsServiceRequest.FromString(to_protobuf("metrics", data).body)


def with_metric(members: str) -> str:
    return '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{' + members + "}]}]}]}"


def with_point(members: str) -> str:
    return with_metric('"name":"m","gauge":{"dataPoints":[{},{' + members + "}]}")


def with_records(members: str) -> str:
    return '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{' + members + "}]}]}]}"


def metric(members: str) -> Any:
    return metrics(with_metric(members)).resource_metrics[0].scope_metrics[0].metrics[0]


def point(members: str) -> Any:
    return metrics(with_point(members)).resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[1]


def record(members: str) -> Any:
    request = ExportLogsServiceRequest.FromString(to_protobuf("logs", with_records(members).encode()).body)
    return request.resource_logs[0].scope_logs[0].log_records[0]


def complaint(text: bytes | str, signal: Signal = "metrics") -> str:
    with pytest.raises(Undecodable) as error:
        to_protobuf(signal, text.encode() if isinstance(text, str) else text)
    return str(error.value)


@pytest.mark.parametrize(
    "text", ["{}", '{"resourceMetrics":[]}', '{"resourceMetrics":null}', "\ufeff{}", " {}\n"]
)
def test_an_empty_request_is_a_request(text: str) -> None:
    assert metrics(text) == ExportMetricsServiceRequest()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1760000000000000123", 1760000000000000123),
        ('"1760000000000000123"', 1760000000000000123),
        ('"18446744073709551615"', 2**64 - 1),
        ("18446744073709551615", 2**64 - 1),
        ("0", 0),
        ("-0", 0),
        ("null", 0),
        ("1e3", 1000),
        ("5.0", 5),
        ('"1e3"', 1000),
    ],
)
def test_64_bit_integers_come_as_numbers_or_strings(written: str, value: int) -> None:
    assert point(f'"timeUnixNano":{written}').time_unix_nano == value


@pytest.mark.parametrize(
    "written",
    [
        '"18446744073709551616"', "18446744073709551616", "-1", '"-1"', "1.5", '"1.5"', '"abc"', '""', '" 1"',
        '"1_0"', '"+1"', '"0x10"', '"\\u0661"', "true", "{}", "[]", '"NaN"', "1e400", '"1e400"', "1e30",
        '"' + "9" * 5000 + '"',
    ],
)  # fmt: skip
def test_what_is_no_64_bit_integer_is_named_by_its_path(written: str) -> None:
    told = complaint(with_point(f'"timeUnixNano":{written}'))
    assert told.startswith(
        f"{POINT}.timeUnixNano: expected an unsigned integer of 64 bits, as a number or a string, got"
    )
    assert len(told) < 250


@pytest.mark.parametrize(
    ("written", "value"), [('"-9223372036854775808"', -(2**63)), ("-5", -5), ('"-5"', -5)]
)
def test_signed_integers(written: str, value: int) -> None:
    assert point(f'"asInt":{written}').as_int == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1.5", 1.5), ("2", 2.0), ('"1.5"', 1.5), ('"-1e-3"', -0.001), ("-0.0", -0.0), ("5e-324", 5e-324),
        ('"Infinity"', math.inf), ('"-Infinity"', -math.inf), ('"NaN"', math.nan), ("1" + "0" * 300, 1e300),
    ],
)  # fmt: skip
def test_doubles(written: str, value: float) -> None:
    found = point(f'"asDouble":{written}').as_double
    assert repr(found) == repr(value)


@pytest.mark.parametrize(
    "written", ["1e400", "1" + "0" * 400, '"1e400"', '"inf"', '"nan"', "true", '""', '" 1"', "[1]"]
)
def test_what_is_no_double_is_named_by_its_path(written: str) -> None:
    assert complaint(with_point(f'"asDouble":{written}')).startswith(f"{POINT}.asDouble: expected a double")


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity"])
def test_bare_not_a_number_is_not_json(written: str) -> None:
    assert "writes" in complaint(with_point(f'"asDouble":{written}'))


def test_a_zero_that_was_sent_is_not_a_zero_that_was_not() -> None:
    assert point('"asInt":0').WhichOneof("value") == "as_int"
    assert point('"asDouble":0').WhichOneof("value") == "as_double"
    assert point("").WhichOneof("value") is None
    assert point('"asInt":null').WhichOneof("value") is None


def test_two_values_for_one_point_are_refused() -> None:
    assert (
        complaint(with_point('"asInt":1,"asDouble":2'))
        == f"{POINT}.asDouble: expected one kind of value, got another after as_int"
    )


def test_an_empty_object_is_there() -> None:
    assert metric('"sum":{}').WhichOneof("data") == "sum"
    assert metric('"sum":null').WhichOneof("data") is None


@pytest.mark.parametrize("written", ["5b8efff798038103d269b633813fc60c", "5B8EFFF798038103D269B633813FC60C"])
def test_ids_are_hex_in_either_case(written: str) -> None:
    assert record(f'"traceId":"{written}","spanId":"EEE19B7EC3C1B174"').trace_id.hex() == written.lower()


@pytest.mark.parametrize(
    "written", ['"5b8"', '"zz"', '"5b 8e"', '"W47/95gDgQPSabYzgT/GDA=="', "12", '"\\u0665\\u0665"']
)
def test_ids_that_are_not_hex_are_refused(written: str) -> None:
    assert "expected hexadecimal digits" in complaint(with_records(f'"traceId":{written}'), "logs")


@pytest.mark.parametrize(
    ("written", "value"),
    [("AQID", b"\1\2\3"), ("AQI=", b"\1\2"), ("AQI", b"\1\2"), ("-_-_", b"\xfb\xff\xbf"), ("", b"")],
)
def test_other_bytes_are_base64_of_either_alphabet(written: str, value: bytes) -> None:
    body = record(f'"body":{{"bytesValue":"{written}"}}').body
    assert body.bytes_value == value
    assert body.WhichOneof("value") == "bytes_value"


@pytest.mark.parametrize("written", ['"A"', '"AQ*D"', "1", "[]", '"é"'])
def test_what_is_not_base64_is_refused(written: str) -> None:
    assert "base64" in complaint(with_records(f'"body":{{"bytesValue":{written}}}'), "logs")


def test_attribute_values_may_be_empty_nested_or_bytes() -> None:
    values = record(
        '"attributes":[{"key":"a","value":{}},{"key":"b"},{"key":"c","value":null},{"key":"d","value":{"arrayValue":{"values":['
        '{"kvlistValue":{"values":[{"key":"x","value":{"intValue":"7"}}]}},{"bytesValue":"AQ=="},{"boolValue":false}]}}}]'
    ).attributes
    assert [value.key for value in values] == ["a", "b", "c", "d"]
    assert values[3].value.array_value.values[0].kvlist_value.values[0].value.int_value == 7
    assert values[3].value.array_value.values[2].WhichOneof("value") == "bool_value"


def test_enums_are_integers_only_and_open() -> None:
    assert record('"severityNumber":9').severity_number == 9
    assert record('"severityNumber":77').severity_number == 77
    assert "an enum's integer" in complaint(
        '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"SEVERITY_NUMBER_INFO"}]}]}]}',
        "logs",
    )


def test_unknown_names_are_ignored() -> None:
    assert point('"asInt":1,"fromTheFuture":{"deep":[1,{"x":null}]},"__proto__":1').as_int == 1


def test_snake_case_names_are_ignored_and_the_sender_is_warned() -> None:
    text = with_point('"asInt":1,"time_unix_nano":5')
    assert "time_unix_nano" in to_protobuf("metrics", text.encode()).warning
    assert point('"asInt":1,"time_unix_nano":5').time_unix_nano == 0
    assert to_protobuf("metrics", with_point('"asInt":1').encode()).warning == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the body is not JSON"),
        ("{", "the body is not JSON"),
        ("{}x", "the body is not JSON"),
        (b"\xff\xfe{\x00}\x00", "the body is not JSON"),
        (b'{"resourceMetrics":"\xff"}', "the body is not JSON"),
        ("[" * 100_000, "the body is not JSON"),
        ('{"x":' * 5_000 + "1" + "}" * 5_000, "the body is not JSON"),
        ("9" * 5_000, "the body is not JSON"),
        ("[]", "the body: expected an object, got an array"),
        ("null", "the body: expected an object, got null"),
        ('"x"', 'the body: expected an object, got "x"'),
        ('{"resourceMetrics":{}}', "resourceMetrics: expected an array, got an object"),
        ('{"resourceMetrics":[{},null]}', "resourceMetrics[1]: expected an object, got null"),
        ('{"resourceMetrics":[{"schemaUrl":5}]}', "resourceMetrics[0].schemaUrl: expected a string, got 5"),
        ('{"resourceMetrics":[{"schemaUrl":"","schemaUrl":""}]}', f'resourceMetrics[0]: {ONCE} "schemaUrl"'),
        ('{"resourceMetrics":[],"resourceMetrics":[]}', f'the body: {ONCE} "resourceMetrics" twice'),
    ],
)  # fmt: skip
def test_a_complaint_names_the_place(text: bytes | str, told: str) -> None:
    assert complaint(text).startswith(told)


def test_repeated_numbers_are_checked_one_by_one() -> None:
    counts = '"histogram":{"dataPoints":[{"bucketCounts":["1",2,%s]}]}'
    assert metric(counts % "3").histogram.data_points[0].bucket_counts == [1, 2, 3]
    told = complaint(with_metric(counts % '"x"'))
    assert "bucketCounts[2]: expected an unsigned integer of 64 bits" in told
    assert "bucketCounts[2]: expected" in complaint(with_metric(counts % "null"))


def nested(levels: int) -> bytes:
    value = '{"arrayValue":{"values":[' * levels + "{}" + "]}}" * levels
    return with_records(f'"body":{value}').encode()


def test_values_nest_as_deep_as_protobuf_goes_and_no_deeper() -> None:
    deepest = (MAX_DEPTH - 5) // 2
    ExportLogsServiceRequest.FromString(to_protobuf("logs", nested(deepest)).body)
    assert "at most 100 objects within each other" in complaint(nested(deepest + 1), "logs")
    assert "at most 100 objects within each other" in complaint(nested(160), "logs")


def test_a_lone_surrogate_costs_its_record_alone() -> None:
    text = with_records('"eventName":"a\\ud800"},{"eventName":"b\\ud83d\\ude00"')
    body = to_protobuf("logs", text.encode()).body
    assert b"a\xed\xa0\x80" in body
    assert "b😀".encode() in body


def test_long_values_are_cut_in_complaints() -> None:
    assert len(complaint(with_point('"asInt":' + json.dumps("x" * 100_000)))) < 250


def test_a_repeated_key_among_very_many_is_found_in_one_pass() -> None:
    keys = ",".join(f'"k{number}":0' for number in range(300_000))
    with pytest.raises(Undecodable, match="twice"):
        to_protobuf("logs", f'{{{keys},"z":0,"z":0}}'.encode())
