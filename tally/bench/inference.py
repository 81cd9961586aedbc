"""Inference: latency, throughput, changes of models under load, cold start.

The service, the collector, the database and this process, which asks, share the machine's cores.
"""

from __future__ import annotations

import uvloop

from tally.bench.bench_stack import BenchStack
from tally.bench.figures import Figure
from tally.bench.served import READINGS_MODEL, Served, served
from tally.bench.serving_changes import change_figures, start_figures
from tally.bench.serving_photos import photo_figures
from tally.bench.serving_readings import readings_figures


def serving(stack: BenchStack, *, rounds: int, seconds: float) -> list[Figure]:
    """All of it, on one service."""
    with served(stack) as running:
        first, second = running.train(1), running.train(2)

        async def asked() -> list[Figure]:
            figures = await photo_figures(running, rounds=rounds, seconds=seconds)
            await _govern(running, first, second)
            figures += await readings_figures(running, seconds=seconds * 2 / 3)
            return figures + await change_figures(running, second, rounds=rounds)

        return uvloop.run(asked()) + start_figures(running, rounds=min(rounds, 3))


async def _govern(running: Served, first: str, second: str) -> None:
    """Both versions are approved, the first one is promoted."""
    async with running.client("approver") as approver, running.client() as operator:
        for version in (first, second):
            await running.step(approver, f"{READINGS_MODEL}/versions/{version}/approve")
        await running.step(operator, f"{READINGS_MODEL}/versions/{first}/promote")
        await running.seated(operator, READINGS_MODEL)
