"""One request to a server that nobody trusts: a deadline for all of it, and a bound on what it may send.

A client's own limits are for each wait, so that a drop at a time would take for ever.  Here the time counts
from the first look-up of the name to the last byte.  Nothing is decoded: status and bytes are passed on
as they came.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from collections.abc import Mapping

import httpx

from audit.errors import AuditError


class Unanswered(AuditError):
    """A server gave no whole answer in time; the message says why, without its address."""


class NoAddress(Unanswered):
    """A URL is none that can be asked; asking again will not help."""


def bounded_exchange(
    method: str,
    url: str,
    *,
    content: bytes | None = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
    most_bytes: int,
) -> tuple[int, bytes]:
    """The status and the whole body of the answer, which may have any status; redirections are not followed.

    Takes at most ``timeout_s``, and blocks: where an event loop runs, call it in a thread beside that.  The
    environment's proxies are not asked.

    Raises:
        NoAddress: the URL is none.
        Unanswered: the server can't be reached, is too slow, or answers more than ``most_bytes``.
    """
    loop = asyncio.new_event_loop()
    try:
        request = httpx.Request(
            method,
            url,
            content=content,
            params=params,
            headers={"Accept-Encoding": "identity"} | dict(headers or {}),
        )
        if not request.url.host or not 0 <= (request.url.port or 0) < 2**16:
            raise httpx.InvalidURL("no host, or no such port")  # noqa: TRY301
        return loop.run_until_complete(_exchange(request, timeout_s, most_bytes))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        raise NoAddress(f"{url[:200]!r} is no address: expected http:// or https:// and a host") from error
    except TimeoutError as error:
        raise Unanswered(f"no whole answer within {timeout_s:.1f} s") from error
    except (httpx.HTTPError, OSError, ExceptionGroup) as error:
        raise Unanswered(str(error) or type(error).__name__) from error
    finally:
        # Unlike asyncio.run, this does not wait for a name's look-up that goes on in its thread.
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _exchange(request: httpx.Request, timeout_s: float, most_bytes: int) -> tuple[int, bytes]:
    body = bytearray()
    async with (
        asyncio.timeout(timeout_s),
        httpx.AsyncClient(verify=_authorities(), trust_env=False) as client,
        contextlib.aclosing(await client.send(request, stream=True)) as answer,
    ):
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > most_bytes:
                raise Unanswered(f"it answers more than {most_bytes} bytes")
        return answer.status_code, bytes(body)


@functools.cache
def _authorities() -> ssl.SSLContext:
    """Whose certificates are believed; made once, as that takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)
