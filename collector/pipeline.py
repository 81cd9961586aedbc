"""Group commit: requests wait together, are chained together and committed together.

Two batches are under way at any time.  While one is written, the next is chained on the heads that the first
will leave, so that neither PostgreSQL nor the hashing waits for the other.  If the guess was wrong (another
collector moved a head, the first batch failed), the writer chains again on the heads that it finds, and the
guesses made on the wrong one are made anew: ``_generation`` tells which.

A request is acknowledged after its commit, never before.  A batch that the database can't take now is kept and
tried again; meanwhile its clients are told to try later, and their retries join the waiting request, here or,
once it is committed, by its digest in the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import structlog

from collector.errors import TryLater, Undecodable
from collector.metrics import CollectorMetrics
from ledger.batch import Chained, ChainKey, Head, Request, chain_batch, chain_keys
from store.errors import StoreRejected, StoreUnavailable
from store.writer import Appended

_FIRST_BACKOFF_S: Final = 0.1
_LAST_BACKOFF_S: Final = 5.0
_EXPECTED_CHAINS: Final = 200_000
"""Chains whose heads are kept in memory; beyond, they are read again."""

log = structlog.get_logger("collector.pipeline")


class Writer(Protocol):
    """What the pipeline needs of ``store.writer.LedgerWriter``."""

    async def append(self, requests: Sequence[Request], guess: Chained | None = None) -> Appended:
        """Commit the requests."""
        ...

    async def heads(self, keys: Sequence[ChainKey]) -> dict[ChainKey, Head]:
        """The committed heads."""
        ...


class Pipeline:
    """The bounded queue before the database, and the two tasks that empty it."""

    def __init__(
        self,
        writer: Writer,
        reader: Writer,
        metrics: CollectorMetrics,
        *,
        max_queue_rows: int,
        max_batch_rows: int,
        retry_after_s: float,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._metrics = metrics
        self._max_queue_rows = max_queue_rows
        self._max_batch_rows = max_batch_rows
        self._retry_after_s = retry_after_s
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._queue: deque[Request] = deque()
        self._queued_rows = 0
        self._arrived = asyncio.Event()
        self._prepared: asyncio.Queue[tuple[list[Request], Chained | None, int]] = asyncio.Queue(maxsize=1)
        self._expected: dict[ChainKey, Head] = {}
        self._generation = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def pending_requests(self) -> int:
        """Requests accepted and not committed yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Start the two tasks on the running loop."""
        self._tasks = [
            asyncio.create_task(self._prepare_forever(), name="prepare"),
            asyncio.create_task(self._commit_forever(), name="commit"),
        ]

    def accept(self, request: Request) -> asyncio.Future[None]:
        """Queue a request; the future is done when its rows are committed.

        A request that is waiting already gets the same future: the client has lost patience and sent it
        again.  Await it shielded, since others may wait for it too.

        Raises:
            TryLater: the queue is full or the collector is stopping.
        """
        waiting = self._waiting.get(request.digest)
        if waiting is not None:
            return waiting
        if self._stopping:
            raise TryLater("the collector is stopping", self._retry_after_s)
        if self._queued_rows and self._queued_rows + request.row_count > self._max_queue_rows:
            raise TryLater(f"{self._queued_rows} rows are waiting for the database", self._retry_after_s)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieved)
        self._waiting[request.digest] = future
        self._queue.append(request)
        self._queued_rows += request.row_count
        self._gauges()
        self._arrived.set()
        return future

    async def failed(self) -> None:
        """Returns only if a task of the pipeline has died, which is a defect: stop the process, loudly."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def drain(self, within_s: float) -> int:
        """Take no more, wait until all is committed or time is up; returns how many requests are not.

        Those were never acknowledged: their clients still have them.
        """
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._waiting:
                    await asyncio.wait(self._waiting.values(), return_when=asyncio.ALL_COMPLETED)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        left = len(self._waiting)
        for digest in list(self._waiting):
            self._fail(digest, TryLater("the collector stopped before the commit", self._retry_after_s))
        return left

    async def _prepare_forever(self) -> None:
        while True:
            await self._arrived.wait()
            requests = self._next_batch()
            if requests:
                guess, generation = await self._guess(requests)
                await self._prepared.put((requests, guess, generation))

    def _next_batch(self) -> list[Request]:
        requests: list[Request] = []
        rows = 0
        while self._queue and (not rows or rows + self._queue[0].row_count <= self._max_batch_rows):
            request = self._queue.popleft()
            requests.append(request)
            rows += request.row_count
        if not self._queue:
            self._arrived.clear()
        return requests

    async def _guess(self, requests: list[Request]) -> tuple[Chained | None, int]:
        """The batch chained on the heads that the batches before it will leave, None if they can't be read."""
        keys = chain_keys(requests)
        # The commit task may reset the expectations while the heads are read, so look again after.
        while unknown := [key for key in keys if key not in self._expected]:
            generation = self._generation
            try:
                found = await self._reader.heads(unknown)
            except StoreUnavailable:
                return None, self._generation
            if generation == self._generation:
                self._expected.update(found)
        if len(self._expected) > _EXPECTED_CHAINS:
            self._expected = {key: self._expected[key] for key in keys}
        chained = chain_batch(requests, self._expected)
        self._expected.update(chained.after)
        return chained, self._generation

    def _expect(self, heads: Mapping[ChainKey, Head]) -> None:
        """Start guessing anew from these heads; guesses made before don't hold."""
        self._generation += 1
        self._expected = dict(heads)

    async def _commit_forever(self) -> None:
        while True:
            requests, guess, generation = await self._prepared.get()
            if generation != self._generation:
                guess, _ = await self._guess(requests)
            await self._commit(requests, guess)

    async def _commit(self, requests: list[Request], guess: Chained | None) -> None:
        """Write a batch however long it takes; a request that can never be written fails alone."""
        backoff_s = _FIRST_BACKOFF_S
        while True:
            started = time.perf_counter()
            try:
                appended = await self._writer.append(requests, guess)
            except StoreUnavailable as error:
                self._metrics.database_up.set(0)
                self._metrics.commit_failures.labels("retried").inc()
                self._expect({})
                guess = None
                log.warning("commit failed, trying again", error=str(error), backoff_s=backoff_s)
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _LAST_BACKOFF_S)
            except StoreRejected as error:
                self._expect({})
                await self._isolate(requests, error)
                return
            else:
                self._metrics.commit_seconds.observe(time.perf_counter() - started)
                if appended.chained is not guess:
                    self._expect({} if appended.chained is None else appended.chained.after)
                self._acknowledge(requests, appended)
                return

    async def _isolate(self, requests: list[Request], error: StoreRejected) -> None:
        """Find the request that the database refuses, so that the others are not lost with it."""
        self._metrics.commit_failures.labels("isolated").inc()
        if len(requests) == 1:
            log.error("the database refuses a request", error=str(error))
            message = "the database refuses a value of this request; see the collector's log"
            self._fail(requests[0].digest, Undecodable(message))
            self._leave(requests)
            return
        middle = len(requests) // 2
        await self._commit(requests[:middle], None)
        await self._commit(requests[middle:], None)

    def _acknowledge(self, requests: list[Request], appended: Appended) -> None:
        metrics = self._metrics
        metrics.database_up.set(1)
        metrics.duplicates.inc(len(appended.duplicates))
        if appended.rechained:
            metrics.chain_conflicts.inc()
        if appended.chained is not None:
            metrics.batch_rows.observe(sum(appended.chained.rows.values()))
            for stream, count in appended.chained.rows.items():
                metrics.rows.labels(stream).inc(count)
        for request in requests:
            future = self._waiting.pop(request.digest)
            if not future.done():
                future.set_result(None)
        self._leave(requests)

    def _fail(self, digest: bytes, error: Exception) -> None:
        future = self._waiting.pop(digest)
        if not future.done():
            future.set_exception(error)

    def _leave(self, requests: list[Request]) -> None:
        self._queued_rows -= sum(request.row_count for request in requests)
        self._gauges()

    def _gauges(self) -> None:
        self._metrics.queue_rows.set(self._queued_rows)
        self._metrics.queue_requests.set(len(self._waiting))


def _retrieved(future: asyncio.Future[None]) -> None:
    """A failure nobody waits for any more is not an error of the loop."""
    if not future.cancelled():
        future.exception()
