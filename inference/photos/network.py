"""Connections that go to addresses which were checked.

httpcore asks its network backend for a connection to a host name; this backend resolves the name once, checks
every address that it stands for, and connects to one of those, so a name that means another address a moment
later (DNS rebinding) gains nothing.  TLS still proves the name, and the Host header still carries it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Final

import httpcore

from inference.photos.addresses import may_connect
from inference.photos.reasons import refusal

Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host name; raises OSError if it has none."""

_MOST_ADDRESSES_TRIED: Final = 3


class SystemResolver:
    """The machine's own resolver, off the event loop.

    A lookup can't be stopped; it is left behind when nobody waits for it any more, in a thread that ends with
    the process.  At most ``places`` are under way, so a name server that hangs holds only these.
    """

    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)

    async def __call__(self, host: str) -> Sequence[str]:
        """The addresses of ``host``; see ``Resolver``."""
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def finish(found: list[str] | OSError) -> None:
            self._places.release()
            if answer.done():
                return
            if isinstance(found, OSError):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def look_up() -> None:
            found: list[str] | OSError
            try:
                found = [
                    str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                ]
            except (OSError, ValueError) as error:
                found = error if isinstance(error, OSError) else OSError(str(error))
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(finish, found)

        try:
            threading.Thread(target=look_up, name="photo-names", daemon=True).start()
        except RuntimeError as error:  # no more threads
            self._places.release()
            raise OSError(str(error)) from error
        return await answer


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Opens TCP connections for httpcore, to checked addresses only."""

    def __init__(self, resolve: Resolver, *, internal: bool) -> None:
        self._resolve = resolve
        self._internal = internal
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to an address of ``host``, within ``timeout`` seconds, lookup included.

        Raises:
            BadInput: ``address_not_allowed``, if any of its addresses may not be connected to.
            httpcore.ConnectError, httpcore.ConnectTimeout: as httpcore expects.
        """
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._checked(host)
                share_s = None if timeout is None else timeout / len(addresses)
                for address in addresses[:-1]:
                    with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                        return await self._sockets.connect_tcp(
                            address, port, share_s, local_address, socket_options
                        )
                return await self._sockets.connect_tcp(
                    addresses[-1], port, timeout, local_address, socket_options
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the host does not answer") from error

    async def _checked(self, host: str) -> list[str]:
        try:
            addresses = list(dict.fromkeys(await self._addresses(host)))
        except OSError as error:
            raise httpcore.ConnectError("the host's name has no address") from error
        if not addresses:
            raise httpcore.ConnectError("the host's name has no address")
        if not all(may_connect(address, internal=self._internal) for address in addresses):
            raise refusal(
                "address_not_allowed", "the host's name stands for an address that photos do not come from"
            )
        return addresses[:_MOST_ADDRESSES_TRIED]

    async def _addresses(self, host: str) -> Sequence[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            return await self._resolve(host)
