"""An HTTP server within a program that has a life of its own: started, left alone, ended."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn

from service.http_head import HeadGuard


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: a process has one way to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@contextlib.asynccontextmanager
async def serving(app: object, host: str, port: int, what: str) -> AsyncIterator[None]:
    """Serve an ASGI application; in the end requests under way have two seconds.

    Raises:
        OSError: it can't listen there; the message names ``what`` (as in "OTLP/HTTP") and the address.
    """
    try:
        listener = socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise OSError(f"{what} can't listen on {host}:{port}: {error.strerror}") from error
    server = _Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]  # an ASGI application
            log_config=None,
            access_log=False,
            http=HeadGuard,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            lifespan="off",
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task
