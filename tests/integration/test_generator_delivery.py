"""The generator against a tiny OTLP receiver: what is sent, what is counted, what happens when it is refused.

The receiver is a double of the collector's doors only: it decodes with opentelemetry-proto and remembers.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as PackedAny
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from generator import api
from generator.manifest import lines
from generator.simulate import Simulation
from tests.unit.generator.decoded import Decoded

SPEC = api.FleetSpec(
    seed=9, machines=4, sites=2, duration_s=1_800, step_s=30, window_s=300, deposits_per_day=4_000,
    start=api.FleetSpec().start.replace(hour=2), at_least=1,
)  # fmt: skip
NAB = Path(__file__).parents[3] / "shared/data/nab/realKnownCause/machine_temperature_system_failure.csv"


class Refuse(Exception):
    """The receiver's script: answer this call with an error."""

    def __init__(self, code: grpc.StatusCode, retry_after_s: float | None = None) -> None:
        super().__init__(code.name)
        self.code = code
        self.retry_after_s = retry_after_s


class Receiver:
    """Both doors on free ports.  ``script`` is asked before each request: it may refuse or reject rows."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, bytes]] = []
        self.calls = 0
        self.script: Callable[[int, str], int] = lambda _call, _signal: 0
        self._lock = threading.Lock()
        self._grpc = grpc.server(
            futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)]
        )
        self._grpc.add_generic_rpc_handlers((_Handlers(self),))
        self.grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _http_handler(self))
        self._http.daemon_threads = True
        self.http_port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> None:
        self._grpc.start()
        self._thread.start()

    def stop(self) -> None:
        self._grpc.stop(0.2).wait()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def target(self, protocol: Any = "both") -> api.Target:
        return api.Target("127.0.0.1", self.grpc_port, self.http_port, protocol)

    def take(self, door: str, signal: str, body: bytes) -> bytes:
        with self._lock:
            self.calls += 1
            call = self.calls
        rejected = self.script(call, signal)
        with self._lock:
            self.received.append((door, signal, body))
        if signal == "metrics":
            metrics = ExportMetricsServiceResponse()
            if rejected:
                metrics.partial_success.rejected_data_points = rejected
                metrics.partial_success.error_message = "told to"
            return metrics.SerializeToString()
        logs = ExportLogsServiceResponse()
        if rejected:
            logs.partial_success.rejected_log_records = rejected
            logs.partial_success.error_message = "told to"
        return logs.SerializeToString()

    def decoded(self) -> Decoded:
        decoded = Decoded()
        for _, signal, body in self.received:
            decoded.add(signal, body)
        return decoded


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        signal = "metrics" if "MetricsService" in handler_call_details.method else "logs"

        def handle(body: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                return self._receiver.take("grpc", signal, body)
            except Refuse as refusal:
                if refusal.retry_after_s is not None:
                    detail = PackedAny()
                    info = error_details_pb2.RetryInfo()
                    info.retry_delay.FromNanoseconds(int(refusal.retry_after_s * 1e9))
                    detail.Pack(info)
                    status = status_pb2.Status(code=refusal.code.value[0], message="later", details=[detail])
                    context.set_trailing_metadata(
                        (
                            ("grpc-status-details-bin", status.SerializeToString()),
                            ("google.rpc.retryinfo-bin", info.SerializeToString()),
                        )
                    )
                context.abort(refusal.code, "refused by the script")
                raise AssertionError from refusal

        return grpc.unary_unary_rpc_method_handler(handle)


def _http_handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                status, answer = 200, receiver.take("http", self.path.rsplit("/", 1)[1], body)
            except Refuse:
                status, answer = 503, b""
            self.send_response(status)
            if status == 503:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    running.start()
    try:
        yield running
    finally:
        running.stop()


def planned(spec: api.FleetSpec) -> list[bytes]:
    return [batch.payload for batch in Simulation(spec).batches()]


@pytest.mark.parametrize("protocol", ["grpc", "http", "both"])
def test_the_stock_exporters_deliver_exactly_the_planned_bytes(receiver: Receiver, protocol: Any) -> None:
    report = api.stream(SPEC, receiver.target(protocol), speed=None)
    assert report.good
    assert sorted(body for _, _, body in receiver.received) == sorted(planned(SPEC))
    assert report.facts.digest == api.plan(SPEC).facts.digest
    doors = {machine: door for door, signal, body in receiver.received for machine in _machines(signal, body)}
    if protocol == "both":
        machines = [doors[f"fleet-rvm-{number:04d}"] for number in (1, 2, 3, 4)]
        assert machines == ["grpc", "http", "grpc", "http"]
    else:
        assert set(doors.values()) == {protocol}


def _machines(signal: str, body: bytes) -> set[str]:
    decoded = Decoded()
    decoded.add(signal, body)
    return set(decoded.resources)


def test_each_machines_records_arrive_in_their_order(receiver: Receiver) -> None:
    for mode in ("stream", "backfill"):
        receiver.received.clear()
        target = receiver.target()
        report = api.stream(SPEC, target, speed=None) if mode == "stream" else api.backfill(SPEC, target)
        assert report.good
        by_machine: dict[str, list[int]] = {}
        for row in receiver.decoded().named("machine.heartbeat"):
            by_machine.setdefault(row.machine, []).append(row.observed_ns)
        assert all(times == sorted(times) for times in by_machine.values())


def test_backfill_delivers_the_same_bytes_and_writes_the_manifest(receiver: Receiver, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "manifest.jsonl"
    report = api.backfill(SPEC, receiver.target("grpc"), path, in_flight=7)
    assert report.good
    assert sorted(body for _, _, body in receiver.received) == sorted(planned(SPEC))
    written = api.read_manifest(path)
    assert written[:-1] == json.loads(json.dumps(list(lines(SPEC, api.plan(SPEC).facts, {}))[:-1]))
    delivery = written[-1]
    assert delivery["complete"] is True
    rows = receiver.decoded().rows_by_stream()
    assert {s: c["acknowledged"] for s, c in delivery["rows"].items()} == {
        s: sum(of.values()) for s, of in rows.items()
    }
    assert list(path.parent.iterdir()) == [path], "nothing is left beside the manifest"


def test_real_time_takes_its_time_and_a_factor_shortens_it(receiver: Receiver) -> None:
    spec = replace(SPEC, duration_s=60, window_s=10, step_s=5, at_least=0)
    report = api.stream(spec, receiver.target(), speed=40.0)
    assert report.good
    assert 1.4 <= report.elapsed_s < 15


def test_rows_that_the_receiver_rejects_are_counted_through_every_door(receiver: Receiver) -> None:
    receiver.script = lambda call, _signal: 3 if call in (2, 5) else 0
    for report in (
        api.stream(SPEC, receiver.target("grpc"), speed=None),
        _again(receiver, lambda: api.stream(SPEC, receiver.target("http"), speed=None)),
        _again(receiver, lambda: api.backfill(SPEC, receiver.target("grpc"))),
    ):
        assert report.delivery is not None
        assert sum(report.delivery.refused.values()) == 6
        assert report.delivery.messages == ["told to"]
        assert not report.good


def _again(receiver: Receiver, run: Callable[[], api.RunReport]) -> api.RunReport:
    receiver.calls = 0
    return run()


def test_a_refused_request_is_sent_again_until_it_is_taken(receiver: Receiver, tmp_path: Path) -> None:
    def script(call: int, _signal: str) -> int:
        if call in (1, 2, 9):
            raise Refuse(grpc.StatusCode.UNAVAILABLE, 0.05)
        if call == 12:
            raise Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, 0.05)
        return 0

    receiver.script = script
    report = api.backfill(SPEC, receiver.target("grpc"), tmp_path / "m.jsonl", in_flight=3)
    assert report.good
    assert report.delivery is not None
    assert report.delivery.retries == 4
    assert sorted(body for _, _, body in receiver.received) == sorted(planned(SPEC))


def test_the_stock_exporters_ride_out_a_refusal(receiver: Receiver) -> None:
    def script(call: int, _signal: str) -> int:
        if call in (1, 3):
            raise Refuse(grpc.StatusCode.UNAVAILABLE, 0.05)
        return 0

    receiver.script = script
    report = api.stream(replace(SPEC, duration_s=600, at_least=0), receiver.target(), speed=None)
    assert report.good
    assert sorted(body for _, _, body in receiver.received) == sorted(
        planned(replace(SPEC, duration_s=600, at_least=0))
    )


def test_what_is_never_taken_is_reported_and_the_manifest_says_so(receiver: Receiver, tmp_path: Path) -> None:
    def script(call: int, _signal: str) -> int:
        if call > 6:
            raise Refuse(grpc.StatusCode.INVALID_ARGUMENT)
        return 0

    receiver.script = script
    path = tmp_path / "m.jsonl"
    report = api.backfill(SPEC, receiver.target("grpc"), path, in_flight=2)
    assert not report.good
    assert report.problem
    delivery = api.read_manifest(path)[-1]
    assert delivery["complete"] is False
    assert delivery["requests"]["acknowledged"] == 6
    assert delivery["requests"]["failed"] >= 1
    assert (
        delivery["requests"]["sent"] == delivery["requests"]["acknowledged"] + delivery["requests"]["failed"]
    )
    for counts in delivery["rows"].values():
        assert counts["sent"] == counts["acknowledged"] + counts["failed"]


def test_a_resource_exhausted_without_retry_info_is_final(receiver: Receiver) -> None:
    def script(_call: int, _signal: str) -> int:
        raise Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED)

    receiver.script = script
    report = api.backfill(SPEC, receiver.target("grpc"), in_flight=1)
    assert not report.good
    assert report.delivery is not None
    assert report.delivery.retries == 0


def test_stopping_early_is_reported(receiver: Receiver, tmp_path: Path) -> None:
    stop = threading.Event()

    def after_a_while(_progress: api.Progress) -> None:
        stop.set()

    report = api.backfill(SPEC, receiver.target(), tmp_path / "m.jsonl", stop=stop, progress=after_a_while)
    assert report.problem == "interrupted"
    assert api.read_manifest(tmp_path / "m.jsonl")[-1]["complete"] is False


def test_load_sends_the_shape_asked_for_and_measures(receiver: Receiver) -> None:
    spec = api.LoadSpec(machines=10, points=25, fleet_machines=30, in_flight=4, requests=12, duration_s=30)
    report = api.load(spec, receiver.target())
    content = report.to_json()
    assert (content["requests"], content["points"], content["good"]) == (12, 12 * 250, True)
    assert content["latency_ms"]["p50"] <= content["latency_ms"]["p99"] <= content["latency_ms"]["max"]
    points = receiver.decoded().points
    assert len(points) == 12 * 250
    assert len({(p.machine, p.metric, p.attributes, p.time_ns) for p in points}) == len(points)
    assert len({p.machine for p in points}) == 30
    assert len({body for _, _, body in receiver.received}) == 12, "no two requests alike"


def test_load_keeps_to_its_rate_and_honours_retry_info(receiver: Receiver) -> None:
    def script(call: int, _signal: str) -> int:
        if call == 2:
            raise Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, 0.3)
        return 0

    receiver.script = script
    spec = api.LoadSpec(machines=1, points=8, in_flight=4, rate=20, duration_s=1.5)
    report = api.load(spec, receiver.target("grpc"))
    assert report.delivery.retries == 1
    assert 20 <= report.delivery.requests["acknowledged"] <= 30
    assert report.latencies_ms.max() >= 300


def test_replay_sends_every_row_in_the_order_of_the_file(receiver: Receiver, tmp_path: Path) -> None:
    path = tmp_path / "press.csv"
    times = ("2026-01-05 00:00:00", "2026-01-05 00:05:00", "2026-01-05 00:05:00", "2026-01-05T00:00:00Z")
    path.write_text("when,bar\n" + "".join(f"{time},{number + 1}.5\n" for number, time in enumerate(times)))
    spec = api.ReplaySpec(
        path, "press.pressure", "bar", "press-7", time_column="when", value_column="bar", rows_per_request=3
    )
    for protocol in ("grpc", "http"):
        receiver.received.clear()
        report = api.replay(spec, receiver.target(protocol))
        content = report.to_json()
        assert (content["rows"], content["repeated_timestamps"], content["backward_jumps"]) == (4, 2, 1)
        assert content["acknowledged"] == 4
        points = receiver.decoded().points
        assert [p.value for p in points] == [1.5, 2.5, 3.5, 4.5]
        assert {(p.machine, p.metric) for p in points} == {("press-7", "press.pressure")}
        assert len(receiver.received) == 2


@pytest.mark.skipif(not NAB.exists(), reason="../shared/data/nab is not there")
def test_replay_of_a_real_series_sends_all_rows_and_counts_what_is_odd(receiver: Receiver) -> None:
    spec = api.ReplaySpec(NAB, "hw.temperature", "Cel", "industrial-machine-1")
    content = api.replay(spec, receiver.target("grpc")).to_json()
    assert (content["rows"], content["repeated_timestamps"], content["backward_jumps"]) == (22_695, 12, 1)
    assert content["acknowledged"] == len(receiver.decoded().points) == 22_695


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "generator", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_line_sends_and_prints_json(receiver: Receiver, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    done = command(
        "backfill", "--machines", "2", "--sites", "1", "--duration", "2h", "--manifest", str(path), "--json",
        "--grpc-port", str(receiver.grpc_port), "--fault", "lost_deposit=0.1",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    content = json.loads(done.stdout)
    assert content["good"]
    assert content["delivery"]["rows"]["telemetry"]["acknowledged"] == len(receiver.decoded().points)
    assert api.read_manifest(path)[0]["spec"]["faults"]["lost_deposit"] == 0.1


def test_rejected_rows_make_the_exit_code_one(receiver: Receiver) -> None:
    receiver.script = lambda call, _signal: int(call == 1)
    done = command("faster", "--machines", "1", "--duration", "5m", "--grpc-port", str(receiver.grpc_port),
                   "--protocol", "grpc")  # fmt: skip
    assert done.returncode == 1
    assert "1 refused" in done.stdout


def test_nobody_listening_is_one_line_and_exit_code_two() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = command("load", "--grpc-port", str(free.getsockname()[1]))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "no collector answers" in done.stderr
