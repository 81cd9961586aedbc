"""A collector's way from a request to its commit in this process: everything of it but the sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from collector.errors import RequestError
from collector.ingest import Outcome
from collector.metrics import CollectorMetrics
from collector.pipeline import Pipeline
from collector.service import IngestService
from store.writer import LedgerWriter
from tests.faults.clients import Sendable


class Ingest:
    """Two writers, a pipeline and a service, put together as ``collector.server`` does."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        reply_within_s: float = 10.0,
        max_queue_bytes: int = 96 << 20,
    ) -> None:
        """``url`` is the collector's login; ``timeout_s`` what a statement may take."""
        self.metrics: Final = CollectorMetrics()
        self.writers: Final = [LedgerWriter(url, timeout_s=timeout_s) for _ in range(3)]
        self.pipeline: Final = Pipeline(
            self.writers[:2],
            self.writers[2],
            self.metrics,
            max_queue_rows=100_000,
            max_queue_bytes=max_queue_bytes,
            max_batch_rows=20_000,
            retry_after_s=0.1,
        )
        self._service: Final = IngestService(
            self.pipeline, self.metrics, reply_within_s=reply_within_s, retry_after_s=0.1
        )
        self.pipeline.start()

    async def send(self, request: Sendable) -> Outcome:
        """One request, once."""
        return await self._service.export(request.signal, request.body)

    async def deliver(self, requests: Iterable[Sendable], within_s: float = 30.0) -> None:
        """All of them at once, each again and again until it is acknowledged."""

        async def one(request: Sendable) -> None:
            while True:
                try:
                    await self.send(request)
                except RequestError:
                    await asyncio.sleep(0.01)
                else:
                    return

        async with asyncio.timeout(within_s):
            await asyncio.gather(*map(one, requests))

    async def stop(self, within_s: float = 10.0) -> int:
        """Drain for so long (0 is nearly a crash), close; returns how many requests were left."""
        left = await self.pipeline.drain(within_s)
        for writer in self.writers:
            await writer.close()
        return left
