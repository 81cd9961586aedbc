"""What OTLP clients are told: partial success, and errors as ``google.rpc.Status``, for both transports.

Clients drop their data on any code but those that the protocol lists as retryable (OTLP specification 1.9,
"Failures"), so whatever is not the request's own fault, defects of ours included, asks for a retry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from collector.errors import RequestError, TooLarge, TryLater, Undecodable, Unsupported, UnsupportedMedia
from collector.ingest import Outcome, Signal

OnRefusal = Callable[[str, RequestError], None]
"""Told of each request that a transport refuses by itself, with its signal ("traces" included)."""

_MESSAGE_BYTES: Final = 1000
"""gRPC sends the message in headers, twice, percent-encoded and base64; clients refuse headers over 8 KiB."""
_LONGEST_RETRY_S: Final = 300.0
_DEFECT_RETRY_S: Final = 5.0

_CODES: Final[Mapping[type[Exception], tuple[grpc.StatusCode, int]]] = {
    Undecodable: (grpc.StatusCode.INVALID_ARGUMENT, 400),
    UnsupportedMedia: (grpc.StatusCode.INVALID_ARGUMENT, 415),
    TooLarge: (grpc.StatusCode.RESOURCE_EXHAUSTED, 413),
    Unsupported: (grpc.StatusCode.UNIMPLEMENTED, 404),
    TryLater: (grpc.StatusCode.UNAVAILABLE, 503),
}


def ignore_refusal(signal: str, error: RequestError) -> None:
    """For those who don't count."""


log = structlog.get_logger("collector.replies")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as each transport says it; ``retry_after_s`` is None where a retry would be in vain."""

    code: grpc.StatusCode
    http_status: int
    status: Status
    retry_after_s: float | None = None


def _sendable(text: str) -> str:
    """``text`` as UTF-8 can hold it (no lone surrogate), at most ``_MESSAGE_BYTES`` long."""
    return text.encode(errors="backslashreplace")[:_MESSAGE_BYTES].decode(errors="ignore")


def status_of(code: grpc.StatusCode, message: str, retry_after_s: float | None = None) -> Status:
    """The protocol's error body, with RetryInfo if a retry is wanted."""
    status = Status(code=code.value[0], message=_sendable(message))
    if retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(retry_after_s * 1000))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    return status


def refusal(error: Exception, *, transport: str, signal: str) -> Refusal:
    """How the client is told; an error that no contract foresees is logged, with traceback, and retryable."""
    if not isinstance(error, RequestError):
        log.error("a request failed unexpectedly", transport=transport, signal=signal, exc_info=error)
        error = TryLater("the collector failed on this request; its log tells why", _DEFECT_RETRY_S)
    kinds = (kind for kind in type(error).__mro__ if kind in _CODES)
    code, http_status = _CODES[next(kinds, TryLater)]
    retry_after_s: float | None = None
    if http_status == 503:
        wanted = error.retry_after_s if isinstance(error, TryLater) else _DEFECT_RETRY_S
        retry_after_s = min(max(0.0, wanted), _LONGEST_RETRY_S)
    return Refusal(code, http_status, status_of(code, str(error), retry_after_s), retry_after_s)


def success(signal: Signal, outcome: Outcome) -> Message:
    """The reply to an acknowledged request; ``partial_success`` is set only if there is something to say."""
    if signal == "metrics":
        metrics = ExportMetricsServiceResponse()
        if outcome.rejected or outcome.message:
            metrics.partial_success.rejected_data_points = outcome.rejected
            metrics.partial_success.error_message = _sendable(outcome.message)
        return metrics
    logs = ExportLogsServiceResponse()
    if outcome.rejected or outcome.message:
        logs.partial_success.rejected_log_records = outcome.rejected
        logs.partial_success.error_message = _sendable(outcome.message)
    return logs


def as_json(message: Message) -> bytes:
    """A reply in ProtoJSON, one line."""
    return MessageToJson(message, indent=None).encode()
