"""Retraining as a challenger: ``tally train`` as a child process, its result on record and in shadow.

It starts when a champion has a finding, the spec of its model is known, nothing else is being trained here,
and the last ``retraining`` step of the model is older than the cool-down; that step is in the ledger, so the
cool-down holds across restarts and instances.  Nobody's approval is taken for granted: the result answers in
shadow, and a human decides what becomes of it.  A challenger that has a share keeps it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from inference.errors import InferenceError, ModelUnusable
from inference.governance.registry import Registry
from inference.manifest import read_manifest
from inference.monitoring.health import ModelHealth
from inference.serving.shelf import every

ACTOR: Final = "tally-monitor"
COOL_DOWN: Final = timedelta(days=1)
"""Our choice: a day's deposits must come before another training could learn something else."""
TRAIN: Final = ("nice", "-n", "10", sys.executable, "-m", "tally", "train")
_ENDING_S: Final = 5.0

log = structlog.get_logger("inference.retraining")


class Retrainer:
    """Trains a challenger when a champion needs one.

    Args:
        registry: takes the steps.
        specs: model to its specification.
        models_dir: where ``tally train`` leaves its results, ``<model>/<version>/``.
        log_file: gets what the training says.
        command: what is run, before the specification's path.
        clock: nanoseconds since 1970.
    """

    def __init__(
        self,
        registry: Registry,
        specs: Mapping[str, Path],
        models_dir: Path,
        log_file: Path,
        *,
        command: Sequence[str] = TRAIN,
        cool_down: timedelta = COOL_DOWN,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._registry = registry
        self._specs = dict(specs)
        self._models_dir = models_dir
        self._log_file = log_file
        self._command = tuple(command)
        self._cool_down = cool_down
        self._clock = clock
        self._training: asyncio.Task[None] | None = None

    @property
    def training(self) -> bool:
        """Whether a training runs here."""
        return self._training is not None and not self._training.done()

    async def consider(self, health: ModelHealth) -> None:
        """Start a training if the findings ask for one.

        Raises:
            InferenceError: the step could not be recorded, so nothing was started.
        """
        model_id, version = health.window.model_id, health.window.version
        spec = self._specs.get(model_id)
        if spec is None or not health.findings or self.training:
            return
        state = await self._registry.state(model_id)
        now = datetime.fromtimestamp(self._clock() / 1e9, UTC)
        if state.champion_version != version:
            return
        if state.retraining_at is not None and now - state.retraining_at < self._cool_down:
            return
        note = "; ".join(finding.sentence for finding in health.findings)
        # A crash after this leaves a step without a result: the next training starts after the cool-down.
        await self._registry.act(model_id, version, "retraining", ACTOR, note)
        self._training = asyncio.create_task(self._train(model_id, spec))

    async def finish(self) -> None:
        """Wait for the training that runs, if one does."""
        if self._training is not None:
            await self._training

    async def close(self) -> None:
        """End the training that runs; its result is not waited for."""
        if self._training is not None:
            self._training.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._training

    async def _train(self, model_id: str, spec: Path) -> None:
        before = self._folders(model_id)
        log.info("training a challenger", model=model_id, spec=spec.name)
        try:
            status = await self._run(spec)
            if status != 0:
                log.error("the training failed", model=model_id, status=status, log=str(self._log_file))
                return
            made = [folder for folder in self._folders(model_id) if folder not in before]
            if not made:
                log.error("the training left no model", model=model_id, folder=str(self._models_dir))
                return
            await self._challenge(model_id, max(made, key=lambda folder: read_manifest(folder)[0].trained_at))
        except (InferenceError, OSError) as error:
            log.exception("the challenger was not taken up", model=model_id, error=str(error))

    async def _run(self, spec: Path) -> int:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(spec),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
            )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), _ENDING_S)
                except TimeoutError:
                    process.kill()
                    await process.wait()

    async def _challenge(self, model_id: str, folder: Path) -> None:
        await self._registry.register(folder)
        manifest, _ = read_manifest(folder)
        challenger = (await self._registry.state(model_id)).challenger
        if challenger is not None and challenger.share > 0:
            log.info("another challenger has a share, the new one waits", model=model_id, version=folder.name)
            return
        note = f"retrained because of {ACTOR}'s findings"
        await self._registry.act(model_id, manifest.version, "shadowed", ACTOR, note, share=0.0)
        log.info("a challenger answers in shadow", model=model_id, version=manifest.version)

    def _folders(self, model_id: str) -> set[Path]:
        found = set()
        for folder in every([self._models_dir]):
            with contextlib.suppress(ModelUnusable):
                if read_manifest(folder)[0].model_id == model_id:
                    found.add(folder)
        return found
