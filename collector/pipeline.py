"""Group commit: requests wait together, are chained together and committed together.

Batches are written on two connections.  A batch is chained on the heads that the batch before it will
leave, while that one is copied, and copied beside it, so that neither PostgreSQL nor the hashing waits for
the other; the writer locks and compares the heads at the end, so the order of commits is
the order of the chains.  If a guess was wrong (another collector moved a head, a batch failed), the writer
chains again on what it finds, and for a while nothing is guessed.

A request is acknowledged after its commit, never before.  A batch that the database can't take now is kept
and tried again; meanwhile its clients are told to try later, and their retries join the waiting request,
here or, once it is committed, by its digest in the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from collector.errors import RequestError, TryLater, Undecodable
from collector.metrics import CollectorMetrics
from collector.tracing import span
from ledger.batch import Chained, ChainKey, Head, Request, chain_batch, chain_keys
from store.errors import StoreDefect, StoreError, StoreRejected, StoreUnavailable
from store.writer import Appended, Turn

_FIRST_BACKOFF_S: Final = 0.1
_LAST_BACKOFF_S: Final = 5.0
_DISTRUST_BATCHES: Final = 8
"""Batches that lock first and chain then, after a wrong guess: two collectors on the same machines would
otherwise copy nearly every batch twice."""
_OVERLAP_ROWS: Final = 5_000
"""Fewer rows than this are worth waiting for: one larger transaction costs less than two small ones."""
_LINGER_S: Final = 0.002
"""What the first request of a small batch waits for others; a commit takes longer than that."""
_MOST_KEPT: Final = 200_000
"""Chains, senders and days that are remembered; beyond, they are looked up again."""

log = structlog.get_logger("collector.pipeline")


class Writer(Protocol):
    """What the pipeline needs of ``store.writer.LedgerWriter``."""

    async def append(
        self, requests: Sequence[Request], guess: Chained | None = None, turn: Turn | None = None
    ) -> Appended:
        """Commit the requests."""
        ...

    async def heads(self, keys: Sequence[ChainKey]) -> dict[ChainKey, Head]:
        """The committed heads."""
        ...


class Pipeline:
    """The bounded queue before the database, and the tasks that empty it."""

    def __init__(
        self,
        writers: Sequence[Writer],
        reader: Writer,
        metrics: CollectorMetrics,
        *,
        max_queue_rows: int,
        max_queue_bytes: int,
        max_batch_rows: int,
        retry_after_s: float,
    ) -> None:
        self._reader = reader
        self._metrics = metrics
        self._max_queue_rows = max_queue_rows
        self._max_queue_bytes = max_queue_bytes
        self._max_batch_rows = max_batch_rows
        self._retry_after_s = retry_after_s
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._queue: deque[Request] = deque()
        self._queued_rows = 0
        self._queued_bytes = 0
        self._unsent_rows = 0
        self._changed = asyncio.Event()
        self._free: asyncio.Queue[Writer] = asyncio.Queue()
        for writer in writers:
            self._free.put_nowait(writer)
        self._turn: Turn | None = None
        self._familiar: set[object] = set()
        self._alone = False
        self._commits: set[asyncio.Task[None]] = set()
        self._dispatcher: asyncio.Task[None] | None = None
        self._broken: asyncio.Event = asyncio.Event()
        self._expected: dict[ChainKey, Head] = {}
        self._distrust = 0
        self._stopping = False
        self._stalled: str | None = None
        metrics.queue_rows.set_function(lambda: self._queued_rows)
        metrics.queue_requests.set_function(lambda: len(self._waiting))

    @property
    def stalled(self) -> str | None:
        """Why the database takes no batch now, if the last one has failed more than once; else None."""
        return self._stalled

    @property
    def pending_requests(self) -> int:
        """Requests accepted and not committed yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Start taking batches from the queue, on the running loop."""
        self._dispatcher = asyncio.create_task(self._dispatch_forever(), name="dispatch")
        self._dispatcher.add_done_callback(self._ended)

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
        if self._queued_rows and self._queued_bytes + request.size_bytes > self._max_queue_bytes:
            raise TryLater(f"{self._queued_bytes} bytes are waiting for the database", self._retry_after_s)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieved)
        self._waiting[request.digest] = future
        self._queue.append(request)
        self._queued_rows += request.row_count
        self._queued_bytes += request.size_bytes
        self._unsent_rows += request.row_count
        self._changed.set()
        return future

    async def failed(self) -> None:
        """Returns only if a task of the pipeline has died, which is a defect: stop the process, loudly."""
        await self._broken.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._commits.discard(task)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("a task of the pipeline died", task=task.get_name(), exc_info=error)
            self._broken.set()

    async def drain(self, within_s: float) -> int:
        """Take no more, wait until all is committed or time is up; returns how many requests are not.

        Those were never acknowledged: their clients still have them.
        """
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._waiting:
                    await asyncio.wait(self._waiting.values(), return_when=asyncio.ALL_COMPLETED)
        tasks = [task for task in (self._dispatcher, *self._commits) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        left = len(self._waiting)
        for digest in list(self._waiting):
            self._fail(digest, TryLater("the collector stopped before the commit", self._retry_after_s))
        return left

    async def _dispatch_forever(self) -> None:
        while True:
            await self._changed.wait()
            if not self._commits and self._unsent_rows < _OVERLAP_ROWS:
                await asyncio.sleep(_LINGER_S)
            self._changed.clear()
            while requests := self._next_batch():
                guess = await self._guess(requests)
                if guess is None:
                    self._alone = True  # nobody knows yet which heads it will leave
                writer = await self._free.get()
                turn = self._turn = Turn(self._turn if self._commits else None)
                task = asyncio.create_task(
                    self._commit_and_free(writer, requests, guess, turn), name="commit"
                )
                self._commits.add(task)
                task.add_done_callback(self._ended)

    def _next_batch(self) -> list[Request]:
        """What to write now; nothing if it is better to wait for a batch under way.

        A batch joins another under way only if that pays (there is enough to copy) and is safe: both must not
        create the same chunk or describe the same sender, or one would wait for the other in the database
        while that one waits for its turn here.
        """
        overlap = bool(self._commits)
        if not self._queue:
            return []
        if overlap and (self._alone or not self._expected or self._unsent_rows < _OVERLAP_ROWS):
            return []
        requests: list[Request] = []
        rows = 0
        while self._queue and (not rows or rows + self._queue[0].row_count <= self._max_batch_rows):
            new = (self._queue[0].resources.keys() | self._queue[0].days) - self._familiar
            if new and overlap:
                break
            if new:
                self._alone = True
                self._familiar |= new
            request = self._queue.popleft()
            requests.append(request)
            rows += request.row_count
        self._unsent_rows -= rows
        return requests

    async def _guess(self, requests: list[Request]) -> Chained | None:
        """The batch chained on the heads that the batches before it will leave, if they are known."""
        if self._distrust:
            self._distrust -= 1
            self._expected.clear()
            return None
        keys = chain_keys(requests)
        if len(self._expected) > _MOST_KEPT and not self._commits:
            self._expected.clear()
        if len(self._familiar) > _MOST_KEPT:
            self._familiar.clear()
        if unknown := [key for key in keys if key not in self._expected]:
            try:
                found = await self._reader.heads(unknown)
            except StoreError:
                return None
            self._expected.update(found)
            if any(key not in self._expected for key in keys):
                return None  # a commit went wrong meanwhile, and the expectations with it
        chained = chain_batch(requests, self._expected)
        self._expected.update(chained.after)
        return chained

    async def _commit_and_free(
        self, writer: Writer, requests: list[Request], guess: Chained | None, turn: Turn
    ) -> None:
        await self._commit(writer, requests, guess, turn)
        self._free.put_nowait(writer)
        self._alone = False

    def _doubt(self) -> None:
        """What was expected is wrong: guess nothing for a while, write one batch at a time."""
        self._distrust = _DISTRUST_BATCHES
        self._expected.clear()

    async def _commit(
        self, writer: Writer, requests: list[Request], guess: Chained | None, turn: Turn
    ) -> None:
        """Write a batch however long it takes; a request that can never be written fails alone."""
        backoff_s = _FIRST_BACKOFF_S
        while True:
            started = time.perf_counter()
            try:
                with span("commit", requests=len(requests)):
                    appended = await writer.append(requests, guess, turn)
            except StoreUnavailable as error:
                self._doubt()
                guess = None
                if backoff_s > _FIRST_BACKOFF_S:
                    self._stalled = str(error)
                self._metrics.database_up.set(0)
                self._metrics.commit_failures.labels("retried").inc()
                log.warning("commit failed, trying again", error=str(error), backoff_s=backoff_s)
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _LAST_BACKOFF_S)
            except StoreRejected as error:
                self._doubt()
                await self._isolate(writer, requests, error)
                return
            else:
                self._metrics.commit_seconds.observe(time.perf_counter() - started)
                if guess is not None and appended.chained is not guess:
                    self._doubt()
                    self._metrics.chain_conflicts.inc(not appended.duplicates)
                self._acknowledge(requests, appended)
                return

    async def _isolate(self, writer: Writer, requests: list[Request], error: StoreRejected) -> None:
        """Find the request that the database refuses, so that the others are not lost with it."""
        self._metrics.commit_failures.labels("isolated").inc()
        if len(requests) == 1:
            log.error("the database refuses a request", error=str(error), exc_info=error)
            self._fail(requests[0].digest, self._refusal(error))
            self._leave(requests)
            return
        middle = len(requests) // 2
        await self._commit(writer, requests[:middle], None, Turn())
        await self._commit(writer, requests[middle:], None, Turn())

    def _refusal(self, error: StoreRejected) -> RequestError:
        """What a client should do with a request that can't be committed: drop it, unless we are to blame."""
        if isinstance(error, StoreDefect):
            return TryLater("the collector failed on this request; its log tells why", self._retry_after_s)
        return Undecodable("the database refuses a value of this request; see the collector's log")

    def _acknowledge(self, requests: list[Request], appended: Appended) -> None:
        metrics = self._metrics
        self._stalled = None
        metrics.database_up.set(1)
        metrics.duplicates.inc(len(appended.duplicates))
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
        self._queued_bytes -= sum(request.size_bytes for request in requests)


def _retrieved(future: asyncio.Future[None]) -> None:
    """A failure nobody waits for any more is not an error of the loop."""
    if not future.cancelled():
        future.exception()
