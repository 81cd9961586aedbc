"""A fleet's run: only planned, live through the SDK's exporters, or backfilled at full speed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData

from generator import manifest, sdk
from generator.clock import SECOND_NS
from generator.delivery import Delivery
from generator.emit_raw import OrderedSender
from generator.emit_sdk import SdkEmitter, quiet_exporters
from generator.errors import DeliveryError, SpecError
from generator.otlp import Event
from generator.predict import Asker, PredictSpec
from generator.progress import ProgressCallback, Reporter
from generator.report import RunReport
from generator.settings import Target
from generator.signals import Readings
from generator.simulate import Batch, Simulation
from generator.spec import FleetSpec
from outbox.sender import RawSender


def plan(
    spec: FleetSpec,
    manifest_path: Path | None = None,
    *,
    progress: ProgressCallback | None = None,
    predict: PredictSpec | None = None,
) -> RunReport:
    """Simulate without sending: the manifest and the digest that a run of this spec has.

    Raises:
        SpecError: the spec cannot be played, or the manifest cannot be written.
    """
    run = _Run("plan", spec, manifest_path, progress, predict)
    for batch in run.simulation.batches():
        run.tell(batch)
    return run.report()


def stream(
    spec: FleetSpec,
    target: Target,
    manifest_path: Path | None = None,
    *,
    speed: float | None = 1.0,
    workers_per_door: int = 4,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    predict: PredictSpec | None = None,
) -> RunReport:
    """Send the run through the stock SDK exporters.

    Args:
        spec: what to simulate.
        target: the collector and the protocols to use.
        manifest_path: where to write the manifest, if anywhere.
        speed: seconds of the run per second; 1 is real time, None as fast as the exporters go.  What is sent
            after the end of the run (held-back deposits, tickets) is not waited for.
        workers_per_door: threads for each protocol.
        progress: called a few times a second.
        stop: set it to end the run early; the report and the manifest say so.
        predict: the service that is asked for each prediction; without it predictions are made up.

    Raises:
        SpecError: the spec cannot be played, or the manifest cannot be written.
        DeliveryError: no collector, or no prediction service, answers at all.
    """
    if speed is not None and not 0 < speed <= 1e6:
        raise SpecError(f"speed: expected more than 0 and at most 1,000,000, got {speed}")
    quiet_exporters()
    run = _Run("realtime" if speed == 1.0 else "faster", spec, manifest_path, progress, predict)
    delivery = run.delivery
    run.check(target)
    halt = stop or threading.Event()
    lag_s, begun = 0.0, time.monotonic()
    try:
        with SdkEmitter(target, delivery, workers_per_door=workers_per_door) as emitter:
            for batch in run.simulation.batches():
                if speed is not None and batch.due_ns <= spec.end_ns:
                    due = begun + (batch.due_ns - spec.start_ns) / SECOND_NS / speed
                    halt.wait(max(0.0, due - time.monotonic()))
                    lag_s = max(lag_s, time.monotonic() - due)
                if halt.is_set():
                    delivery.interrupted = True
                    break
                if batch.signal == "predictions":
                    emitter.then(batch.emitter.number, partial(run.ask, batch))
                else:
                    emitter.send(batch.emitter.number, batch.signal, batch.rows, _as_sdk_data(spec, batch))
                run.tell(batch)
    except DeliveryError as error:
        return run.report(problem=str(error), lag_s=lag_s)
    except KeyboardInterrupt:
        delivery.interrupted = True
    return run.report(problem="interrupted" if delivery.interrupted else "", lag_s=lag_s)


def backfill(
    spec: FleetSpec,
    target: Target,
    manifest_path: Path | None = None,
    *,
    in_flight: int = 64,
    retry_for_s: float = 120.0,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
    predict: PredictSpec | None = None,
) -> RunReport:
    """Send the run as encoded requests over gRPC, many in flight, each machine's in order.

    Raises:
        SpecError: the spec cannot be played, or the manifest cannot be written.
        DeliveryError: no collector, or no prediction service, answers at all.
    """
    if not 1 <= in_flight <= 4_096:
        raise SpecError(f"in_flight: expected 1 to 4096, got {in_flight}")
    run = _Run("backfill", spec, manifest_path, progress, predict)
    delivery = run.delivery
    run.check(target)

    async def send_all() -> None:
        async with RawSender(target.grpc_address, retry_for_s=retry_for_s) as sender:
            ordered = OrderedSender(sender, delivery, in_flight)
            try:
                for batch in run.simulation.batches():
                    if stop is not None and stop.is_set():
                        delivery.interrupted = True
                        break
                    if batch.signal == "predictions":
                        await ordered.then(batch.emitter.id, partial(run.ask, batch))
                    else:
                        await ordered.put(batch.emitter.id, batch.signal, batch.rows, batch.payload)
                    run.tell(batch)
            finally:
                await ordered.drain()

    try:
        asyncio.run(send_all())
    except DeliveryError as error:
        return run.report(problem=str(error))
    except KeyboardInterrupt:
        delivery.interrupted = True
    return run.report(problem="interrupted" if delivery.interrupted else "")


class _Run:
    """What all three ways share: the simulation, its progress, the manifest and the report."""

    def __init__(
        self,
        mode: str,
        spec: FleetSpec,
        manifest_path: Path | None,
        progress: ProgressCallback | None,
        predict: PredictSpec | None,
    ) -> None:
        if manifest_path is not None:
            manifest.check_writable(manifest_path)
        questioner = None if predict is None else predict.questioner(spec.seed)
        self.simulation = Simulation(spec, questioner=questioner)
        self.delivery = Delivery()
        self._mode, self._spec, self._path = mode, spec, manifest_path
        self._sends = mode != "plan"
        self._asker = Asker(predict, self.delivery) if predict is not None and self._sends else None
        self._reporter = Reporter(progress)

    def check(self, target: Target) -> None:
        """Fail early.

        Raises:
            DeliveryError: no collector, or no prediction service, answers at all.
        """
        target.check()
        if self._asker is not None:
            self._asker.check()

    def ask(self, batch: Batch) -> None:
        """Put the questions of a batch.

        Raises:
            DeliveryError: the service was given up.
        """
        assert self._asker is not None, "questions are only put where somebody is asked"
        self._asker.ask(batch.questions)

    def tell(self, batch: Batch) -> None:
        """Count a request that was handed over."""
        spec = self._spec
        self._reporter.add(batch.total_rows, (batch.due_ns - spec.start_ns) / (spec.end_ns - spec.start_ns))

    def report(self, *, problem: str = "", lag_s: float = 0.0) -> RunReport:
        """Write the manifest and sum up."""
        elapsed_s = self._reporter.elapsed_s
        self._reporter.finish()
        facts = self.simulation.facts
        predictions = None
        if self._asker is not None:
            self._asker.close()
            predictions = self._asker.score.to_json()
        if self._path is not None:
            delivery = self.delivery.to_json() if self._sends else {"complete": False, "rows": {}}
            if not self.simulation.complete:
                delivery["complete"] = False
            if predictions is not None:
                delivery["predictions"] = predictions
            manifest.write(self._path, self._spec, facts, delivery)
        return RunReport(
            self._mode,
            self._spec,
            facts,
            self.delivery if self._sends else None,
            elapsed_s,
            self._path,
            problem,
            lag_s,
            predictions,
        )


def _as_sdk_data(spec: FleetSpec, batch: Batch) -> Callable[[], MetricsData | list[ReadableLogRecord]]:
    """Build the SDK's objects in the worker that sends them, not in the simulation's thread."""
    resource = batch.emitter.resource
    if batch.signal == "metrics":
        readings, begin, end = cast("tuple[Readings, int, int]", batch.content)
        return lambda: sdk.metrics_data(
            resource, sdk.readings_to_metrics(readings, begin, end, spec.start_ns)
        )
    return partial(sdk.log_records, resource, cast("list[Event]", batch.content))
