"""TCP ports on the loopback interface."""

from __future__ import annotations

import socket

import psutil

from tally.errors import PortTaken


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody uses, and that for a minute the system gives to nobody who asks for any port.

    A connection that was closed on our side stays behind in TIME_WAIT: over such a port only a server can be
    started that names it and sets SO_REUSEADDR, as servers do.
    """
    with socket.socket() as listener, socket.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.close()  # before the client does: who closes first waits
        port: int = listener.getsockname()[1]
        return port


def check_free(port: int, variable: str, host: str = "127.0.0.1") -> None:
    """Raise PortTaken, naming the port, its setting and, where the system tells it, the holder."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are in TIME_WAIT can be bound.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = f"port {port} on {host} can't be used ({error.strerror}{_holder(port)})"
            raise PortTaken(f"{message}; free it or set {variable} to another port") from error


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return ""
    for connection in connections:
        address = connection.laddr
        if not address or connection.status != psutil.CONN_LISTEN or connection.pid is None:
            continue
        if address.port == port:
            try:
                return f", held by {psutil.Process(connection.pid).name()}, pid {connection.pid}"
            except psutil.Error:
                return ""
    return ""
