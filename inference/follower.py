"""Keeps what answers as the ledger says: the registry is asked, the desk is seated."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from inference.governance.registry import Registry
from inference.governance.state import ModelState
from inference.metrics import InferenceMetrics
from inference.serving.desk import Desk, Plan, Post
from service.readiness import Readiness
from store.errors import StoreError

log = structlog.get_logger("inference.follower")


class Follower:
    """Keeps the desk as the ledger says."""

    def __init__(
        self, registry: Registry, desk: Desk, readiness: Readiness, metrics: InferenceMetrics
    ) -> None:
        self._registry = registry
        self._desk = desk
        self._readiness = readiness
        self._metrics = metrics
        self._turn = asyncio.Lock()
        self._followed = True

    async def once(self) -> None:
        """Ask the ledger, seat what it says; without the database what was last known is seated."""
        async with self._turn:
            try:
                await self._registry.refresh()
                self._follows(None)
            except StoreError as error:
                self._follows(error)
            self._tell_troubles()
            if await self._desk.follow(plans(self._registry.models), self._registry.overruled()):
                log.info(
                    "seated", models={name: seat.champion.name for name, seat in self._desk.seats.items()}
                )
            if self._desk.seats:
                self._readiness.ready()
            else:
                self._readiness.unready("no model is promoted yet: tally models promote")

    def _follows(self, error: StoreError | None) -> None:
        """Tell whether the ledger can be followed, in the log when that changes."""
        self._metrics.ledger_followed.set(1 if error is None else 0)
        if error is not None and self._followed:
            log.warning("the ledger's models can't be read, the last known are served", error=str(error))
        if error is None and not self._followed:
            log.info("the ledger's models can be read again")
        self._followed = error is None

    def _tell_troubles(self) -> None:
        """Tell Prometheus which chains can't be followed."""
        self._metrics.chain_trouble.clear()
        for model_id, state in self._registry.models.items():
            self._metrics.chain_trouble.labels(model_id).set(state.trouble is not None)

    async def run(self, every_s: float) -> None:
        """Follow for ever."""
        while True:
            await asyncio.sleep(every_s)
            await self.once()


def plans(models: Mapping[str, ModelState]) -> dict[str, Plan]:
    """Who is to sit where, of every model that the ledger knows."""
    found = {}
    for model_id, state in models.items():
        champion, challenger = state.champion, state.challenger
        found[model_id] = Plan(
            None if champion is None else Post(champion.version, champion.digest),
            None if challenger is None else Post(challenger.version, challenger.digest),
            0.0 if challenger is None else challenger.share,
        )
    return found
