from __future__ import annotations

import json

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from structlog.testing import capture_logs

from collector.errors import RequestError, TooLarge, TryLater, Undecodable, Unsupported, UnsupportedMedia
from collector.ingest import Outcome
from collector.replies import as_json, refusal, success

RETRYABLE = {grpc.StatusCode.UNAVAILABLE}


@pytest.mark.parametrize(
    ("error", "code", "http_status"),
    [
        (Undecodable("no"), grpc.StatusCode.INVALID_ARGUMENT, 400),
        (UnsupportedMedia("no"), grpc.StatusCode.INVALID_ARGUMENT, 415),
        (TooLarge("no"), grpc.StatusCode.RESOURCE_EXHAUSTED, 413),
        (Unsupported("no"), grpc.StatusCode.UNIMPLEMENTED, 404),
    ],
)
def test_a_request_at_fault_is_not_to_be_retried(
    error: RequestError, code: grpc.StatusCode, http_status: int
) -> None:
    told = refusal(error, transport="grpc", signal="metrics")
    assert (told.code, told.http_status, told.retry_after_s) == (code, http_status, None)
    assert told.status.code == code.value[0]
    assert told.status.message == "no"
    assert not told.status.details


def delay_s(told_status: object) -> float:
    info = RetryInfo()
    assert told_status.details[0].Unpack(info)  # type: ignore[attr-defined]
    return float(info.retry_delay.ToMilliseconds()) / 1000


@pytest.mark.parametrize(
    ("wanted_s", "told_s"), [(1.5, 1.5), (0, 0), (-3, 0), (float("inf"), 300), (1e9, 300)]
)
def test_back_pressure_carries_a_sane_delay(wanted_s: float, told_s: float) -> None:
    told = refusal(TryLater("full", wanted_s), transport="grpc", signal="metrics")
    assert (told.code, told.http_status, told.retry_after_s) == (grpc.StatusCode.UNAVAILABLE, 503, told_s)
    assert delay_s(told.status) == told_s


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), MemoryError(), RequestError("odd")])
def test_what_nobody_foresaw_is_retryable(error: Exception) -> None:
    with capture_logs() as logs:
        told = refusal(error, transport="http", signal="logs")
    assert (told.code, told.http_status) == (grpc.StatusCode.UNAVAILABLE, 503)
    assert delay_s(told.status) > 0
    if not isinstance(error, RequestError):
        assert "secret" not in told.status.message
        assert [(line["log_level"], line["transport"], line["signal"]) for line in logs] == [
            ("error", "http", "logs")
        ]
        assert logs[0]["exc_info"] is error


def test_a_subclass_is_told_as_its_parent() -> None:
    class Malformed(Undecodable):
        pass

    assert refusal(Malformed("x"), transport="grpc", signal="logs").http_status == 400


def test_a_message_fits_into_headers_and_is_always_utf8() -> None:
    told = refusal(Undecodable("\ud800" + "€" * 2000), transport="grpc", signal="logs")
    assert told.status.message.startswith("\\ud800€€")
    assert 990 <= len(told.status.message.encode()) <= 1000
    assert len(told.status.SerializeToString()) < 1100


def test_full_success_says_nothing() -> None:
    assert success("metrics", Outcome()).SerializeToString() == b""
    assert success("logs", Outcome()).SerializeToString() == b""
    assert as_json(success("logs", Outcome())) == b"{}"


def test_partial_success_names_count_and_reason() -> None:
    assert json.loads(as_json(success("metrics", Outcome(3, "why")))) == {
        "partialSuccess": {"rejectedDataPoints": "3", "errorMessage": "why"}
    }
    assert json.loads(as_json(success("logs", Outcome(2, "why")))) == {
        "partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "why"}
    }


def test_a_warning_rejects_nothing() -> None:
    assert json.loads(as_json(success("metrics", Outcome(0, "careful")))) == {
        "partialSuccess": {"errorMessage": "careful"}
    }
