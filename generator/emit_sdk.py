"""Through the stock exporters of the OpenTelemetry SDK, over gRPC and over HTTP.

A machine always uses the same worker thread, so its requests arrive in the order in which it made them.  An
exporter retries by itself for about ten seconds; after that the same request is tried again a few times (the
collector stores it once, however often it comes), and then given up and counted.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Literal, Self, cast

import requests
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

from generator.delivery import Delivery
from generator.errors import DeliveryError
from generator.settings import Target

Signal = Literal["metrics", "logs"]
Work = Callable[[], None]
Door = Literal["grpc", "http"]
Rows = dict[str, int]
Payload = Callable[[], MetricsData | list[ReadableLogRecord]]

_ATTEMPTS: Final = 4
_QUEUED_PER_WORKER: Final = 16
_FAILURES_TO_GIVE_UP: Final = 3
_TIMEOUT_S: Final = 10.0


def quiet_exporters() -> None:
    """Keep the exporters' own complaints off the terminal: failures are counted and reported once."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)


class _Refusals:
    """What the last answer refused.  The exporters drop partial_success, so it is read beside them."""

    def __init__(self) -> None:
        self.rejected = 0
        self.message = ""

    def note(self, response: object) -> None:
        partial = getattr(response, "partial_success", None)
        self.rejected = int(
            getattr(partial, "rejected_data_points", 0) or getattr(partial, "rejected_log_records", 0)
        )
        self.message = str(getattr(partial, "error_message", ""))


class _ListeningStub:
    """A gRPC stub that reads the reply on its way to the exporter, which does not look at it."""

    def __init__(self, stub: Any, refusals: _Refusals) -> None:
        self._stub = stub
        self._refusals = refusals

    def Export(self, **arguments: Any) -> Any:  # noqa: N802
        response = self._stub.Export(**arguments)
        self._refusals.note(response)
        return response


class _GrpcMetrics(GrpcMetricExporter):
    """The stock exporter, listened to."""

    def __init__(self, target: Target, refusals: _Refusals) -> None:
        self._refusals = refusals
        super().__init__(endpoint=target.grpc_address, insecure=True, timeout=_TIMEOUT_S)

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]
        self._client = cast("Any", _ListeningStub(self._client, self._refusals))


class _GrpcLogs(GrpcLogExporter):
    """The stock exporter, listened to."""

    def __init__(self, target: Target, refusals: _Refusals) -> None:
        self._refusals = refusals
        super().__init__(endpoint=target.grpc_address, insecure=True, timeout=_TIMEOUT_S)

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]
        self._client = cast("Any", _ListeningStub(self._client, self._refusals))


def _http_session(response_type: type[Any], refusals: _Refusals) -> requests.Session:
    def listen(response: requests.Response, **_: object) -> None:
        if response.status_code == requests.codes.ok:
            refusals.note(response_type.FromString(response.content))

    session = requests.Session()
    session.trust_env = False  # a proxy of the environment has no business with a local collector
    session.hooks["response"].append(listen)
    return session


class Exporters:
    """One pair of stock exporters for one door; used by one thread."""

    def __init__(self, target: Target, door: Door) -> None:
        self._refusals = _Refusals()
        self.metrics: GrpcMetricExporter | HttpMetricExporter
        self.logs: GrpcLogExporter | HttpLogExporter
        if door == "grpc":
            self.metrics = _GrpcMetrics(target, self._refusals)
            self.logs = _GrpcLogs(target, self._refusals)
        else:
            self.metrics = HttpMetricExporter(
                endpoint=target.http_url("metrics"),
                timeout=_TIMEOUT_S,
                session=_http_session(ExportMetricsServiceResponse, self._refusals),
            )
            self.logs = HttpLogExporter(
                endpoint=target.http_url("logs"),
                timeout=_TIMEOUT_S,
                session=_http_session(ExportLogsServiceResponse, self._refusals),
            )

    def export(self, data: MetricsData | list[ReadableLogRecord]) -> tuple[bool, int, str]:
        """Send one request: whether it was acknowledged, how many rows were refused, and why."""
        self._refusals.rejected, self._refusals.message = 0, ""
        if isinstance(data, MetricsData):
            accepted = self.metrics.export(data) is MetricExportResult.SUCCESS
        else:
            accepted = self.logs.export(data) is LogRecordExportResult.SUCCESS
        return accepted, self._refusals.rejected, self._refusals.message

    def shutdown(self) -> None:
        """Close connections."""
        self.metrics.shutdown()
        self.logs.shutdown()


