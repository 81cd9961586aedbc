"""What an OTLP server owes its clients, one test a duty, on both transports."""

from __future__ import annotations

import gc
import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from structlog.testing import capture_logs

from collector.errors import TooLarge, TryLater, Undecodable, UnsupportedMedia
from collector.ingest import Outcome, Signal
from collector.message_reader import NoMessage
from tests.integration.otlp_servers import EXPORT, OtlpServers, RecordingIngest, raw_grpc, raw_http

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
RESPONSES: dict[Signal, Any] = {"metrics": ExportMetricsServiceResponse, "logs": ExportLogsServiceResponse}
SIGNALS: list[Signal] = ["metrics", "logs"]
MEBIBYTE = 1 << 20
HEAD = b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"


@pytest.fixture(scope="module")
def shared() -> Iterator[OtlpServers]:
    with OtlpServers(RecordingIngest()) as running:
        yield running


@pytest.fixture
def servers(shared: OtlpServers) -> OtlpServers:
    """Servers with default limits, before an ingest that takes everything; empty."""
    shared.ingest.got.clear()
    shared.refusals.clear()
    assert shared.budget.held_bytes == 0
    return shared


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """What the servers log while a test runs; unformatted, since tracebacks take long to format."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def ingest(servers: OtlpServers) -> RecordingIngest:
    """The ingest behind ``servers``."""
    return servers.ingest


def points(count: int = 3) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="hw.temperature", unit="Cel")
    for index in range(count):
        metric.gauge.data_points.add(time_unix_nano=1_760_000_000_000_000_000 + index, as_double=20.5)
    return request


def large(size: int) -> bytes:
    """A valid request of a little more than ``size`` bytes."""
    request = points()
    request.resource_metrics[0].scope_metrics[0].metrics[0].description = "x" * size
    return request.SerializeToString()


def records() -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(event_name="machine.heartbeat")
    return request


SAMPLES: dict[Signal, Any] = {"metrics": points(), "logs": records()}


def call(
    port: int,
    signal: str,
    body: bytes,
    compression: grpc.Compression = grpc.Compression.NoCompression,
    timeout_s: float = 30.0,
) -> bytes:
    with grpc.insecure_channel(
        f"127.0.0.1:{port}", options=[("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
    ) as channel:
        method: Any = channel.unary_unary(EXPORT[signal])
        return bytes(method(body, compression=compression, timeout=timeout_s))


def refused(port: int, signal: str, body: bytes, **options: Any) -> tuple[Any, Status]:
    """The code of a failed call, and its google.rpc.Status (empty if there was none)."""
    with pytest.raises(grpc.RpcError) as caught:
        call(port, signal, body, **options)
    error: Any = caught.value
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    return error.code(), Status.FromString(details)


def retry_delay_s(status: Status) -> float:
    info = RetryInfo()
    assert status.details[0].Unpack(info)
    return float(info.retry_delay.ToMilliseconds()) / 1000


def post(
    servers: OtlpServers, path: str, content: Any, media: str = PROTOBUF, **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    # verify=False: no TLS here, and loading the CA certificates takes longer than the whole request.
    return httpx.post(
        servers.url + path,
        content=content,
        headers={"content-type": media, **named},
        timeout=30,
        verify=False,
    )


def status_in(response: httpx.Response) -> Status:
    """The error body in the content type that the response names."""
    if response.headers["content-type"] == PROTOBUF:
        return Status.FromString(response.content)
    assert response.headers["content-type"] == JSON
    return json_format.ParseDict(response.json(), Status())


# Success


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_grpc_takes_every_compression_and_answers_nothing_on_full_success(
    servers: OtlpServers, ingest: RecordingIngest, signal: Signal, compression: grpc.Compression
) -> None:
    body = SAMPLES[signal].SerializeToString()
    assert call(servers.grpc_port, signal, body, compression) == b""
    assert ingest.got == [(signal, body)]


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("identity", bytes),
        ("", bytes),
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
    ],
)
def test_http_takes_every_compression_of_both_content_types(
    servers: OtlpServers,
    ingest: RecordingIngest,
    signal: Signal,
    encoding: str,
    compress: Callable[[bytes], bytes],
) -> None:
    sample = SAMPLES[signal]
    text = json_format.MessageToJson(sample).encode()
    for media, body in ((PROTOBUF, sample.SerializeToString()), (JSON, text)):
        response = post(servers, f"/v1/{signal}", compress(body), media, content_encoding=encoding)
        assert response.status_code == 200
        assert response.headers["content-type"] == media
        assert response.content == (b"" if media == PROTOBUF else b"{}")
    assert ingest.requests() == [sample, sample]


@pytest.mark.parametrize("signal", SIGNALS)
def test_an_empty_request_succeeds(servers: OtlpServers, ingest: RecordingIngest, signal: Signal) -> None:
    assert call(servers.grpc_port, signal, b"") == b""
    assert call(servers.grpc_port, signal, b"", grpc.Compression.Gzip) == b""
    assert post(servers, f"/v1/{signal}", b"").status_code == 200
    assert post(servers, f"/v1/{signal}", b"{}", JSON).status_code == 200
    assert ingest.got == [(signal, b"")] * 4


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(("rejected", "message"), [(2, "two had no time"), (0, "only a warning")])
def test_partial_success_tells_the_exact_count_and_why(signal: Signal, rejected: int, message: str) -> None:
    ingest = RecordingIngest(lambda _signal, _body: Outcome(rejected, message))
    count = "rejected_data_points" if signal == "metrics" else "rejected_log_records"
    with OtlpServers(ingest) as servers:
        over_grpc = RESPONSES[signal].FromString(call(servers.grpc_port, signal, b""))
        in_protobuf = RESPONSES[signal].FromString(post(servers, f"/v1/{signal}", b"").content)
        in_json = json_format.ParseDict(
            post(servers, f"/v1/{signal}", b"{}", JSON).json(), RESPONSES[signal]()
        )
    for reply in (over_grpc, in_protobuf, in_json):
        assert getattr(reply.partial_success, count) == rejected
        assert reply.partial_success.error_message == message


def test_messages_over_grpcs_default_of_4_mib_pass(servers: OtlpServers, ingest: RecordingIngest) -> None:
    body = large(9 * MEBIBYTE)
    assert len(body) > 8 * MEBIBYTE
    assert call(servers.grpc_port, "metrics", body) == b""
    assert call(servers.grpc_port, "metrics", body, grpc.Compression.Gzip) == b""
    assert post(servers, "/v1/metrics", body).status_code == 200
    assert [len(got) for _, got in ingest.got] == [len(body)] * 3


def test_chunked_bodies_pass(servers: OtlpServers, ingest: RecordingIngest) -> None:
    body = SAMPLES["metrics"].SerializeToString()
    assert (
        post(servers, "/v1/metrics", (body[index : index + 1] for index in range(len(body)))).status_code
        == 200
    )
    assert ingest.got == [("metrics", body)]


@pytest.mark.parametrize(
    "media", ["application/json; charset=utf-8", 'Application/JSON;Charset="UTF-8"', "application/json ;x=y"]
)
def test_content_types_may_have_parameters(servers: OtlpServers, media: str) -> None:
    response = post(servers, "/v1/logs", b"{}", media)
    assert (response.status_code, response.headers["content-type"]) == (200, JSON)


def test_a_snake_case_sender_is_warned_that_nothing_was_read(servers: OtlpServers) -> None:
    response = post(servers, "/v1/logs", b'{"resource_logs":[{}]}', JSON)
    assert response.status_code == 200
    assert "resource_logs" in response.json()["partialSuccess"]["errorMessage"]


def test_a_client_that_offers_http_2_is_answered_in_http_1(servers: OtlpServers) -> None:
    answer = raw_http(
        servers.http_port,
        HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
        b"Content-Length: 2\r\n\r\n\x0a\x00",
        timeout_s=1.0,
    )
    assert answer.startswith(b"HTTP/1.1 200")


# Refusals that must not be retried


@pytest.mark.parametrize("signal", SIGNALS)
def test_undecodable_input_is_the_clients_fault(
    servers: OtlpServers, ingest: RecordingIngest, signal: Signal
) -> None:
    for body, compression in ((b"abc", grpc.Compression.NoCompression), (b"\xff" * 9, grpc.Compression.Gzip)):
        code, status = refused(servers.grpc_port, signal, body, compression=compression)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert (status.code, list(status.details)) == (3, [])
    for body, media in ((b"abc", PROTOBUF), (b"{", JSON), (b'{"resourceMetrics":1,"resourceLogs":1}', JSON)):
        response = post(servers, f"/v1/{signal}", body, media)
        assert (response.status_code, response.headers["content-type"]) == (400, media)
        assert status_in(response).code == 3
        assert "retry-after" not in response.headers
    assert ingest.got == []


def test_json_complaints_name_the_place(servers: OtlpServers) -> None:
    body = b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"dataPoints":[{"asInt":"x"}]}}]}]}]}'
    response = post(servers, "/v1/metrics", body, JSON)
    assert status_in(response).message == (
        "resourceMetrics[0].scopeMetrics[0].metrics[0].sum.dataPoints[0].asInt: "
        'expected an integer of 64 bits, as a number or a string, got "x"'
    )


def test_traces_are_not_supported(servers: OtlpServers, ingest: RecordingIngest) -> None:
    code, status = refused(servers.grpc_port, "traces", b"")
    assert (code, status.code) == (grpc.StatusCode.UNIMPLEMENTED, 12)
    for media in (PROTOBUF, JSON):
        response = post(servers, "/v1/traces", b"", media)
        assert (response.status_code, response.headers["content-type"]) == (404, media)
        assert status_in(response).code == 12
    assert ingest.got == []
    assert [signal for signal, _ in servers.refusals] == ["traces"] * 3


@pytest.mark.parametrize(
    "media", ["text/plain", "", "application/protobuf", "application/json; charset=latin-1"]
)
def test_other_content_types_are_unsupported(
    servers: OtlpServers, ingest: RecordingIngest, media: str
) -> None:
    response = post(servers, "/v1/metrics", b"{}", media)
    assert response.status_code == 415
    assert status_in(response).code == 3
    assert ingest.got == []
    assert isinstance(servers.refusals[0][1], UnsupportedMedia)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "snappy"])
def test_other_encodings_are_unsupported(
    servers: OtlpServers, ingest: RecordingIngest, encoding: str
) -> None:
    response = post(servers, "/v1/metrics", b"", content_encoding=encoding)
    assert (response.status_code, response.headers["content-type"]) == (415, PROTOBUF)
    assert response.headers["accept-encoding"] == "gzip, deflate"
    assert ingest.got == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_not_allowed(servers: OtlpServers, method: str) -> None:
    response = httpx.request(method, servers.url + "/v1/metrics", verify=False)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert status_in(response).code == 12


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/metrics/", "/v1/profiles", "/openapi.json", "/docs"])
def test_other_paths_are_not_found(servers: OtlpServers, path: str) -> None:
    response = post(servers, path, b"{}", JSON)
    assert response.status_code == 404
    assert status_in(response).code == 5


@pytest.mark.parametrize("cut", [0, 1, 9, -4, -1])
def test_a_cut_gzip_body_is_undecodable(servers: OtlpServers, ingest: RecordingIngest, cut: int) -> None:
    compressed = gzip.compress(SAMPLES["metrics"].SerializeToString())[: cut or 0]
    assert post(servers, "/v1/metrics", compressed, content_encoding="gzip").status_code == 400
    if cut not in {0, 1}:
        prefix = b"\x01" + len(compressed).to_bytes(4, "big")
        answer = raw_grpc(
            servers.grpc_port, EXPORT["metrics"], prefix + compressed, {"grpc-encoding": "gzip"}
        )
        assert b"grpc-status\x013" in answer
    assert ingest.got == []


# Sizes


def test_the_limit_holds_before_decompression() -> None:
    ingest = RecordingIngest()
    with OtlpServers(ingest, max_bytes=MEBIBYTE) as servers:
        code, status = refused(servers.grpc_port, "metrics", bytes(MEBIBYTE + 1))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not status.details
        for content in (bytes(MEBIBYTE + 1), iter([bytes(MEBIBYTE), b"x"])):
            response = post(servers, "/v1/metrics", content)
            assert (response.status_code, response.headers["content-type"]) == (413, PROTOBUF)
            assert status_in(response).code == 8
            assert not status_in(response).details
            assert "retry-after" not in response.headers
        assert {type(error) for _, error in servers.refusals} == {TooLarge, NoMessage}
    assert ingest.got == []


@pytest.mark.parametrize("factor", [1, 100])
def test_the_limit_holds_after_decompression(factor: int) -> None:
    ingest = RecordingIngest()
    bomb = bytes(factor * MEBIBYTE + 1)
    with OtlpServers(ingest, max_bytes=MEBIBYTE) as servers:
        code, status = refused(servers.grpc_port, "metrics", bomb, compression=grpc.Compression.Gzip)
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (status.code, list(status.details)) == (8, [])
        for media in (PROTOBUF, JSON):
            response = post(servers, "/v1/metrics", gzip.compress(bomb), media, content_encoding="gzip")
            assert (response.status_code, response.headers["content-type"]) == (413, media)
        assert servers.budget.held_bytes == 0
    assert ingest.got == []


def test_a_request_of_exactly_the_limit_passes() -> None:
    ingest = RecordingIngest()
    body = points(1000).SerializeToString()
    with OtlpServers(ingest, max_bytes=len(body)) as servers:
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            assert call(servers.grpc_port, "metrics", body, compression) == b""
        assert post(servers, "/v1/metrics", body).status_code == 200
        assert post(servers, "/v1/metrics", gzip.compress(body), content_encoding="gzip").status_code == 200
    assert len(ingest.got) == 4


def test_a_request_of_a_million_empty_parts_is_refused_before_it_is_parsed(
    servers: OtlpServers, ingest: RecordingIngest
) -> None:
    body = b"\x0a\x00" * MEBIBYTE
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        code, status = refused(servers.grpc_port, "metrics", body, compression=compression)
        assert (code, list(status.details)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [])
    assert post(servers, "/v1/metrics", body).status_code == 413
    text = b'{"resourceLogs":[' + b"{}," * 500_000 + b"{}]}"
    assert post(servers, "/v1/logs", text, JSON).status_code == 413
    assert ingest.got == []


def test_json_has_a_smaller_limit_of_its_own() -> None:
    ingest = RecordingIngest()
    with OtlpServers(ingest, max_json_bytes=1000) as servers:
        assert post(servers, "/v1/logs", b"{}" + b" " * 998, JSON).status_code == 200
        assert post(servers, "/v1/logs", b"{}" + b" " * 999, JSON).status_code == 413


def test_a_client_that_asks_first_is_refused_before_it_sends(servers: OtlpServers) -> None:
    started = time.monotonic()
    answer = raw_http(
        servers.http_port,
        HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 413")
    assert time.monotonic() - started < 2


# Back-pressure and defects


@pytest.mark.parametrize(
    "error", [TryLater("the queue is full", 2.5), ZeroDivisionError("a defect"), MemoryError()]
)
def test_what_can_be_retried_says_when(error: Exception, logged: list[Any]) -> None:
    def fail(_signal: Signal, _body: bytes) -> Outcome:
        raise error

    expected_s = error.retry_after_s if isinstance(error, TryLater) else 5.0
    with OtlpServers(RecordingIngest(fail)) as servers:
        for signal in SIGNALS:
            code, status = refused(servers.grpc_port, signal, b"")
            assert (code, status.code) == (grpc.StatusCode.UNAVAILABLE, 14)
            assert retry_delay_s(status) == expected_s
            for media, body in ((PROTOBUF, b""), (JSON, b"{}")):
                response = post(servers, f"/v1/{signal}", body, media)
                assert (response.status_code, response.headers["content-type"]) == (503, media)
                assert float(response.headers["retry-after"]) >= expected_s
                assert status_in(response).code == 14
                assert retry_delay_s(status_in(response)) == expected_s
    defects = [] if isinstance(error, TryLater) else [error] * 6
    assert [line["exc_info"] for line in logged] == defects


def test_an_error_of_the_ingest_is_not_reported_twice() -> None:
    def fail(_signal: Signal, _body: bytes) -> Outcome:
        raise Undecodable("not mine")

    with OtlpServers(RecordingIngest(fail)) as servers:
        assert refused(servers.grpc_port, "logs", b"")[0] == grpc.StatusCode.INVALID_ARGUMENT
        assert post(servers, "/v1/logs", b"").status_code == 400
        assert servers.refusals == []


def test_a_stampede_of_large_requests_meets_back_pressure_and_loses_nothing() -> None:
    ingest = RecordingIngest(delay_s=0.2)
    body = large(6 * MEBIBYTE)
    with OtlpServers(ingest, max_bytes=8 * MEBIBYTE, budget_bytes=16 * MEBIBYTE) as servers:
        peak = 0
        over = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not over.wait(0.002):
                peak = max(peak, servers.budget.held_bytes)

        watcher = threading.Thread(target=watch)
        watcher.start()

        def over_grpc(_: int) -> bool:
            try:
                call(servers.grpc_port, "metrics", body)
            except grpc.RpcError as error:
                failed: Any = error
                assert failed.code() == grpc.StatusCode.UNAVAILABLE
                details = dict(failed.trailing_metadata())["grpc-status-details-bin"]
                assert retry_delay_s(Status.FromString(details)) == 1.0
                return False
            return True

        def over_http(_: int) -> bool:
            response = post(servers, "/v1/metrics", body)
            assert response.status_code in {200, 503}
            return response.status_code == 200

        try:
            with ThreadPoolExecutor(16) as pool:
                taken = [*pool.map(over_grpc, range(16)), *pool.map(over_http, range(16))]
        finally:
            over.set()
            watcher.join()
        assert 0 < sum(taken) < 32
        assert len(ingest.got) == sum(taken)
        assert peak <= 16 * MEBIBYTE
        assert servers.budget.held_bytes == 0
        assert call(servers.grpc_port, "metrics", body) == b""


@pytest.mark.parametrize("error", [Undecodable("no"), TryLater("full", 1.0), ZeroDivisionError("a defect")])
def test_the_body_of_a_refused_request_is_let_go_at_once(error: Exception, logged: list[Any]) -> None:
    def fail(_signal: Signal, _body: bytes) -> Outcome:
        raise error

    ingest = RecordingIngest(fail)
    body = large(4 * MEBIBYTE)
    gc.disable()
    tracemalloc.start()
    try:
        with OtlpServers(ingest) as servers:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(5):
                refused(servers.grpc_port, "metrics", body)
                refused(servers.grpc_port, "metrics", body, compression=grpc.Compression.Gzip)
                post(servers, "/v1/metrics", body)
                ingest.got.clear()
                logged.clear()
                error.__traceback__ = None
            after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 4 * MEBIBYTE


def test_slow_grpc_clients_do_not_hold_up_the_others(servers: OtlpServers) -> None:
    def trickle() -> None:
        raw_grpc(servers.grpc_port, EXPORT["metrics"], b"\x00\x03\x00\x00\x00", {}, timeout_s=2.0)

    with ThreadPoolExecutor(24) as pool:
        slow = [pool.submit(trickle) for _ in range(24)]
        time.sleep(0.2)
        for _ in range(5):
            assert call(servers.grpc_port, "metrics", b"", timeout_s=1.5) == b""
        for one in slow:
            one.result()
    deadline = time.monotonic() + 5
    while servers.budget.held_bytes and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_slow_http_body_is_to_be_sent_later() -> None:
    ingest = RecordingIngest()
    with OtlpServers(ingest, body_timeout_s=0.3) as servers:
        answer = raw_http(
            servers.http_port,
            HEAD + b"Content-Length: 5\r\n\r\n\x0a",
        )
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer
    assert ingest.got == []


def test_a_slow_head_is_cut_off(servers: OtlpServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.http_head._HEAD_S", 0.3)
    started = time.monotonic()
    assert raw_http(servers.http_port, b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\n") == b""
    assert raw_http(servers.http_port, b"") == b""
    assert time.monotonic() - started < 3


def test_an_endless_head_is_cut_off(servers: OtlpServers) -> None:
    answer = raw_http(servers.http_port, b"POST /v1/metrics HTTP/1.1\r\n" + b"x: y\r\n" * 20_000)
    assert answer.startswith(b"HTTP/1.1 400")


def test_long_bodies_are_not_taken_for_heads(servers: OtlpServers) -> None:
    body = b"\x0a\x00" * 100_000
    with httpx.Client(base_url=servers.url, verify=False) as client:
        for _ in range(3):
            assert (
                client.post("/v1/metrics", content=body, headers={"content-type": PROTOBUF}).status_code
                == 200
            )


def test_half_a_body_is_not_taken(servers: OtlpServers, ingest: RecordingIngest) -> None:
    with socket.create_connection(("127.0.0.1", servers.http_port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 4\r\n\r\n\x0a\x00")
    assert post(servers, "/v1/metrics", b"").status_code == 200
    assert ingest.got == [("metrics", b"")]


def test_a_client_that_gives_up_leaves_nothing_held() -> None:
    with OtlpServers(RecordingIngest(delay_s=0.3)) as servers:
        for body in (b"", large(20 * MEBIBYTE)):
            code, _ = refused(servers.grpc_port, "metrics", body, timeout_s=0.1)
            assert code == grpc.StatusCode.DEADLINE_EXCEEDED
        deadline = time.monotonic() + 5
        while servers.budget.held_bytes and time.monotonic() < deadline:
            time.sleep(0.01)
        assert servers.budget.held_bytes == 0
        assert call(servers.grpc_port, "metrics", b"") == b""


def test_a_taken_port_fails_at_once(servers: OtlpServers) -> None:
    second = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 1)])
    with pytest.raises(RuntimeError, match="Failed to bind"):
        second.add_insecure_port(f"127.0.0.1:{servers.grpc_port}")


# The stock exporters of the OpenTelemetry SDK


def metrics_over_grpc(servers: OtlpServers, compression: str) -> Any:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(
        endpoint=f"http://127.0.0.1:{servers.grpc_port}",
        insecure=True,
        timeout=5,
        compression=grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression,
    )


def metrics_over_http(servers: OtlpServers, compression: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(
        endpoint=f"{servers.url}/v1/metrics", compression=Compression(compression), timeout=5
    )


def logs_over_grpc(servers: OtlpServers, compression: str) -> Any:
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    return OTLPLogExporter(
        endpoint=f"http://127.0.0.1:{servers.grpc_port}",
        insecure=True,
        timeout=5,
        compression=grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression,
    )


def logs_over_http(servers: OtlpServers, compression: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    return OTLPLogExporter(endpoint=f"{servers.url}/v1/logs", compression=Compression(compression), timeout=5)


def export_metrics(exporter: Any) -> bool:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    provider = MeterProvider([PeriodicExportingMetricReader(exporter, export_interval_millis=1e9)])
    provider.get_meter("test").create_gauge("hw.temperature", "Cel").set(21.5, {"hw.id": "t1"})
    try:
        return provider.force_flush()
    finally:
        provider.shutdown()


def export_logs(exporter: Any) -> bool:
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    provider.get_logger("test").emit(
        event_name="machine.heartbeat", severity_number=SeverityNumber.INFO, attributes={"n": 1}
    )
    try:
        return provider.force_flush()
    finally:
        provider.shutdown()


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("exporter", [metrics_over_grpc, metrics_over_http])
def test_stock_metric_exporters(
    servers: OtlpServers, ingest: RecordingIngest, exporter: Callable[..., Any], compression: str
) -> None:
    assert export_metrics(exporter(servers, compression))
    point = ingest.requests()[0].resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0]
    assert point.as_double == 21.5


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("exporter", [logs_over_grpc, logs_over_http])
def test_stock_log_exporters(
    servers: OtlpServers, ingest: RecordingIngest, exporter: Callable[..., Any], compression: str
) -> None:
    assert export_logs(exporter(servers, compression))
    record = ingest.requests()[0].resource_logs[0].scope_logs[0].log_records[0]
    assert record.event_name == "machine.heartbeat"


@pytest.mark.parametrize(
    ("exporter", "export"),
    [
        (metrics_over_grpc, export_metrics),
        (metrics_over_http, export_metrics),
        (logs_over_grpc, export_logs),
        (logs_over_http, export_logs),
    ],
)
@pytest.mark.parametrize("error", [TryLater("the queue is full", 0.1), ValueError("a defect")])
def test_stock_exporters_keep_their_data_and_retry(
    exporter: Callable[..., Any],
    export: Callable[[Any], bool],
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("collector.replies._DEFECT_RETRY_S", 0.1)
    attempts = 0

    def fail_first(_signal: Signal, _body: bytes) -> Outcome:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise error
        return Outcome()

    ingest = RecordingIngest(fail_first)
    with OtlpServers(ingest) as servers:
        export(exporter(servers, "gzip"))
    assert attempts >= 2
    assert ingest.got[0] == ingest.got[1]


def test_replies_in_json_are_json(servers: OtlpServers) -> None:
    assert json.loads(post(servers, "/v1/metrics", b"{}", JSON).content) == {}
