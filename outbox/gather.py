"""Puts of many coroutines at once: what comes while the disk is busy is written together, with one fsync."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from outbox.errors import OutboxError, OutboxUnusable
from outbox.sender import Signal
from outbox.spool import Spool


class Gather:
    """Puts requests of one signal into a spool; for the coroutines of one event loop.

    ``put`` returns when the request is on disk.  It never blocks the loop: writing happens in a thread of its
    own, so that a busy pool elsewhere can't hold it up.
    """

    def __init__(self, spool: Spool, signal: Signal) -> None:
        self._spool = spool
        self._signal: Signal = signal
        self._waiting: list[tuple[tuple[bytes, ...], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "outbox")

    async def put(self, *bodies: bytes) -> None:
        """Keep requests, all of them or, if it raises, none.

        A caller that is cancelled leaves its requests to be written all the same.

        Raises:
            OutboxFull: too much is waiting; nothing was kept.
            OutboxUnusable: the file can't be written; nothing was kept.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((bodies, done))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await done

    async def close(self) -> None:
        """Wait for what is being written, then end the thread; the spool stays open."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown(wait=False)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            bodies = [body for put, _ in group for body in put]
            failure: OutboxError | None = None
            try:
                await loop.run_in_executor(self._thread, lambda: self._spool.put(self._signal, *bodies))  # noqa: B023
            except OutboxError as error:
                failure = error
            except Exception as error:  # noqa: BLE001  (a defect must not leave callers waiting for ever)
                failure = OutboxUnusable(f"the outbox can't be written: {error}")
            for _, done in group:
                if done.done():
                    continue  # its caller was cancelled
                if failure is None:
                    done.set_result(None)
                else:
                    done.set_exception(failure)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
