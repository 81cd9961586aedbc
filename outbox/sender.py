"""OTLP/gRPC requests, already encoded, sent as OTLP asks.

A refused request is sent again (the same bytes, so that the collector knows it) after the time that RetryInfo
names, else after a growing pause; one that can never be taken is answered at once.
Source: opentelemetry.io/docs/specs/otlp, "Failures" and "OTLP/gRPC Throttling".
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc import aio
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

Signal = Literal["metrics", "logs"]

_METHODS: Final[dict[Signal, str]] = {
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_OPTIONS: Final = (
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
    # Of two minutes otherwise: how long a collector that is back may go unnoticed.
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
_CALL_TIMEOUT_S: Final = 60.0
_LONGEST_PAUSE_S: Final = 5.0
_DETAILS_KEY: Final = "grpc-status-details-bin"
_RETRY_INFO_KEY: Final = "google.rpc.retryinfo-bin"


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one request."""

    accepted: bool
    refused: int = 0
    message: str = ""
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing was taken; the same bytes may be sent again after ``delay_s`` seconds."""

    delay_s: float
    message: str


def retry_delay_s(code: grpc.StatusCode, metadata: dict[str, bytes], attempt: int) -> float | None:
    """Seconds to wait before the same request may be sent again, or None if it must not be.

    RetryInfo comes in the status details (google.rpc.Status) or, from some servers, as metadata of its own.
    """
    info = _retry_info(metadata)
    if info is not None:
        return min(float(info.retry_delay.ToNanoseconds()) / 1e9, 60.0)
    if code not in _RETRYABLE:
        return None
    return min(0.1 * 2.0**attempt, _LONGEST_PAUSE_S)


def _retry_info(metadata: dict[str, bytes]) -> error_details_pb2.RetryInfo | None:
    info = error_details_pb2.RetryInfo()
    try:
        if _RETRY_INFO_KEY in metadata:
            info.ParseFromString(metadata[_RETRY_INFO_KEY])
            return info
        if _DETAILS_KEY in metadata:
            for detail in status_pb2.Status.FromString(metadata[_DETAILS_KEY]).details:
                if detail.Unpack(info):
                    return info
    except DecodeError:
        pass
    return None


def read_answer(signal: Signal, reply: bytes) -> tuple[int, str]:
    """Refused rows and message of a success reply; nothing in it means that all was taken."""
    if not reply:
        return 0, ""
    if signal == "metrics":
        metrics = ExportMetricsServiceResponse.FromString(reply).partial_success
        return metrics.rejected_data_points, metrics.error_message
    logs = ExportLogsServiceResponse.FromString(reply).partial_success
    return logs.rejected_log_records, logs.error_message


class RawSender:
    """Sends encoded requests to ``address`` (host:port) over gRPC channels; an async context manager."""

    def __init__(self, address: str, *, retry_for_s: float = 120.0, channels: int = 1) -> None:
        self._retry_for_s = retry_for_s
        self._channels = [
            aio.insecure_channel(address, options=[*_OPTIONS, ("tally.channel", number)])
            for number in range(channels)
        ]
        self._calls: list[dict[Signal, aio.UnaryUnaryMultiCallable[bytes, bytes]]] = [
            {
                signal: channel.unary_unary(method, request_serializer=None, response_deserializer=None)
                for signal, method in _METHODS.items()
            }
            for channel in self._channels
        ]
        self._next = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel in self._channels:
            await channel.close()

    async def attempt(self, signal: Signal, payload: bytes, number: int = 0) -> Answer | Later:
        """Send a request once; ``number`` says how often it was sent before."""
        self._next = (self._next + 1) % len(self._calls)
        call = self._calls[self._next][signal]
        try:
            refused, message = read_answer(signal, await call(payload, timeout=_CALL_TIMEOUT_S))
        except aio.AioRpcError as error:
            metadata = {
                str(key): value
                for key, value in (error.trailing_metadata() or ())
                if isinstance(value, bytes)
            }
            delay_s = retry_delay_s(error.code(), metadata, number)
            message = f"{error.code().name}: {error.details()}"
            return Answer(accepted=False, message=message) if delay_s is None else Later(delay_s, message)
        except DecodeError:
            return Answer(accepted=False, message="the reply is not an OTLP response")
        return Answer(accepted=True, refused=refused, message=message)

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        """Send one request until it is answered for good."""
        deadline = time.monotonic() + self._retry_for_s
        retries = 0
        while True:
            answer = await self.attempt(signal, payload, retries)
            if isinstance(answer, Answer):
                return replace(answer, retries=retries)
            if time.monotonic() + answer.delay_s > deadline:
                return Answer(accepted=False, message=answer.message, retries=retries)
            retries += 1
            await asyncio.sleep(answer.delay_s)
