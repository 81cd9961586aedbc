"""GET requests to the hosts of one rule.

Each rule has a lane of its own: places, connections and name lookups.  A host that hangs holds the places of
its own lane until their time is over, and takes nothing from another's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

import httpcore

from inference.errors import BadInput
from inference.photos.network import CheckedNetwork, Resolver, SystemResolver
from inference.photos.reasons import refusal
from inference.photos.rules import PhotoRules
from inference.photos.urls import WebUrl

_KEPT_OPEN_S: Final = 15.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_GONE: Final = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that sends elsewhere; it was not followed."""

    location: bytes


class Lane:
    """Fetches from the hosts of one rule, ``rules.places`` at a time, never through a proxy."""

    def __init__(
        self, rules: PhotoRules, tls: ssl.SSLContext, resolver: Resolver | None, *, internal: bool
    ) -> None:
        self._max_bytes = rules.max_bytes
        self._places = asyncio.Semaphore(rules.places)
        self._timeouts = {"connect": rules.connect_s, "read": rules.total_s, "write": rules.total_s}
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=rules.places,
            keepalive_expiry=_KEPT_OPEN_S,
            network_backend=CheckedNetwork(resolver or SystemResolver(rules.places), internal=internal),
        )

    async def aclose(self) -> None:
        """Close what connections are kept open."""
        await self._pool.aclose()

    async def get(self, url: WebUrl, headers: Mapping[str, str]) -> bytes | Redirect:
        """The body of an answer 200, or the redirect.  The caller bounds the time.

        Raises:
            BadInput: ``address_not_allowed``, ``host_timeout``, ``host_failed``, ``photo_not_found``,
                ``photo_too_large``.  No message names the host: of a redirect or an S3 service the caller
                does not know it.
        """
        async with self._places:
            try:
                return await self._get(url, headers)
            except BadInput:
                raise
            except (httpcore.TimeoutException, TimeoutError) as error:
                raise refusal("host_timeout", "the photo's host does not answer in time") from error
            except (
                Exception
            ) as error:  # what libraries raise on what a hostile host sends is not for us to list
                raise refusal("host_failed", "no photo can be fetched from that host") from error

    async def _get(self, url: WebUrl, headers: Mapping[str, str]) -> bytes | Redirect:
        sent = [
            (b"Host", url.authority.encode()),
            (b"User-Agent", b"tally-inference"),
            (b"Accept", b"image/jpeg, image/png, image/webp"),
            (b"Accept-Encoding", b"identity"),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ]
        address = httpcore.URL(
            scheme=url.scheme.encode(), host=url.host.encode(), port=url.port, target=url.target.encode()
        )
        answered = False
        try:
            async with self._stream(address, sent) as response:
                answered = True
                return await self._read(response)
        except (httpcore.ReadError, httpcore.RemoteProtocolError):
            if answered:
                raise
        # A connection that was kept open can end in the moment in which it is used again: once more, then.
        async with self._stream(address, sent) as response:
            return await self._read(response)

    def _stream(
        self, address: httpcore.URL, headers: list[tuple[bytes, bytes]]
    ) -> AbstractAsyncContextManager[httpcore.Response]:
        return self._pool.stream("GET", address, headers=headers, extensions={"timeout": self._timeouts})

    async def _read(self, response: httpcore.Response) -> bytes | Redirect:
        answer = {name.lower(): value for name, value in response.headers}
        if response.status in _REDIRECTS and b"location" in answer:
            return Redirect(answer[b"location"])
        if response.status in _GONE:
            raise refusal("photo_not_found", "the host has no such photo")
        if response.status != 200:
            raise refusal("host_failed", f"the host answered with status {response.status}, not 200")
        if answer.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise refusal("host_failed", "the host sent the photo compressed, which was not asked for")
        announced = answer.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced[:20]) > self._max_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_stream():
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_large(self) -> BadInput:
        return refusal("photo_too_large", f"the photo has more than {self._max_bytes} bytes")