_Job = tuple[Signal, Rows, Payload] | Work


class _Worker(threading.Thread):
    """Sends its machines' requests one after the other."""

    def __init__(self, target: Target, door: Door, delivery: Delivery, give_up: threading.Event) -> None:
        super().__init__(daemon=True, name=f"otlp-{door}")
        self.jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=_QUEUED_PER_WORKER)
        self._target, self._door = target, door
        self._delivery = delivery
        self._give_up = give_up

    def run(self) -> None:
        exporters = Exporters(self._target, self._door)
        try:
            while (job := self.jobs.get()) is not None:
                if callable(job):
                    self._do(job)
                else:
                    self._send(exporters, *job)
        finally:
            exporters.shutdown()

    def _do(self, work: Work) -> None:
        try:
            work()
        except DeliveryError:
            self._give_up.set()

    def _send(self, exporters: Exporters, signal: Signal, rows: Rows, payload: Payload) -> None:
        if self._give_up.is_set():
            self._delivery.record_failed(rows)
            return
        data = payload()
        for attempt in range(_ATTEMPTS):
            accepted, refused, message = exporters.export(data)
            if accepted:
                self._delivery.record_acknowledged(signal, rows, refused, message)
                return
            if attempt + 1 < _ATTEMPTS:
                self._delivery.record_retry()
                if self._give_up.wait(0.5 * 2**attempt):
                    break
        self._delivery.record_failed(rows, f"the {self._door} exporter gave up on a request of {signal}")
        if self._delivery.requests["failed"] >= _FAILURES_TO_GIVE_UP:
            self._give_up.set()


class SdkEmitter:
    """Deals requests out to workers.  Use as a context manager: leaving it waits for all answers."""

    def __init__(self, target: Target, delivery: Delivery, *, workers_per_door: int = 4) -> None:
        doors: tuple[Door, ...] = ("grpc", "http") if target.protocol == "both" else (target.protocol,)
        self._give_up = threading.Event()
        self._delivery = delivery
        self._workers = [
            [_Worker(target, door, delivery, self._give_up) for _ in range(workers_per_door)]
            for door in doors
        ]

    def __enter__(self) -> Self:
        for worker in self._all():
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._all():
            worker.jobs.put(None)
        for worker in self._all():
            worker.join()

    def _all(self) -> list[_Worker]:
        return [worker for group in self._workers for worker in group]

    def send(self, number: int, signal: Signal, rows: Rows, payload: Payload) -> None:
        """Hand over a request of emitter ``number``; waits while its worker is busy.

        Machines with an odd number speak gRPC, those with an even one HTTP, if both are asked for;
        stations (number 0) use the first door.

        Raises:
            DeliveryError: the collector keeps refusing; nothing more is sent.
        """
        self._put(number, (signal, rows, payload))
        self._delivery.record_sent(rows)

    def then(self, number: int, work: Work) -> None:
        """Let something be done when all requests of emitter ``number`` so far are answered.

        A DeliveryError of ``work`` ends the run.

        Raises:
            DeliveryError: as of ``send``.
        """
        self._put(number, work)

    def _put(self, number: int, job: _Job) -> None:
        group = self._workers[(number + 1) % 2 if number and len(self._workers) == 2 else 0]
        worker = group[number // len(self._workers) % len(group)]
        while True:
            if self._give_up.is_set():
                raise DeliveryError("the data was not taken; see the report for what is missing")
            try:
                worker.jobs.put(job, timeout=0.2)
            except queue.Full:
                continue
            return
