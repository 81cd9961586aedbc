"""The duties of an OTLP server, kept by the real collector on a real TimescaleDB: nothing is lost in silence.

A test for each silent loss that was found in other servers.  One collector serves all of them; each test has
its own machine.
"""

from __future__ import annotations

import gzip
import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import grpc
import httpx
import psycopg
import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from tally.testing import Cluster, CollectorProcess, OwnCluster
from tests.check_ledger import check_ledger
from tests.integration.otlp_servers import EXPORT
from tests.otlp_requests import NOON_NS, Plain, deposit, event, gauge, logs, metrics, number, resource

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
MEBIBYTE = 1 << 20
RESPONSES: dict[str, Any] = {"metrics": ExportMetricsServiceResponse, "logs": ExportLogsServiceResponse}
Way = Literal["grpc", "grpc+gzip", "http", "http+gzip", "json", "json+gzip"]
WAYS: list[Way] = ["grpc", "grpc+gzip", "http", "http+gzip", "json", "json+gzip"]


@dataclass(frozen=True)
class Reply:
    """What a client was told, in the words of both transports: ``code`` is gRPC's name, or HTTP's number."""

    code: str
    body: bytes
    media: str
    retry_after_s: float | None

    def partial_success(self, signal: str) -> Any:
        assert self.code in {"OK", "200"}, self
        if self.media == JSON:
            return json_format.Parse(self.body, RESPONSES[signal]()).partial_success
        return RESPONSES[signal].FromString(self.body).partial_success


