"""OTLP clients as machines have them: what was not acknowledged they send again, to the byte.

Every record has an attribute ``key`` of its own, so that the ledger can be asked how often it holds a record.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import grpc
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from tests.otlp_requests import (
    NOON_NS,
    Plain,
    deposit,
    event,
    gauge,
    key_values,
    logs,
    metrics,
    number,
    resource,
)

Signal = Literal["metrics", "logs"]
SIGNALS: Final[tuple[Signal, ...]] = ("metrics", "logs")
_SERVICES: Final[dict[Signal, str]] = {
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_RESPONSES: Final[dict[Signal, Any]] = {
    "metrics": ExportMetricsServiceResponse,
    "logs": ExportLogsServiceResponse,
}
_RETRYABLE: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
}
_RETRYABLE_HTTP: Final = {429, 502, 503, 504}
PATIENCE_S: Final = 0.05
"""Between two tries.  Clients of the field wait longer, which would only make the tests slower."""


@dataclass(frozen=True, slots=True)
class Sendable:
    """One OTLP request and the keys of its records."""

    signal: Signal
    body: bytes
    keys: tuple[str, ...]


def request(signal: Signal, machine: str, name: str, count: int) -> Sendable:
    """A request of one machine with ``count`` records, keyed ``name/0``, ``name/1``, and so on.

    A logs request touches three streams: heartbeats, deposits and predictions take turns.
    """
    keys = tuple(f"{name}/{index}" for index in range(count))
    sender = resource(machine)
    if signal == "metrics":
        points = [number(20.0 + i, NOON_NS + i * 1_000_000, 0, {"key": key}) for i, key in enumerate(keys)]
        return Sendable(signal, metrics(gauge(*points), sender=sender).SerializeToString(), keys)
    records = []
    for index, key in enumerate(keys):
        time_ns = NOON_NS + index * 1_000_000
        match index % 3:
            case 0:
                records.append(event("machine.heartbeat", time_ns, {"key": key}))
            case 1:
                record = deposit(f"t-{key}")
                record.attributes.extend(key_values({"key": key}))
                records.append(record)
            case _:
                prediction: dict[str, Plain] = {
                    "prediction.id": f"p-{key}",
                    "deposit.transaction_id": f"t-{key}",
                    "model.id": "sorter",
                    "model.version": "1",
                    "prediction.material": "pet",
                    "prediction.confidence": 0.9,
                    "key": key,
                }
                records.append(event("inference.prediction", time_ns, prediction))
    return Sendable(signal, logs(*records, sender=sender).SerializeToString(), keys)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got for one try.

    ``later`` came from the collector (``retry_after_s`` is the delay that it asked for); ``lost`` is a broken
    or missing connection.
    """

    kind: Literal["ok", "later", "lost", "refused"]
    code: str
    detail: str = ""
    retry_after_s: float | None = None


class Transport(Protocol):
    """A client's way to a collector."""

    def send(self, request: Sendable) -> Answer:
        """One try."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class GrpcTransport:
    """One gRPC channel."""

    def __init__(self, endpoint: str, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(
            endpoint,
            options=[
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 100),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self._exports: dict[Signal, Any] = {
            signal: self._channel.unary_unary(
                path, request_serializer=None, response_deserializer=_RESPONSES[signal].FromString
            )
            for signal, path in _SERVICES.items()
        }

    def send(self, request: Sendable) -> Answer:
        """One try."""
        try:
            response = self._exports[request.signal](request.body, timeout=self._timeout_s)
        except grpc.RpcError as error:
            return _grpc_failure(error)
        return _success(response)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def _grpc_failure(error: Any) -> Answer:
    """``error`` is an RpcError that is a Call too, which gRPC's types can't say."""
    code, detail = error.code(), error.details() or ""
    delay = None
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = Status.FromString(value)
            for any_detail in status.details:
                info = RetryInfo()
                if any_detail.Unpack(info):
                    delay = info.retry_delay.ToTimedelta().total_seconds()
    if code not in _RETRYABLE:
        return Answer("refused", code.name, detail)
    return Answer("lost" if delay is None else "later", code.name, detail, delay)


class HttpTransport:
    """OTLP/HTTP in protobuf, a connection a try."""

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        self._url = url
        self._timeout_s = timeout_s

    def send(self, request: Sendable) -> Answer:
        """One try."""
        post = urllib.request.Request(
            f"{self._url}/v1/{request.signal}",
            data=request.body,
            headers={"Content-Type": "application/x-protobuf"},
        )
        try:
            with urllib.request.urlopen(post, timeout=self._timeout_s) as reply:
                return _success(_RESPONSES[request.signal].FromString(reply.read()))
        except urllib.error.HTTPError as error:
            with error:
                detail = Status.FromString(error.read()).message
            if error.code not in _RETRYABLE_HTTP:
                return Answer("refused", str(error.code), detail)
            return Answer("later", str(error.code), detail, float(error.headers["Retry-After"]))
        except (urllib.error.URLError, OSError) as error:
            return Answer("lost", type(error).__name__, str(error))

    def close(self) -> None:
        """Nothing is kept open."""


def _success(response: Any) -> Answer:
    assert not response.HasField("partial_success"), response
    return Answer("ok", "OK")


def deliver(transport: Transport, request: Sendable, within_s: float = 30.0) -> list[Answer]:
    """Send until acknowledged; the answers on the way, the last one ``ok`` unless the request was refused.

    Raises:
        AssertionError: that took too long.
    """
    deadline = time.monotonic() + within_s
    answers = []
    while True:
        answers.append(transport.send(request))
        if answers[-1].kind in {"ok", "refused"}:
            return answers
        assert time.monotonic() < deadline, f"not acknowledged in {within_s} s: {answers[-5:]}"
        time.sleep(PATIENCE_S)
