"""What must not be felt: another version is promoted and rolled back under load; the service starts again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Final

from tally.bench.figures import Figure
from tally.bench.http_client import Client
from tally.bench.pace import steadily
from tally.bench.served import READINGS_MODEL, Served
from tally.bench.serving_photos import photo_requests
from tally.bench.serving_readings import reading_requests
from tally.errors import ServiceFailed

_PHOTOS_PER_S: Final = 10.0
_READINGS_PER_S: Final = 50.0
_BACK_S: Final = 10.0
_READY_S: Final = 30.0
_POLL_S: Final = 0.005


async def change_figures(served: Served, other: str, *, rounds: int) -> list[Figure]:
    """Promote ``other``, reload, roll back, again and again, while photos and readings are asked about."""
    seconds = 2.0 * rounds + 1.0
    async with served.client() as client, served.client() as steps:
        before = str((await served.seated(steps, READINGS_MODEL))["version"])
        photos, readings, backs = await asyncio.gather(
            steadily(client, photo_requests(client, served.photos), _PHOTOS_PER_S, seconds),
            steadily(client, reading_requests(client), _READINGS_PER_S, seconds),
            _changes(served, steps, before, other, rounds),
        )
    asked = photos.statuses.total() + readings.statuses.total()
    return [
        Figure(
            "failed while models change",
            photos.failed + readings.failed,
            "requests",
            0,
            "at most",
            f"of {asked:,}, over {rounds} promotions, reloads and rollbacks; meanwhile p95 of readings at "
            f"{_READINGS_PER_S:.0f}/s {readings.milliseconds(0.95):.1f} ms, of photos at "
            f"{_PHOTOS_PER_S:.0f}/s {photos.milliseconds(0.95):.1f} ms",
        ),
        Figure(
            "rollback takes effect",
            max(backs),
            "s",
            2,
            "at most",
            f"from the request until an answer is the former version's, longest of {rounds}, under that load",
        ),
    ]


async def _changes(served: Served, steps: Client, before: str, other: str, rounds: int) -> list[float]:
    """Seconds that each rollback took."""
    questions = reading_requests(steps)
    backs = []
    for _ in range(rounds):
        await served.step(steps, f"{READINGS_MODEL}/versions/{other}/promote")
        await _answers(steps, questions, other)
        await steps.post("/reload")
        await asyncio.sleep(0.5)
        asked = time.perf_counter()
        await served.step(steps, f"{READINGS_MODEL}/rollback")
        await _answers(steps, questions, before)
        backs.append(time.perf_counter() - asked)
        await asyncio.sleep(0.5)
    return backs


async def _answers(steps: Client, questions: Iterator[bytes], version: str) -> None:
    """Ask until that version answers.

    Raises:
        ServiceFailed: not in time.
    """
    deadline = time.monotonic() + _BACK_S
    while True:
        status, content = await steps.send(next(questions))
        if status == 200 and json.loads(content)["model_version"] == version:
            return
        if time.monotonic() > deadline:
            raise ServiceFailed(f"{version} does not answer after {_BACK_S:.0f} s")
        await asyncio.sleep(_POLL_S)


def start_figures(served: Served, *, rounds: int) -> list[Figure]:
    """From the start of the process until it says that it is ready."""
    times = []
    for _ in range(rounds):
        served.service.stop()
        started = time.perf_counter()
        served.service.start(ready=False)
        while not served.service.is_ready():
            if time.perf_counter() - started > _READY_S:
                raise ServiceFailed(f"the service is not ready:\n{served.service.log[-2000:]}")
            time.sleep(_POLL_S)
        times.append(time.perf_counter() - started)
    detail = f"process start to /ready with its champions known, longest of {rounds}"
    return [Figure("cold start", max(times), "s", 3, "at most", detail)]
