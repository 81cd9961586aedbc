"""Both OTLP transports before an ingest that remembers, on free ports, in a thread of their own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import uvicorn
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.budget import Budget
from collector.errors import RequestError, Undecodable
from collector.grpc_server import create_grpc_server
from collector.http import create_app
from collector.ingest import Outcome, Signal
from service.http_head import HeadGuard

REQUESTS: Final[dict[Signal, type[Message]]] = {
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
EXPORT: Final[dict[str, str]] = {
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
}
Answer = Callable[[Signal, bytes], Outcome]


@dataclass
class RecordingIngest:
    """Keeps what it was given; answers ``answer``'s outcome or error, after ``delay_s``."""

    answer: Answer = lambda _signal, _body: Outcome()
    delay_s: float = 0.0
    got: list[tuple[Signal, bytes]] = field(default_factory=list)

    async def export(self, signal: Signal, body: bytes) -> Outcome:
        try:
            REQUESTS[signal].FromString(body)
        except DecodeError as error:
            raise Undecodable(str(error)) from error
        self.got.append((signal, body))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        return self.answer(signal, body)

    def requests(self) -> list[Any]:
        """What it was given, parsed."""
        return [REQUESTS[signal].FromString(body) for signal, body in self.got]


class OtlpServers:
    """A context manager: both servers run while it is open; ``options`` go to both."""

    def __init__(
        self,
        ingest: RecordingIngest,
        *,
        max_bytes: int = 64 << 20,
        budget_bytes: int = 128 << 20,
        **http: Any,
    ) -> None:
        self.ingest = ingest
        self.refusals: list[tuple[str, RequestError]] = []
        self.budget = Budget(budget_bytes)
        self.grpc_port = 0
        self.http_port = 0
        self._max_bytes = max_bytes
        self._http = http
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        def refused(signal: str, error: RequestError) -> None:
            self.refusals.append((signal, error))

        options: dict[str, Any] = {
            "max_bytes": self._max_bytes,
            "budget": self.budget,
            "on_refusal": refused,
        }
        grpc_server = create_grpc_server(self.ingest, **options)
        self.grpc_port = grpc_server.add_insecure_port("127.0.0.1:0")
        await grpc_server.start()
        app = create_app(self.ingest, **options, **self._http)
        # With the protocol named, as asyncio's own sockets have it: only then does asyncio set TCP_NODELAY.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        self.http_port = listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=HeadGuard,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        http_server = uvicorn.Server(config)
        serving = asyncio.create_task(http_server.serve([listener]))
        while not http_server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
            await asyncio.sleep(0.005)
        self._ready.set()
        await self._stop.wait()
        http_server.should_exit = True
        await serving
        await grpc_server.stop(0.5)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the servers did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    @property
    def url(self) -> str:
        """Of the HTTP server."""
        return f"http://127.0.0.1:{self.http_port}"


def raw_http(port: int, data: bytes, timeout_s: float = 5.0) -> bytes:
    """All that the server answers to these bytes until it closes, or is silent for ``timeout_s``."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(data)
        return _everything(connection)


def raw_grpc(port: int, path: str, body: bytes, headers: dict[str, str], timeout_s: float = 1.0) -> bytes:
    """A gRPC call in hand-made HTTP/2 frames: ``body`` is the DATA frame, length prefix included."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "test",
        "te": "trailers",
        "content-type": "application/grpc",
        **headers,
    }
    block = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + _frame(4, 0, 0, b"")
            + _frame(1, 4, 1, block)
            + _frame(0, 1, 1, body)
        )
        return _everything(connection)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _everything(connection: socket.socket) -> bytes:
    received = b""
    try:
        while data := connection.recv(65_536):
            received += data
    except (TimeoutError, ConnectionResetError):
        pass
    return received
