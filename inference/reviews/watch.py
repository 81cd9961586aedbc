"""The review queue kept up with the ledger, and shown to Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import structlog

from inference.metrics import InferenceMetrics
from inference.reviews.queue import ReviewQueue
from store.errors import StoreError

log = structlog.get_logger("inference.reviews")


async def watch_reviews(queue: ReviewQueue, metrics: InferenceMetrics, every_s: float) -> None:
    """Take up new predictions for ever; while the database is away nothing is lost, for the ledger has it."""
    while True:
        try:
            await queue.project()
            await _show(queue, metrics)
        except StoreError as error:
            log.warning("the review queue can't follow the ledger now", error=str(error))
        await asyncio.sleep(every_s)


async def _show(queue: ReviewQueue, metrics: InferenceMetrics) -> None:
    counts = await queue.depth()
    items: Counter[str] = Counter()
    for count in counts:
        items[count.state] += count.items
    for state in ("waiting", "leased", "decided", "expired"):
        metrics.reviews.labels(state).set(items[state])
    undecided = [count.oldest.timestamp() for count in counts if count.state != "decided"]
    metrics.oldest_review.set(max(0.0, time.time() - min(undecided)) if undecided else 0.0)
