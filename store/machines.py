"""Which machines the ledger knows."""

from __future__ import annotations

import asyncio

import asyncpg

from store.errors import StoreUnavailable
from store.queries import query


class MachineDirectory:
    """Asks the ledger about machines, over one connection that is opened again after it broke."""

    def __init__(self, url: str, *, timeout_s: float = 3.0) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()

    async def known(self, machine_id: str) -> bool:
        """Whether the machine has sent anything.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        async with self._turn:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await asyncpg.connect(
                        self._url, timeout=self._timeout_s, command_timeout=self._timeout_s
                    )
                return bool(await self._connection.fetchval(query("known_machine"), machine_id))
            except (OSError, EOFError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                await self._forget()
                raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
            except BaseException:
                await self._forget()
                raise

    async def close(self) -> None:
        """End the session."""
        async with self._turn:
            await self._forget()

    async def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
