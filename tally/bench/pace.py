"""Two ways to ask: at a steady rate whatever the answers do, or as fast as answers come."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tally.bench.http_client import Client


@dataclass(slots=True)
class Asked:
    """What came of a phase's requests: seconds of the answered ones, statuses of all, predictions in them."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int | str] = field(default_factory=Counter)
    predictions: int = 0
    elapsed_s: float = 0.0

    @property
    def failed(self) -> int:
        """Requests whose answer was not 200."""
        return sum(count for status, count in self.statuses.items() if status != 200)

    def milliseconds(self, share: float) -> float:
        """The latency that this share of the answered requests had at most."""
        ordered = sorted(self.seconds)
        return 1_000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("inf")


async def _ask(client: Client, request: bytes, since: float, asked: Asked) -> None:
    try:
        status, body = await client.send(request)
    except OSError as error:
        asked.statuses[type(error).__name__] += 1
        return
    asked.statuses[status] += 1
    if status == 200:
        asked.seconds.append(time.perf_counter() - since)
        asked.predictions += body.count(b'"prediction_id"')


async def steadily(client: Client, requests: Iterator[bytes], rate: float, seconds: float) -> Asked:
    """Open loop: a request is due every 1/rate s; its latency counts from then, however late it is sent."""
    asked = Asked()
    begun = time.perf_counter()
    tasks = []
    for number in range(round(rate * seconds)):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(_ask(client, next(requests), due, asked)))
    await asyncio.gather(*tasks)
    asked.elapsed_s = time.perf_counter() - begun
    return asked


async def busily(client: Client, requests: Iterator[bytes], in_flight: int, seconds: float) -> Asked:
    """Closed loop: so many requests are under way at any time, until the time is over."""
    asked = Asked()
    begun = time.perf_counter()

    async def caller() -> None:
        while time.perf_counter() - begun < seconds:
            await _ask(client, next(requests), time.perf_counter(), asked)

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    asked.elapsed_s = time.perf_counter() - begun
    return asked
