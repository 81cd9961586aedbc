"""Challengers in shadow: they answer after the champion, for the record only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np
import structlog

from inference.errors import BadInput, InferenceError
from inference.evidence import request_bodies
from inference.metrics import InferenceMetrics
from inference.serving.model import Answer, LoadedModel
from inference.serving.workers import Workers
from inference.work import Done, Row, recorded
from outbox.errors import OutboxError
from outbox.gather import Gather

_AT_ONCE: Final = 4
"""Requests whose shadows are answered at a time: beyond it they would queue up behind the champion's work."""

log = structlog.get_logger("inference.shadows")


class Shadows:
    """What answers beside the champion; for one event loop."""

    def __init__(self, outbox: Gather, metrics: InferenceMetrics) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._running: set[asyncio.Task[None]] = set()
        # A thread of their own: a challenger that takes long takes nothing from the champion but a processor.
        self._workers = Workers("shadow", 1, _AT_ONCE)

    async def finish(self) -> None:
        """Wait for what runs."""
        await asyncio.gather(*self._running, return_exceptions=True)
        self._workers.close()

    def start(self, fresh: Sequence[Done]) -> None:
        """Let the challengers of these answers answer too; left out while enough of them are at it."""
        groups: dict[str, list[Done]] = {}
        for done in fresh:
            if (shadow := done.task.seat.shadow) is not None:
                groups.setdefault(shadow.digest, []).append(done)
        for group in groups.values():
            shadow = group[0].task.seat.shadow
            assert shadow is not None
            if len(self._running) >= _AT_ONCE:
                self._count(shadow, "left_out", len(group))
                continue
            task = asyncio.create_task(self._answer(group, shadow))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _answer(self, group: Sequence[Done], shadow: LoadedModel) -> None:
        """Answer a group of one shadow together, but for those whose input it does not take."""
        inputs = [(done, row) for done in group if (row := _row(done, shadow)) is not None]
        self._count(shadow, "failed", len(group) - len(inputs))
        if not inputs:
            return
        try:
            answers = await self._workers.run(_answers, shadow, [row for _, row in inputs])
            records = [
                recorded(done, answer, shadow, "shadow")
                for (done, _), answer in zip(inputs, answers, strict=True)
            ]
            await self._outbox.put(*request_bodies(records))
        except (InferenceError, OutboxError) as error:
            log.warning("a challenger in shadow did not answer", model=shadow.name, error=str(error))
            self._count(shadow, "failed", len(inputs))
            return
        agree = sum(
            answer.label == done.answer.label for (done, _), answer in zip(inputs, answers, strict=True)
        )
        self._count(shadow, "agree", agree)
        self._count(shadow, "differ", len(inputs) - agree)

    def _count(self, shadow: LoadedModel, outcome: str, items: int) -> None:
        if items:
            self._metrics.shadows.labels(shadow.manifest.model_id, outcome).inc(items)


def _row(done: Done, shadow: LoadedModel) -> Row | None:
    """The shadow's input; None if it does not take what its champion took."""
    if shadow.encoder is None:
        return done.row if shadow.manifest.input == done.task.model.manifest.input else None
    try:
        return np.array(shadow.encoder.row(done.task.item.readings or {}), np.float32)
    except BadInput:
        return None


def _answers(shadow: LoadedModel, rows: Sequence[Row]) -> list[Answer]:
    """Readings in one go, photos one by one."""
    if shadow.encoder is not None:
        return shadow.answer(np.stack(rows).astype(np.float32, copy=False))
    return [answer for row in rows for answer in shadow.answer(row[np.newaxis])]
