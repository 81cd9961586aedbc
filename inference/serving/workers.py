"""Threads that models run in, with a bound on what is under way: the event loop never waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from inference.errors import Unavailable

_Result = TypeVar("_Result")


class Workers:
    """A pool of threads for one kind of work.

    Batches share one half of the room, single items have the whole: nobody's batch shuts all others out.
    """

    def __init__(self, name: str, threads: int, max_in_flight: int) -> None:
        """``max_in_flight`` counts items, waiting ones included."""
        self._pool = ThreadPoolExecutor(threads, f"inference-{name}")
        self._max_in_flight = max_in_flight
        self.threads = threads
        self.in_flight = 0
        self._batched = 0

    @contextmanager
    def admitted(self, items: int = 1) -> Iterator[None]:
        """Room for that many items.

        Raises:
            Unavailable: too many are under way; a batch larger than all the room of batches may come alone.
        """
        batch = items if items > 1 else 0
        singles = self.in_flight - self._batched
        full = self._batched and self._batched + batch > self._max_in_flight // 2
        if full if batch else singles >= self._max_in_flight:
            raise Unavailable(f"{self.in_flight} items are under way: try again in a second", reason="busy")
        self.in_flight += items
        self._batched += batch
        try:
            yield
        finally:
            self.in_flight -= items
            self._batched -= batch

    async def run(self, work: Callable[..., _Result], *arguments: object) -> _Result:
        """The result of ``work``, done in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def close(self) -> None:
        """Finish what runs; take no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
