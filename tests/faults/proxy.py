"""A TCP proxy before PostgreSQL that breaks connections where it hurts: at a named moment of the protocol."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import replace
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from tally.testing import Database

Moment = Literal["copy under way", "commit asked", "commit done"]
"""Seen in the bytes: rows are being sent; the COMMIT has left the client; the server's reply to it arrives.
What shows the moment is not passed on, so at ``commit asked`` the server has not heard of it."""
Fault = Literal["cut", "stall"]

_COPY_HEADER: Final = b"PGCOPY\n\xff"
_COMMIT: Final = b"COMMIT;"
_COMMITTED: Final = b"COMMIT\x00"


class Proxy:
    """Passes everything on, until ``arm`` says otherwise; listens while it is open as a context manager."""

    def __init__(self, url: str) -> None:
        """``url`` is PostgreSQL's."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = parts.hostname, parts.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._moment: Moment | None = None
        self._fault: Fault = "cut"
        self._left = 0
        self.struck = 0
        self._stalled = threading.Event()
        self._released = threading.Event()
        self._sockets: list[socket.socket] = []
        self._closing = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def url(self, url: str) -> str:
        """``url`` with this proxy's address."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}", query="sslmode=disable"))

    def before(self, database: Database) -> Database:
        """``database``, its collector's URL leading through this proxy."""
        return replace(database, collector_url=self.url(database.collector_url))

    def arm(self, fault: Fault, moment: Moment, times: int = 1) -> None:
        """The next ``times`` connections that come to that moment break so."""
        with self._lock:
            self._fault, self._moment, self._left = fault, moment, times

    def wait_stalled(self, within_s: float) -> None:
        """Wait until a connection hangs."""
        assert self._stalled.wait(within_s), f"no connection stalled in {within_s} s"

    def __enter__(self) -> Self:
        """Start to listen."""
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        self._closing = True
        self._released.set()
        _shut(self._listener)
        for connected in list(self._sockets):
            _shut(connected)
        for thread in list(self._threads):
            thread.join(10)

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                continue
            server.settimeout(None)
            for connected in (client, server):
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(connected)
            connection = _Connection(self, client, server)
            for pump in (connection.upstream, connection.downstream):
                self._threads.append(threading.Thread(target=pump, daemon=True))
                self._threads[-1].start()

    def strikes(self, moment: Moment) -> Fault | None:
        """The fault to play at this moment of some connection, if one is armed."""
        with self._lock:
            if self._left == 0 or moment != self._moment:
                return None
            self._left -= 1
            self.struck += 1
            return self._fault

    def hang(self) -> None:
        """Pass nothing on and close nothing, as a network does that has lost its way, until the end."""
        self._stalled.set()
        self._released.wait()


class _Connection:
    """A client's connection and the server's behind it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._hanging = False

    def upstream(self) -> None:
        """From the client to the server."""
        with contextlib.suppress(OSError):
            while data := self._client.recv(1 << 16):
                if _COPY_HEADER in data and self._strike("copy under way"):
                    break
                if _COMMIT in data and self._strike("commit asked"):
                    break
                self._server.sendall(data)
        self._end()

    def downstream(self) -> None:
        """From the server to the client."""
        with contextlib.suppress(OSError):
            while data := self._server.recv(1 << 16):
                if _COMMITTED in data and self._strike("commit done"):
                    break
                self._client.sendall(data)
        self._end()

    def _strike(self, moment: Moment) -> bool:
        fault = self._proxy.strikes(moment)
        if fault == "stall":
            self._hanging = True
            self._proxy.hang()
        return fault is not None

    def _end(self) -> None:
        if self._hanging:
            self._proxy.hang()  # the other direction hangs too: the server does not hear that the client left
        _shut(self._client)
        _shut(self._server)


def _shut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
    connected.close()
