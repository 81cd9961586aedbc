"""The monitor: measures the served versions again and again, and may start a retraining."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import structlog

from inference.errors import InferenceError, ModelUnusable
from inference.governance.registry import Registry
from inference.governance.state import Version
from inference.manifest import Manifest, read_manifest
from inference.monitoring.health import NO_EDGES, Bounds, Evidence, ModelHealth, model_health
from inference.serving.shelf import find
from store.errors import StoreError
from store.ground_truth import GroundTruthStore, Window

WINDOW: Final = timedelta(days=7)
FILLING: Final = timedelta(days=21)
"""Our choice: a lot was filled, driven to the plant and weighed within that time."""
_SAMPLE_ROWS: Final = 20_000
"""Answers whose inputs are looked at: enough for an index to 0.001, and a fraction of a second to read."""

log = structlog.get_logger("inference.monitor")


class Remedy(Protocol):
    """What is done about findings; ``inference.monitoring.retraining.Retrainer`` is one."""

    async def consider(self, health: ModelHealth) -> None:
        """Do something about a version's findings, or not."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """How far back is looked: ``window``, and for the deposits of a ticket ``filling`` more."""

    window: timedelta = WINDOW
    filling: timedelta = FILLING


class Monitor:
    """Measures every champion, and every challenger with a share, that classifies.

    Args:
        registry: says what is served.
        store: reads the ledger.
        shelves: folders of models, whose manifests have what drift is measured from.
        remedy: told of findings, if there is one.
        clock: nanoseconds since 1970.
    """

    def __init__(
        self,
        registry: Registry,
        store: GroundTruthStore,
        shelves: Sequence[Path],
        bounds: Bounds | None = None,
        *,
        span: Span | None = None,
        remedy: Remedy | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._registry = registry
        self._store = store
        self._shelves = tuple(shelves)
        self._bounds = bounds or Bounds()
        self._span = span or Span()
        self._remedy = remedy
        self._clock = clock
        self._manifests: dict[str, Manifest] = {}
        self.latest: tuple[ModelHealth, ...] = ()
        """What was measured last."""

    async def measure(self) -> list[ModelHealth]:
        """Measure now.

        Raises:
            StoreUnavailable: the database can't be reached; ``latest`` stays.
        """
        until = datetime.fromtimestamp(self._clock() / 1e9, UTC)
        measured = []
        for model_id, version in self._served():
            window = Window(model_id, version.version, until - self._span.window, until)
            manifest = await asyncio.to_thread(self._manifest, model_id, version)
            evidence = await self._evidence(window, manifest)
            measured.append(await asyncio.to_thread(model_health, evidence, manifest, self._bounds))
        self.latest = tuple(measured)
        return measured

    async def run(self, every_s: float = 60.0) -> None:
        """Measure for ever; what is found is logged once, and the remedy is told."""
        told: set[str] = set()
        while True:
            try:
                measured = await self.measure()
            except StoreError as error:
                log.warning("the models' health can't be measured now", error=str(error))
                measured = []
            for health in measured:
                for finding in health.findings:
                    key = f"{finding.kind} {health.window.model_id} {health.window.version}"
                    if key not in told:
                        told.add(key)
                        log.warning("a model needs attention", kind=finding.kind, finding=finding.sentence)
                await self._remedied(health)
            await asyncio.sleep(every_s)

    def _served(self) -> Iterator[tuple[str, Version]]:
        for model_id, state in self._registry.models.items():
            served = [] if state.champion is None else [state.champion]
            if state.challenger is not None and state.challenger.share > 0:
                served.append(state.versions[state.challenger.version])
            yield from ((model_id, version) for version in served if version.task != "regression")

    def _manifest(self, model_id: str, version: Version) -> Manifest | None:
        """The manifest, if the folder is here and is the one that the ledger means."""
        if version.digest not in self._manifests:
            try:
                manifest, digest = read_manifest(
                    find(self._shelves, model_id, version.version, version.digest)
                )
            except ModelUnusable:
                return None
            if digest != version.digest:
                return None
            self._manifests[digest] = manifest
        return self._manifests[version.digest]

    async def _evidence(self, window: Window, manifest: Manifest | None) -> Evidence:
        reference = None if manifest is None else manifest.reference
        confidence = None if reference is None else reference.confidence
        edges = confidence.edges if confidence is not None and confidence.edges else NO_EDGES
        answers = await self._store.answers(window, edges, self._bounds.threshold)
        rows = sum(one.answers for one in answers)
        wanted = rows > 0 and reference is not None and bool(reference.inputs)
        return Evidence(
            window=window,
            answers=answers,
            features=await self._store.statistics(window, _SAMPLE_ROWS / rows) if wanted else (),
            reviews=await self._store.reviews(window),
            enqueued=await self._store.enqueued(window),
            lots=await self._store.lots(window, self._span.filling),
        )

    async def _remedied(self, health: ModelHealth) -> None:
        if self._remedy is None or not health.findings:
            return
        try:
            await self._remedy.consider(health)
        except InferenceError as error:
            log.warning("no retraining now", model=health.window.model_id, reason=str(error))
