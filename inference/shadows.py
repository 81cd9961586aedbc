"""Challengers in shadow: they answer after the champion, for the record only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import structlog

from inference.errors import InferenceError, ModelUnusable
from inference.evidence import request_bytes
from inference.metrics import InferenceMetrics
from inference.serving.model import LoadedModel
from inference.serving.workers import Workers
from inference.work import Done, recorded
from outbox.errors import OutboxError
from outbox.gather import Gather

log = structlog.get_logger("inference.shadows")


class Shadows:
    """What answers beside the champion; for one event loop."""

    def __init__(self, outbox: Gather, metrics: InferenceMetrics) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._running: set[asyncio.Task[None]] = set()

    async def finish(self) -> None:
        """Wait for what runs."""
        await asyncio.gather(*self._running, return_exceptions=True)

    def start(self, fresh: Sequence[Done], workers: Workers) -> None:
        """Let the challengers of these answers answer too; left out while the threads are busy."""
        for done in fresh:
            shadow = done.task.seat.shadow
            if shadow is None:
                continue
            if len(self._running) + workers.in_flight > workers.threads * 8:
                self._metrics.shadows.labels(shadow.manifest.model_id, "left_out").inc()
                continue
            task = asyncio.create_task(self._answer(done, shadow, workers))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _answer(self, done: Done, shadow: LoadedModel, workers: Workers) -> None:
        outcome = "failed"
        try:
            row = done.row
            if shadow.encoder is not None:
                row = np.array(shadow.encoder.row(done.task.item.readings or {}), np.float32)
            elif shadow.manifest.input != done.task.model.manifest.input:
                raise ModelUnusable(f"{shadow.name} takes photos of another size than the champion")
            (answer,) = await workers.run(shadow.answer, row[np.newaxis])
            await self._outbox.put(request_bytes([recorded(done, answer, shadow, "shadow")]))
            outcome = "agree" if answer.label == done.answer.label else "differ"
        except (InferenceError, OutboxError) as error:
            log.warning("a challenger in shadow did not answer", model=shadow.name, error=str(error))
        finally:
            self._metrics.shadows.labels(shadow.manifest.model_id, outcome).inc()
