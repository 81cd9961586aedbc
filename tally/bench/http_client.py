"""An HTTP/1.1 client for measuring: what it costs itself is a small part of what it measures.

It speaks to one server over connections that are kept open, one request at a time on each; more are opened
when all are busy.  It reads answers with a Content-Length, which is all that our services send.
"""

from __future__ import annotations

import asyncio
import json
import re
from types import TracebackType
from typing import Any, Final, Self, cast

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Connection(asyncio.Protocol):
    """One connection; ``ask`` may be called again when the answer has come."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._body_at = 0
        self._wanted = 0
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @property
    def usable(self) -> bool:
        """Open, as far as one knows."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        if not self._wanted:
            head = self._received.find(b"\r\n\r\n")
            if head < 0:
                return
            length = _LENGTH.search(self._received, 0, head + 2)
            self._body_at = head + 4
            self._wanted = self._body_at + (0 if length is None else int(length[1]))
        if len(self._received) >= self._wanted and self._answer is not None:
            status = int(self._received[9:12])
            body = self._received[self._body_at : self._wanted]
            self._received, self._wanted = b"", 0
            answer, self._answer = self._answer, None
            if not answer.done():
                answer.set_result((status, body))

    def connection_lost(self, exc: Exception | None) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(ConnectionError("the server closed the connection") if exc is None else exc)
        self._transport = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            ConnectionError: the connection ended before it had come.
        """
        if self._transport is None:
            raise ConnectionError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close it; who waits for an answer gets a ConnectionError."""
        if self._transport is not None:
            self._transport.close()


class Client:
    """Requests to one server; an asynchronous context manager."""

    def __init__(self, host: str, port: int, token: str | None = None) -> None:
        """``token`` is sent as a bearer token."""
        self._host, self._port = host, port
        bearer = "" if token is None else f"authorization: Bearer {token}\r\n"
        self._head = f"host: {host}:{port}\r\n{bearer}".encode()
        self._idle: list[_Connection] = []

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """The bytes of a request, to be made once and sent often; ``body`` becomes JSON."""
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        head = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(content) if content else b""
        return b"%s %s HTTP/1.1\r\n%s%s\r\n%s" % (method.encode(), path.encode(), self._head, head, content)

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; status and body of the answer.

        Raises:
            OSError: no connection, or it was cut.
        """
        connection = None
        while self._idle and connection is None:
            kept = self._idle.pop()
            connection = kept if kept.usable else None
        if connection is None:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, self._host, self._port)
        answer = await connection.ask(request)
        self._idle.append(connection)
        return answer

    async def get(self, path: str) -> tuple[int, bytes]:
        """GET."""
        return await self.send(self.request("GET", path))

    async def post(self, path: str, body: object = None) -> tuple[int, Any]:
        """POST; the answer's body as JSON."""
        status, content = await self.send(self.request("POST", path, body))
        return status, json.loads(content or b"null")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._idle:
            connection.close()
