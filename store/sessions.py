"""The database of a service that reads the ledger and keeps tables of its own beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg

from store.queries import query
from store.translation import translated

_ACQUIRE_S: Final = 10.0
_SETTINGS: Final = {"application_name": "tally inference", "jit": "off", "work_mem": "32MB"}
"""Compiling a query takes longer than it saves on them; a week's answers are sorted in memory."""


class Sessions:
    """A few connections, opened when needed and again after they broke; for tasks of one event loop.

    Raises (every method):
        StoreUnavailable: the database can't be reached, or refuses the login.
        StoreRejected: it refuses these values.
    """

    def __init__(self, url: str, *, most: int = 4, timeout_s: float = 10.0) -> None:
        """``timeout_s`` bounds a connection's opening and each statement."""
        self._url = url
        self._most = most
        self._timeout_s = timeout_s
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def fetch(self, name: str, *values: object) -> list[asyncpg.Record]:
        """The rows of the named query."""
        async with self._connection() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(query(name), *values)
            return rows

    async def copy(self, name: str, *values: object) -> bytes:
        """The rows of the named query as a binary COPY file.

        COPY takes no parameters: the driver quotes the values and writes them into the text.
        """
        pieces: list[bytes] = []

        async def keep(piece: bytes) -> None:
            pieces.append(piece)

        async with self._connection() as connection, connection.transaction(readonly=True):
            await connection.copy_from_query(query(name), *values, output=keep, format="binary")
        return b"".join(pieces)

    async def all_or_none(self, *statements: tuple[str, tuple[object, ...]]) -> list[list[Any]]:
        """The rows of each named query with its values, all in one transaction."""
        async with self._connection() as connection, connection.transaction():
            return [await connection.fetch(query(name), *values) for name, values in statements]

    async def close(self) -> None:
        """Close the connections; a later use opens new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        async with translated():
            async with self._opening:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._url,
                        min_size=0,
                        max_size=self._most,
                        timeout=self._timeout_s,
                        command_timeout=self._timeout_s,
                        server_settings=_SETTINGS,
                    )
            async with self._pool.acquire(timeout=_ACQUIRE_S) as connection:
                yield connection
