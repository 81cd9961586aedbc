"""How HTTP bodies are read: bounded in length, in memory and in time, and never cut off without an answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Final

from starlette.requests import Request

from collector.budget import Holding
from collector.errors import TooLarge, TryLater

_RETRY_AFTER_S: Final = 1.0
_DISCARD_S: Final = 10.0
"""Most clients read no answer before they have sent everything, so the rest of a refused body is taken in,
and thrown away, for this long and as far as a body may be long; our choice."""


async def read_body(request: Request, limit_bytes: int, holding: Holding, timeout_s: float) -> bytes:
    """The body as it came, perhaps compressed; its bytes are held as they arrive.

    Raises:
        TooLarge: over the limit, by its Content-Length or, if that is missing or was a lie, as it came.
        TryLater: no room, or the client took longer than ``timeout_s``.
        starlette.requests.ClientDisconnect: the client left; nobody is there to be told.
    """
    chunks = request.stream()
    try:
        _check_declared(request, limit_bytes)
        async with asyncio.timeout(timeout_s):
            return await _collect(chunks, limit_bytes, holding)
    except TimeoutError:
        raise TryLater(f"the body did not arrive within {timeout_s:g} s", _RETRY_AFTER_S) from None
    except (TooLarge, TryLater):
        if request.headers.get("expect", "").lower() != "100-continue":  # such a client reads before it sends
            await _discard(chunks, limit_bytes)
        raise


def _check_declared(request: Request, limit_bytes: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit_bytes:
        raise TooLarge(f"the body has {declared[:20]} bytes; {limit_bytes} is the limit")


async def _collect(chunks: AsyncIterator[bytes], limit_bytes: int, holding: Holding) -> bytes:
    body = BytesIO()
    async for chunk in chunks:
        if body.tell() + len(chunk) > limit_bytes:
            raise TooLarge(f"the body has more than {limit_bytes} bytes, the limit")
        holding.grow(len(chunk))
        body.write(chunk)
    return body.getvalue()


async def _discard(chunks: AsyncIterator[bytes], limit_bytes: int) -> None:
    discarded = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_S):
            async for chunk in chunks:
                discarded += len(chunk)
                if discarded > limit_bytes:
                    return
