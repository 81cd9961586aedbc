"""Bounds on the head of an HTTP request, which uvicorn leaves open: its length, and the time it may take."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD_BYTES: Final = 64 * 1024
"""Our choice; OTLP exporters send under 1 KiB."""
_HEAD_S: Final = 15.0


class HeadGuard(HttpToolsProtocol):
    """Closes a connection whose request line and headers are too long, or take too long.

    The first request has ``_HEAD_S`` from the connection on, later ones from their first byte (before it,
    uvicorn's own keep-alive timeout holds).
    """

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Start the clock."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes while a head is incomplete."""
        if not self._in_body:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._start_clock()
        super().data_received(data)
        if not self._in_body and self._head_bytes > _HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The request line and headers take more than {_HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._in_body = True
        self._head_bytes = 0
        self._stop_clock()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next head may follow."""
        self._in_body = False
        super().on_message_complete()

    def _start_clock(self) -> None:
        self._head_timer = self.loop.call_later(_HEAD_S, self._too_slow)

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()
