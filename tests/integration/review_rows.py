"""Predictions and reviews as rows of a test's ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import psycopg

from inference.reviews.queue import ReviewQueue
from ledger.canonical import canonical_json
from ledger.rows import Value
from ledger.streams import STREAMS
from store.reviews import Item, ReviewStore
from store.sessions import Sessions
from tally.testing import Database
from tests.ledger_writer import LedgerWriter, sample

Result = TypeVar("Result")
NOW = datetime.now(UTC).replace(microsecond=0)


def prediction(name: str, confidence: float, /, machine: str = "rvm-1", **changes: Any) -> dict[str, Value]:
    """A row of predictions; ``attributes`` as an object, other columns by name."""
    attributes = changes.pop("attributes", {"prediction.top": {"glass": confidence, "metal": 0.1}})
    number = int(name.rpartition("-")[2])
    values = sample(STREAMS["predictions"], machine, number) | {
        "event_time": NOW - timedelta(days=1) + timedelta(seconds=number),
        "prediction_id": name,
        "transaction_id": f"t-{name}",
        "model_id": "waste",
        "model_version": "v1",
        "material": "glass",
        "confidence": confidence,
        "threshold": 0.75,
        "attributes": canonical_json(attributes).decode(),
    }
    return values | changes


def review(name: str, decision: str, material: str | None, /, **changes: Any) -> dict[str, Value]:
    """A row of reviews about the prediction ``name``."""
    attributes = changes.pop("attributes", {"review.reason": "low_confidence", "review.sample_rate": 1})
    values = sample(STREAMS["reviews"], "rvm-1", 1) | {
        "event_time": NOW,
        "review_id": f"r-{name}",
        "prediction_id": name,
        "decision": decision,
        "material": material,
        "reviewer": "elsewhere",
        "attributes": canonical_json(attributes).decode(),
    }
    return values | changes


@dataclass
class Outbox:
    """Takes what is put; fails while ``broken``."""

    kept: list[bytes] = field(default_factory=list)
    broken: Exception | None = None

    async def put(self, body: bytes) -> None:
        if self.broken is not None:
            raise self.broken
        self.kept.append(body)


def on_queue(
    database: Database,
    work: Callable[[ReviewQueue], Awaitable[Result]],
    outbox: Outbox | None = None,
    **options: Any,
) -> Result:
    """Do something with a queue, as a service has it."""

    async def run() -> Result:
        sessions = Sessions(database.inference_url, most=16)
        try:
            return await work(ReviewQueue(ReviewStore(sessions), (outbox or Outbox()).put, **options))
        finally:
            await sessions.close()

    return asyncio.run(run())


def write(database: Database, stream: str, *rows: dict[str, Value]) -> LedgerWriter:
    """Append rows with a writer, which remembers the heads."""
    writer = LedgerWriter(database.admin_url)
    writer.append(stream, rows)
    return writer


def execute(database: Database, statement: str) -> None:
    """Run a statement as administrator."""
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(statement.encode())


async def everything(queue: ReviewQueue) -> list[Item]:
    """What is open, once the queue has taken notice of the ledger."""
    await queue.project()
    return await queue.open_items(10_000)
