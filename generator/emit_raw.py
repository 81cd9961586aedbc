"""Encoded requests straight over gRPC, many in flight, in order for each machine.

At most one request of a machine and signal is under way at a time, as a real machine would have it, so the
ledger's order is the order of events; many machines are under way at once.  Memory is bounded by the number
of requests in flight.  A refused request is sent again (the same bytes) as OTLP asks: after the time that
RetryInfo names, else after a growing pause, until ``retry_for_s`` is used up.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final, Literal, Self

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc import aio
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from generator.delivery import Delivery
from generator.errors import DeliveryError
from generator.settings import Target

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
    """Sends encoded requests over gRPC channels; an async context manager."""

    def __init__(self, target: Target, *, retry_for_s: float = 120.0, channels: int = 1) -> None:
        self._retry_for_s = retry_for_s
        self._channels = [
            aio.insecure_channel(target.grpc_address, options=[*_OPTIONS, ("tally.channel", number)])
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

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        """Send one request until it is answered for good."""
        deadline = time.monotonic() + self._retry_for_s
        self._next = (self._next + 1) % len(self._calls)
        call = self._calls[self._next][signal]
        attempt = 0
        while True:
            try:
                refused, message = read_answer(signal, await call(payload, timeout=_CALL_TIMEOUT_S))
                return Answer(accepted=True, refused=refused, message=message, retries=attempt)
            except aio.AioRpcError as error:
                metadata = {
                    str(key): value
                    for key, value in (error.trailing_metadata() or ())
                    if isinstance(value, bytes)
                }
                delay_s = retry_delay_s(error.code(), metadata, attempt)
                if delay_s is None or time.monotonic() + delay_s > deadline:
                    return Answer(
                        accepted=False, message=f"{error.code().name}: {error.details()}", retries=attempt
                    )
            except DecodeError:
                return Answer(accepted=False, message="the reply is not an OTLP response", retries=attempt)
            attempt += 1
            await asyncio.sleep(delay_s)


class OrderedSender:
    """Many requests in flight, those of one lane (machine and signal) one after the other."""

    def __init__(self, sender: RawSender, delivery: Delivery, in_flight: int) -> None:
        self._sender = sender
        self._delivery = delivery
        self._room = asyncio.Semaphore(in_flight)
        self._last: dict[tuple[str, Signal], asyncio.Task[None]] = {}
        self._gave_up = False

    async def put(self, lane: str, signal: Signal, rows: dict[str, int], payload: bytes) -> None:
        """Hand over a request; waits while too many are in flight.

        Raises:
            DeliveryError: a request was given up; nothing more is sent.
        """
        await self._room.acquire()
        if self._gave_up:
            self._room.release()
            raise DeliveryError("the collector did not take the data; see the report for what is missing")
        key = (lane, signal)
        self._delivery.record_sent(rows)
        task = asyncio.create_task(self._send(self._last.get(key), key, rows, payload))
        self._last[key] = task
        await asyncio.sleep(0)

    async def _send(
        self, before: asyncio.Task[None] | None, key: tuple[str, Signal], rows: dict[str, int], payload: bytes
    ) -> None:
        try:
            if before is not None:
                await before
            if self._gave_up:
                self._delivery.record_failed(rows)
                return
            answer = await self._sender.send(key[1], payload)
            for _ in range(answer.retries):
                self._delivery.record_retry()
            if answer.accepted:
                self._delivery.record_acknowledged(key[1], rows, answer.refused, answer.message)
            else:
                self._delivery.record_failed(rows, answer.message)
                self._gave_up = True
        except asyncio.CancelledError:
            self._delivery.record_failed(rows, "interrupted")
            raise
        finally:
            if self._last.get(key) is asyncio.current_task():
                del self._last[key]
            self._room.release()

    async def drain(self) -> None:
        """Wait for every answer."""
        while self._last:
            await asyncio.gather(*self._last.values())