class Client:
    """Sends a request any way that OTLP knows."""

    def __init__(self, collector: CollectorProcess) -> None:
        self.collector = collector
        options = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
        self._channel = grpc.insecure_channel(collector.grpc_endpoint, options=options)
        self._http = httpx.Client(base_url=collector.http_url, verify=False, timeout=30)

    def close(self) -> None:
        self._channel.close()
        self._http.close()

    def send(self, request: Any, way: Way = "grpc") -> Reply:
        signal = "metrics" if "Metrics" in type(request).__name__ else "logs"
        if way.startswith("json"):
            return self.send_bytes(signal, json_format.MessageToJson(request).encode(), way)
        return self.send_bytes(signal, request.SerializeToString(), way)

    def send_bytes(self, signal: str, body: bytes, way: Way = "grpc") -> Reply:
        protocol, _, compression = way.partition("+")
        if protocol == "grpc":
            return self._call(signal, body, grpc.Compression.Gzip if compression else None)
        headers = {"content-type": JSON if protocol == "json" else PROTOBUF}
        if compression:
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body)
        response = self._http.post(f"/v1/{signal}", content=body, headers=headers)
        retry_after = response.headers.get("retry-after")
        return Reply(
            str(response.status_code),
            response.content,
            response.headers["content-type"],
            float(retry_after) if retry_after else None,
        )

    def _call(self, signal: str, body: bytes, compression: grpc.Compression | None) -> Reply:
        method: Any = self._channel.unary_unary(EXPORT[signal])
        try:
            return Reply("OK", method(body, compression=compression, timeout=30), PROTOBUF, None)
        except grpc.RpcError as error:
            failed: Any = error
            details = dict(failed.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
            info = RetryInfo()
            retryable = [detail for detail in Status.FromString(details).details if detail.Unpack(info)]
            delay_s = info.retry_delay.ToMilliseconds() / 1000 if retryable else None
            return Reply(failed.code().name, b"", PROTOBUF, delay_s)


class Stored:
    """Reads the ledger as an auditor may."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, stream: str, machine: str) -> list[dict[str, Any]]:
        with psycopg.connect(self._url, row_factory=psycopg.rows.dict_row) as connection:
            query = f"SELECT * FROM {stream} WHERE machine_id = %s ORDER BY seq"
            return connection.execute(query.encode(), [machine]).fetchall()


@pytest.fixture(scope="module")
def running(
    cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Client, Stored]]:
    """A collector with the default limits; afterwards, its whole ledger must verify."""
    database = cluster.create(template)
    with CollectorProcess(database, tmp_path_factory.mktemp("otlp")) as collector:
        client = Client(collector)
        yield client, Stored(database.audit_url)
        client.close()
        assert collector.stop() == 0
        assert '"level": "error"' not in collector.log
        assert "Traceback" not in collector.log
    check_ledger(database.admin_url)
    cluster.drop(database.name)


@pytest.fixture
def client(running: tuple[Client, Stored]) -> Client:
    return running[0]


@pytest.fixture
def stored(running: tuple[Client, Stored]) -> Stored:
    return running[1]


@pytest.fixture
def machine() -> str:
    return f"rvm-{secrets.token_hex(6)}"


def of(machine: str, *all_metrics: Metric) -> Any:
    return metrics(*all_metrics, sender=resource(machine))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_acknowledged_is_stored(client: Client, stored: Stored, machine: str, way: Way) -> None:
    reply = client.send(
        of(machine, gauge(*[number(20.0 + index, NOON_NS + index * 1000) for index in range(7)])), way
    )
    assert reply.code in {"OK", "200"}
    assert reply.body in {b"", b"{}"}
    assert [row["value"] for row in stored("telemetry", machine)] == [20.0 + index for index in range(7)]
    records = logs(deposit("t-1"), event("machine.heartbeat"), sender=resource(machine))
    assert client.send(records, way).body in {b"", b"{}"}
    assert [row["transaction_id"] for row in stored("transactions", machine)] == ["t-1"]
    assert [row["event_name"] for row in stored("events", machine)] == ["machine.heartbeat"]


@pytest.mark.parametrize("way", WAYS)
def test_a_reply_speaks_the_language_of_its_request(client: Client, machine: str, way: Way) -> None:
    media = JSON if way.startswith("json") else PROTOBUF
    assert client.send(of(machine, gauge(number(1.0))), way).media == media
    assert client.send_bytes("metrics", b"\xff{", way).media == media


@pytest.mark.parametrize("way", WAYS)
def test_one_bad_record_costs_itself_alone_and_is_counted(
    client: Client, stored: Stored, machine: str, way: Way
) -> None:
    bad = [number(4.0, time_ns=0), number(5.0, time_ns=NOON_NS * 3), number(float("inf"))]
    request = of(machine, gauge(number(1.0), bad[0], number(2.0, NOON_NS + 1000), *bad[1:]))
    partial = client.send(request, way).partial_success("metrics")
    assert partial.rejected_data_points == 3
    assert partial.error_message
    assert [row["value"] for row in stored("telemetry", machine)] == [1.0, 2.0]
    records = logs(
        deposit("a"),
        deposit("b", mass_g=-1.0),
        deposit("c"),
        deposit("", mass_g=1.0),
        sender=resource(machine),
    )
    partial = client.send(records, way).partial_success("logs")
    assert partial.rejected_log_records == 2
    assert [row["transaction_id"] for row in stored("transactions", machine)] == ["a", "c"]


@pytest.mark.parametrize("way", WAYS)
def test_records_without_a_machine_are_rejected_not_dropped(
    client: Client, stored: Stored, machine: str, way: Way
) -> None:
    request = metrics(gauge(number(1.0), number(2.0)), sender=resource(None))
    request.MergeFrom(of(machine, gauge(number(3.0))))
    partial = client.send(request, way).partial_success("metrics")
    assert partial.rejected_data_points == 2
    assert "service.instance.id" in partial.error_message
    assert len(stored("telemetry", machine)) == 1
    partial = client.send(logs(deposit(), sender=resource(None)), way).partial_success("logs")
    assert partial.rejected_log_records == 1


def test_an_empty_metric_does_not_abort_the_payload(client: Client, stored: Stored, machine: str) -> None:
    nothing = Metric(name="empty")
    no_points = Metric(name="no points")
    no_points.sum.SetInParent()
    reply = client.send(of(machine, nothing, no_points, gauge(number(1.0))))
    assert reply.partial_success("metrics").rejected_data_points == 0
    assert [row["metric"] for row in stored("telemetry", machine)] == ["hw.temperature"]


def test_a_metric_type_of_the_future_is_counted(client: Client, stored: Stored, machine: str) -> None:
    unknown = (
        Metric(name="hw.future").SerializeToString()
        + bytes([20 << 3 & 0x7F | 2 | 0x80, 1, 4])
        + b"\x0a\x00\x0a\x00"
    )
    request = of(machine, gauge(number(1.0)))
    request.resource_metrics[0].scope_metrics[0].metrics.add().MergeFromString(unknown)
    partial = client.send(request).partial_success("metrics")
    assert partial.rejected_data_points == 2
    assert len(stored("telemetry", machine)) == 1


@pytest.mark.parametrize("way", ["grpc", "json"])
def test_histograms_are_stored_with_and_without_buckets(
    client: Client, stored: Stored, machine: str, way: Way
) -> None:
    metric = Metric(name="machine.deposit.duration", unit="s")
    points = metric.histogram.data_points
    points.add(time_unix_nano=NOON_NS, count=5, sum=2.5)
    points.add(time_unix_nano=NOON_NS + 1000, count=5, sum=2.5, bucket_counts=[2, 3], explicit_bounds=[1.0])
    assert client.send(of(machine, metric), way).partial_success("metrics").rejected_data_points == 0
    rows = stored("telemetry", machine)
    assert [(row["kind"], row["count"], row["value"]) for row in rows] == [("histogram", 5, 2.5)] * 2
    assert "bucket_counts" in json.dumps(rows[1]["attributes"])


@pytest.mark.parametrize("way", ["grpc", "json"])
def test_exponential_histograms_and_summaries_are_stored(
    client: Client, stored: Stored, machine: str, way: Way
) -> None:
    exponential = Metric(name="a")
    point = exponential.exponential_histogram.data_points.add(
        time_unix_nano=NOON_NS, count=3, sum=1.5, scale=2
    )
    point.positive.bucket_counts.extend([1, 2])
    summary = Metric(name="b")
    quantiles = summary.summary.data_points.add(time_unix_nano=NOON_NS, count=2, sum=4.5).quantile_values
    quantiles.add(quantile=0.5, value=2.0)
    assert (
        client.send(of(machine, exponential, summary), way).partial_success("metrics").rejected_data_points
        == 0
    )
    rows = stored("telemetry", machine)
    assert [(row["kind"], row["count"], row["value"]) for row in rows] == [
        ("exponential_histogram", 3, 1.5),
        ("summary", 2, 4.5),
    ]


def test_delta_and_cumulative_are_both_stored_and_told_apart(
    client: Client, stored: Stored, machine: str
) -> None:
    all_metrics = []
    for temporality in (1, 2):
        metric = Metric(name="hw.energy", unit="J")
        metric.sum.aggregation_temporality = temporality  # type: ignore[assignment]  # an enum's integer
        metric.sum.is_monotonic = True
        metric.sum.data_points.append(number(7.0, NOON_NS + temporality * 1000))
        all_metrics.append(metric)
    assert client.send(of(machine, *all_metrics)).partial_success("metrics").rejected_data_points == 0
    rows = stored("telemetry", machine)
    assert len(rows) == 2
    assert rows[0]["attributes"] != rows[1]["attributes"]


@pytest.mark.parametrize("way", ["grpc", "json"])
def test_attribute_values_may_be_empty_bytes_or_nested(
    client: Client, stored: Stored, machine: str, way: Way
) -> None:
    sent: dict[str, Plain] = {
        "empty": None,
        "raw": b"\x00\xff",
        "nested": {"a": [1, "x", {"b": None}]},
        "big": 2**60,
    }
    point = number(1.0, attributes=sent)
    assert client.send(of(machine, gauge(point)), way).partial_success("metrics").rejected_data_points == 0
    attributes = stored("telemetry", machine)[0]["attributes"]
    assert attributes["empty"] is None
    assert attributes["raw"] == "AP8="
    assert attributes["nested"] == {"a": [1, "x", {"b": None}]}
    assert int(attributes["big"]) == 2**60


def test_json_and_protobuf_of_the_same_request_are_the_same_rows(
    client: Client, stored: Stored, machine: str
) -> None:
    other = machine + "-json"
    for name, way in ((machine, "grpc"), (other, "json")):
        records = logs(deposit(), event("machine.status", attributes={"status": "ok"}), sender=resource(name))
        records.resource_logs[0].scope_logs[0].log_records[1].trace_id = bytes(range(16))
        body = records.SerializeToString() if way == "grpc" else _otlp_json(records)
        assert client.send_bytes("logs", body, way).partial_success("logs").rejected_log_records == 0  # type: ignore[arg-type]
    for stream in ("transactions", "events"):
        own = {"received_at", "machine_id", "resource_digest", "row_hash"}
        first, second = (
            [{k: v for k, v in row.items() if k not in own} for row in stored(stream, name)]
            for name in (machine, other)
        )
        assert first == second
        assert len(first) == 1


def _otlp_json(request: Any) -> bytes:
    """json_format writes ids in base64; OTLP wants hex."""
    document = json_format.MessageToDict(request)
    for record, source in zip(
        document["resourceLogs"][0]["scopeLogs"][0]["logRecords"],
        request.resource_logs[0].scope_logs[0].log_records,
        strict=True,
    ):
        if source.trace_id:
            record["traceId"] = source.trace_id.hex().upper()
    return json.dumps(document).encode()


@pytest.mark.parametrize("way", WAYS)
def test_a_retry_of_the_same_bytes_adds_no_row_whichever_way_it_comes(
    client: Client, stored: Stored, machine: str, way: Way
) -> None:
    request = of(machine, gauge(number(1.0), number(2.0, NOON_NS + 1000)))
    assert client.send(request, "grpc").code == "OK"
    again = "grpc" if way.startswith("json") else way
    assert client.send(request, again).body == b""
    assert len(stored("telemetry", machine)) == 2


def test_text_that_is_no_text_costs_its_record_alone(client: Client, stored: Stored, machine: str) -> None:
    records = logs(deposit("good"), deposit("XXXX"), sender=resource(machine))
    body = records.SerializeToString().replace(b"XXXX", b"X\xffXX")
    assert client.send_bytes("logs", body, "grpc").partial_success("logs").rejected_log_records == 1
    text = json_format.MessageToJson(records).replace("XXXX", "X\\ud800").replace("good", "fine").encode()
    assert client.send_bytes("logs", text, "json").partial_success("logs").rejected_log_records == 1
    nul = json_format.MessageToJson(records).replace("XXXX", "X\\u0000").replace("good", "well").encode()
    assert client.send_bytes("logs", nul, "json").partial_success("logs").rejected_log_records == 1
    assert [row["transaction_id"] for row in stored("transactions", machine)] == ["good", "fine", "well"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\x05abc", b"{", b'{"resourceMetrics":7}\x00'])
def test_malformed_input_is_never_a_servers_error(client: Client, way: Way, body: bytes) -> None:
    assert client.send_bytes("metrics", body, way).code in {"INVALID_ARGUMENT", "400"}


@pytest.mark.parametrize("way", WAYS)
def test_empty_requests_succeed(client: Client, way: Way) -> None:
    for signal in ("metrics", "logs"):
        reply = client.send_bytes(signal, b"{}" if way.startswith("json") else b"", way)
        assert reply.code in {"OK", "200"}


def test_refusals_are_counted_for_prometheus(client: Client) -> None:
    client.send_bytes("metrics", b"[", "json")
    httpx.post(client.collector.http_url + "/v1/traces", verify=False)
    text = httpx.get(client.collector.http_url + "/metrics", verify=False).text
    assert 'tally_collector_requests_total{outcome="Undecodable",signal="metrics"}' in text
    assert 'tally_collector_requests_total{outcome="Unsupported",signal="traces"}' in text


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had so far."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells no VmHWM")


def test_bombs_and_stampedes_do_not_fill_the_memory(client: Client, machine: str) -> None:
    process = client.collector.process
    assert process is not None
    before = peak_bytes(process.pid)
    bombs = [bytes(300 * MEBIBYTE), b"\x0a\x00" * (30 * MEBIBYTE)]
    request = of(machine, gauge(number(1.0)))
    request.resource_metrics[0].scope_metrics[0].metrics[0].description = "x" * 48 * MEBIBYTE
    large = request.SerializeToString()

    def attack(number: int) -> Reply:
        ways: tuple[Way, ...] = ("grpc+gzip", "http+gzip")
        if number % 4 == 0:
            return client.send_bytes("metrics", bombs[number // 4 % 2], ways[number // 8 % 2])
        return client.send_bytes("metrics", large, "grpc" if number % 2 else "http")

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(attack, range(32)))
    assert {reply.code for reply in replies} <= {
        "OK",
        "200",
        "UNAVAILABLE",
        "503",
        "RESOURCE_EXHAUSTED",
        "413",
    }
    for reply in replies:
        assert (reply.retry_after_s is not None) == (reply.code in {"UNAVAILABLE", "503"})
    # The budget of 128 MiB, the quick lane's 4 messages of 64 MiB, and copies on the way through gRPC.
    assert peak_bytes(process.pid) - before < 900 * MEBIBYTE
    assert client.send(of(machine, gauge(number(2.0)))).code == "OK"


def test_no_ok_is_sent_while_the_database_is_away(
    own_cluster: OwnCluster, collector: Callable[..., CollectorProcess]
) -> None:
    process = collector(own_cluster.database, {"TALLY_COLLECTOR_REPLY_WITHIN_S": "0.3"})
    client = Client(process)
    stored = Stored(own_cluster.database.audit_url)
    requests = [of(f"rvm-{index}", gauge(number(float(index)))) for index in range(len(WAYS))]
    own_cluster.kill9()
    for request, way in zip(requests, WAYS, strict=True):
        reply = client.send(request, way)
        assert reply.code in {"UNAVAILABLE", "503"}
        assert reply.retry_after_s is not None
    own_cluster.start()
    deadline = time.monotonic() + 30
    for request, way in zip(requests, WAYS, strict=True):
        while client.send(request, way).code not in {"OK", "200"}:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    client.close()
    assert [len(stored("telemetry", f"rvm-{index}")) for index in range(len(WAYS))] == [1] * len(WAYS)
    assert process.stop() == 0
    check_ledger(own_cluster.database.admin_url)
