"""Sensor readings over HTTP: one at a time at a steady rate, and in batches as fast as they go."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Final

from generator.readings import READING_NAMES, table
from tally.bench.figures import Figure
from tally.bench.http_client import Client
from tally.bench.pace import busily, steadily
from tally.bench.served import Served, deposit
from tally.bench.serving_photos import drained

_RATE: Final = 20.0
_BATCH: Final = 100
_IN_FLIGHT: Final = 2


async def readings_figures(served: Served, *, seconds: float) -> list[Figure]:
    """One by one, then batches of a hundred."""
    async with served.client("machines") as client:
        singles, batches = reading_requests(client), _batches(client)
        await steadily(client, singles, _RATE, 1.0)
        await drained(client)
        steady = await steadily(client, singles, _RATE, seconds)
        await busily(client, batches, _IN_FLIGHT, 1.0)
        fast = await busily(client, batches, _IN_FLIGHT, seconds / 2)
    return [
        Figure(
            "readings, 95th percentile",
            steady.milliseconds(0.95),
            "ms",
            10,
            "at most",
            f"{_RATE:.0f} requests/s over HTTP; p50 {steady.milliseconds(0.5):.1f} ms, "
            f"p99 {steady.milliseconds(0.99):.1f} ms",
        ),
        Figure(
            "readings in batches",
            _BATCH * len(fast.seconds) / fast.elapsed_s,
            "predictions/s",
            1_500,
            detail=f"{_BATCH} items each, {_IN_FLIGHT} requests in flight, each answer on record",
        ),
        Figure(
            "readings that failed", steady.failed + fast.failed, "requests", 0, "at most", "in both of these"
        ),
    ]


def reading_requests(client: Client) -> Iterator[bytes]:
    """Single questions without end."""
    return (client.request("POST", "/predict", item) for item in _items())


def _batches(client: Client) -> Iterator[bytes]:
    items = _items()
    while True:
        body = {"items": [next(items) for _ in range(_BATCH)]}
        yield client.request("POST", "/predict/batch", body)


def _items() -> Iterator[dict[str, object]]:
    """The readings of 2,000 simulated deposits in turn, each time of another deposit."""
    rows = table(2_000, seed=5)[list(READING_NAMES)].to_dict("records")
    return ({"readings": row, **deposit()} for row in cycle(rows))
