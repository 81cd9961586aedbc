"""Photos over HTTP, with evidence on its way to the ledger as in real life, against onnxruntime alone."""

from __future__ import annotations

import asyncio
import os
import statistics
import threading
import time
from collections.abc import Iterator
from itertools import cycle, repeat
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inference import manifest
from inference.photos.decode import decode
from tally.bench.figures import Figure
from tally.bench.http_client import Client
from tally.bench.pace import Asked, busily, steadily
from tally.bench.photos import Photos
from tally.bench.served import PHOTO_MODEL, Served, deposit
from tally.errors import ServiceFailed

_RATE: Final = 20.0
"""Photos a second that a fleet of a few hundred machines brings at its busiest."""
_IN_FLIGHT: Final = 8
_BATCH: Final = 32
_BATCHES_IN_FLIGHT: Final = 3
_MOST_PIXELS: Final = 25_000_000
_DRAINED_S: Final = 60.0


async def photo_figures(served: Served, *, rounds: int, seconds: float) -> list[Figure]:
    """Photos at a steady rate, then as fast as they go, against onnxruntime alone, in turn."""
    async with served.client("machines") as client:
        bare = await _bare(served, client)
        requests = photo_requests(client, served.photos)
        await busily(client, requests, _IN_FLIGHT, 1.5)
        await drained(client)
        steady = await steadily(client, requests, _RATE, seconds)
        single_ms = 1_000 / bare.per_s(1, 2.0)
        cores = os.cpu_count() or 1
        batches = _batches(client, served.photos)
        single, ours, limits, lags, failed = [], [], [], Asked(), steady.failed
        for _ in range(rounds):
            await drained(client)
            limits.append(max(bare.per_s(threads, 2.0) for threads in sorted({1, cores})))
            # Long, since the end of a phase, when threads run out of photos, counts too.
            many = await busily(client, batches, _BATCHES_IN_FLIGHT, 10.0)
            ours.append(many.predictions / many.elapsed_s)
            await drained(client)
            fast, lag = await asyncio.gather(busily(client, requests, _IN_FLIGHT, 3.0), _health(client, 3.0))
            single.append(fast.predictions / fast.elapsed_s)
            lags.seconds += lag.seconds
            failed += many.failed + fast.failed + lag.failed
            failed += len(many.seconds) * _BATCH - many.predictions
    ratio = statistics.median(mine / limit for mine, limit in zip(ours, limits, strict=True))
    return [
        Figure(
            "photo, 95th percentile",
            steady.milliseconds(0.95),
            "ms",
            40,
            "at most",
            f"{_RATE:.0f} requests/s over HTTP, {served.photos.what}; p50 {steady.milliseconds(0.5):.1f} ms, "
            f"p99 {steady.milliseconds(0.99):.1f} ms, {steady.failed} failed",
        ),
        Figure(
            "photos",
            statistics.median(ours),
            "photos/s",
            detail=f"batches of {_BATCH}, {_BATCHES_IN_FLIGHT} in flight; read, decoded, answered, on record",
        ),
        Figure(
            "photos, one a request",
            statistics.median(single),
            "photos/s",
            detail=f"{_IN_FLIGHT} requests in flight, and 50 times a second /health",
        ),
        Figure(
            "onnxruntime alone",
            statistics.median(limits),
            "photos/s",
            detail=f"the same photos, decoded beforehand, {cores} threads; "
            f"a photo takes one core {single_ms:.1f} ms",
        ),
        Figure("photos / onnxruntime alone", ratio, "", 0.85, detail=f"median of {rounds} rounds' ratios"),
        Figure(
            "event loop's lag",
            lags.milliseconds(0.99),
            "ms",
            50,
            "at most",
            "p99 of /health while photos come as fast as they go",
        ),
        Figure("photos that failed", failed, "requests", 0, "at most", "in all of the above"),
    ]


class Bare:
    """onnxruntime as it is, on decoded photos, with the options that the service gives it."""

    def __init__(self, artefact: Path, pixels: list[NDArray[np.uint8]]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(artefact), options, providers=["CPUExecutionProvider"]
        )
        self._pixels = pixels
        self._session.run(None, {"photos": pixels[0]})

    def per_s(self, threads: int, seconds: float) -> float:
        """Photos a second, one at a time in each thread."""
        counts = [0] * threads
        begun = time.perf_counter()

        def work(thread: int) -> None:
            number = thread
            while time.perf_counter() - begun < seconds:
                self._session.run(None, {"photos": self._pixels[number % len(self._pixels)]})
                number += threads
                counts[thread] += 1

        running = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return sum(counts) / (time.perf_counter() - begun)


def photo_requests(client: Client, taken: Photos) -> Iterator[bytes]:
    """Questions without end: each photo in turn, each time of another deposit."""
    for url in cycle(taken.urls):
        yield client.request("POST", "/predict", {"image_url": url, **deposit()})


def _batches(client: Client, taken: Photos) -> Iterator[bytes]:
    urls = cycle(taken.urls)
    while True:
        items = [{"image_url": next(urls), **deposit()} for _ in range(_BATCH)]
        yield client.request("POST", "/predict/batch", {"items": items})


async def _health(client: Client, seconds: float) -> Asked:
    """A few questions a second that need nothing but the event loop."""
    request = client.request("GET", "/health")
    return await steadily(client, repeat(request), 50.0, seconds)


async def drained(client: Client) -> None:
    """Wait until the outbox is empty, so that what runs next has the machine for itself.

    Raises:
        ServiceFailed: not in a minute.
    """
    deadline = time.monotonic() + _DRAINED_S
    while True:
        _, text = await client.get("/metrics")
        waiting = next(
            float(line.split()[1])
            for line in text.decode().splitlines()
            if line.startswith("tally_outbox_requests ")
        )
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise ServiceFailed(f"{waiting:.0f} requests are still in the service's outbox")
        await asyncio.sleep(0.1)


async def _bare(served: Served, client: Client) -> Bare:
    """The artefact that is seated, which came with the package, and the photos as it takes them."""
    seated = await served.seated(client, PHOTO_MODEL)
    packaged = Path(manifest.__file__).with_name("models")
    artefact = packaged / PHOTO_MODEL / str(seated["version"]) / manifest.ARTEFACT
    width, height = seated["input"]["width"], seated["input"]["height"]
    pixels = [decode(file.read_bytes(), width, height, _MOST_PIXELS) for file in served.photos.files]
    return Bare(artefact, [photo[np.newaxis] for photo in pixels])
