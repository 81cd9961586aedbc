"""OTLP over gRPC: ``MetricsService`` and ``LogsService``; ``TraceService`` says that it is not supported.

Nothing is parsed here: ``Ingest`` takes the request as it came.  Compression is ours, not gRPC's, because
gRPC inflates without a bound: with its decompression off, the handler sees the compressed message, and
``inflate`` stops a bomb while inflating.  A message over the limit before decompression is refused by gRPC
itself, on its length prefix, with RESOURCE_EXHAUSTED and no RetryInfo, as OTLP asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias

import grpc

from collector.budget import Budget, Holding
from collector.errors import RequestError, Unsupported
from collector.inflate import inflate_held, recognised
from collector.ingest import Ingest, Signal
from collector.message_reader import MessageReader
from collector.replies import OnRefusal, Refusal, ignore_refusal, refusal, success
from collector.shape import check_shape

Context = grpc.aio.ServicerContext[bytes, bytes]
_Method: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic for type checkers only

METRICS_SERVICE: Final = "opentelemetry.proto.collector.metrics.v1.MetricsService"
LOGS_SERVICE: Final = "opentelemetry.proto.collector.logs.v1.LogsService"
TRACE_SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"


def _options(max_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_bytes),
        ("grpc.per_message_decompression", 0),
        ("grpc.so_reuseport", 0),  # a second collector on this port must fail, not share it silently
        ("grpc.http2.lookahead_bytes", 128 * 1024),  # a batch of an SDK arrives without waiting for us
        ("grpc.http2.bdp_probe", 0),  # else the window before a message is asked for grows to megabytes
        ("grpc.max_concurrent_streams", 256),
        # Machines sit behind home routers that forget idle connections: let them ping, and ping them.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.max_connection_idle_ms", 15 * 60_000),
    ]


@dataclass(frozen=True, slots=True)
class _Exporter:
    """The Export method of one signal."""

    signal: Signal
    ingest: Ingest
    budget: Budget
    reader: MessageReader
    max_bytes: int
    on_refusal: OnRefusal

    async def export(self, _: object, context: Context) -> bytes:
        """Answer one call: the serialized response after the commit, or a status that says what to do."""
        reply = await self._reply(context)
        if isinstance(reply, Refusal):
            # gRPC keeps the exception that this raises, and so its frames: they must not have the body.
            await _abort(context, reply)
        return reply

    async def _reply(self, context: Context) -> bytes | Refusal:
        try:
            with self.budget.hold() as holding:
                body = await self._body(context, holding)
                outcome = await self.ingest.export(self.signal, body)
            return success(self.signal, outcome).SerializeToString()
        except Exception as error:  # noqa: BLE001  (whatever fails, the client must be told to keep its data)
            return refusal(error, transport="grpc", signal=self.signal)

    async def _body(self, context: Context, holding: Holding) -> bytes:
        try:
            body = message = await self.reader.read(context, holding)
            encoding = recognised(message)
            if encoding is not None:
                body = await inflate_held(message, encoding, self.max_bytes, holding)
                holding.shrink(len(message))
            check_shape(self.signal, body)
        except RequestError as error:
            self.on_refusal(self.signal, error)
            raise
        return body


async def _abort(context: Context, told: Refusal) -> NoReturn:
    trailers = (("grpc-status-details-bin", told.status.SerializeToString()),)
    await context.abort(told.code, told.status.message, trailers)


def _traces(on_refusal: OnRefusal) -> Callable[[object, Context], Awaitable[bytes]]:
    async def export(_: object, context: Context) -> bytes:
        error = Unsupported("this collector takes metrics and logs, not traces")
        on_refusal("traces", error)
        await _abort(context, refusal(error, transport="grpc", signal="traces"))

    return export


def create_grpc_server(
    ingest: Ingest,
    *,
    max_bytes: int,
    budget: Budget,
    read_timeout_s: float = 30.0,
    on_refusal: OnRefusal = ignore_refusal,
) -> grpc.aio.Server:
    """An OTLP/gRPC server without a port: the caller adds one (it fails if taken), starts and stops it.

    ``max_bytes`` bounds a message before and after decompression.  ``budget`` bounds all messages together;
    give the HTTP server the same one.  Call it on the loop that will run the server.
    """
    server = grpc.aio.server(options=_options(max_bytes))
    reader = MessageReader(budget, max_bytes=max_bytes, timeout_s=read_timeout_s)
    services: tuple[tuple[str, Signal], ...] = ((METRICS_SERVICE, "metrics"), (LOGS_SERVICE, "logs"))
    for service, signal in services:
        exporter = _Exporter(signal, ingest, budget, reader, max_bytes, on_refusal)
        # Unary on the wire; declared as a stream so that the message is read when we ask for it, not before.
        method: _Method = grpc.stream_unary_rpc_method_handler(exporter.export)
        _add(server, service, method)
    _add(server, TRACE_SERVICE, grpc.stream_unary_rpc_method_handler(_traces(on_refusal)))
    return server


def _add(server: grpc.aio.Server, service: str, method: _Method) -> None:
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
