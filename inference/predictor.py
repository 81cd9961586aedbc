"""From a request to an answer: the one way that every prediction takes.

    sensor known? -> seat -> fetch and decode, or encode -> model -> outbox (on disk) -> answer

The event is in the durable outbox before the answer leaves.  A crash before that leaves neither.  A crash
after it, or a lost reply, leaves the event: a repeated request is answered from memory while the process
lives; if it died between, it is a second prediction of the same deposit, which reconciliation finds.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
import structlog
from numpy.typing import NDArray

from inference.errors import BadInput, InferenceError, ModelUnusable, Unavailable
from inference.evidence import Recorded, new_prediction_id, request_bytes
from inference.manifest import PhotoInput, sha256_hex
from inference.metrics import InferenceMetrics
from inference.photos.decode import decode
from inference.photos.sources import PhotoSource
from inference.photos.statistics import statistics
from inference.sensors import Sensors
from inference.serving.desk import Desk, Seat
from inference.serving.model import Answer, LoadedModel
from inference.serving.workers import Workers
from ledger.canonical import Json, canonical_json
from outbox.errors import OutboxError
from outbox.gather import Gather

_REMEMBERED: Final = 10_000
"""Answers kept for requests that are repeated."""

Kind = Literal["photo", "readings"]

log = structlog.get_logger("inference.predictor")


@dataclass(frozen=True, slots=True)
class Item:
    """One item to classify: a photo by its URL, or readings."""

    sensor_id: str
    site_id: str | None
    transaction_id: str | None
    observed_ns: int | None
    model_id: str
    image_url: str | None
    readings: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer that is on record."""

    prediction_id: str
    model: LoadedModel
    answer: Answer
    input_digest: str
    seconds: float


@dataclass(frozen=True, slots=True)
class _Ready:
    """An input that is read and checked, with what else is kept of it."""

    item: Item
    seat: Seat
    model: LoadedModel
    prediction_id: str
    digest: str
    statistics: Mapping[str, float]
    row: NDArray[np.uint8] | NDArray[np.float32]
    arrived: float


class Predictor:
    """Answers items, one or many at a time."""

    def __init__(
        self,
        desk: Desk,
        sensors: Sensors,
        photos: PhotoSource,
        outbox: Gather,
        metrics: InferenceMetrics,
        *,
        threads: int,
        max_in_flight: int,
        max_pixels: int,
    ) -> None:
        self._desk = desk
        self._sensors = sensors
        self._photos = photos
        self._outbox = outbox
        self._metrics = metrics
        self._max_pixels = max_pixels
        # Two pools: a row of readings must not wait behind photos, which take fifty times as long.
        self._workers: dict[Kind, Workers] = {
            "photo": Workers("photo", threads, max_in_flight),
            "readings": Workers("readings", 1, max_in_flight),
        }
        for kind, workers in self._workers.items():
            metrics.in_flight.labels(kind).set_function(partial(getattr, workers, "in_flight"))
        self._shadows: set[asyncio.Task[None]] = set()
        self._recent: OrderedDict[tuple[str, str, str], Prediction] = OrderedDict()

    async def predict(self, item: Item) -> Prediction:
        """The answer for one item, on record.

        Raises:
            InferenceError: it can't be answered; nothing is recorded.
        """
        (answered,) = await self.predict_all([item])
        if isinstance(answered, InferenceError):
            raise answered
        return answered

    async def predict_all(self, items: Sequence[Item]) -> list[Prediction | InferenceError]:
        """For each item its answer, or why there is none; a bad item costs no other.

        Raises:
            Unavailable: too much is under way, or the outbox takes nothing; nothing is recorded.
        """
        arrived = time.perf_counter()
        kinds = [self._kind(item) for item in items]
        with ExitStack() as room:
            for kind, workers in self._workers.items():
                if count := kinds.count(kind):
                    room.enter_context(workers.admitted(count))
            ready = await asyncio.gather(
                *(self._prepared(item, arrived) for item in items), return_exceptions=True
            )
            results = await self._answered(ready)
        for result in results:
            if isinstance(result, InferenceError):
                self._metrics.errors.labels(result.reason).inc()
        return results

    async def close(self) -> None:
        """Finish what runs."""
        await asyncio.gather(*self._shadows, return_exceptions=True)
        for workers in self._workers.values():
            workers.close()

    @staticmethod
    def _kind(item: Item) -> Kind:
        return "photo" if item.image_url is not None else "readings"

    async def _prepared(self, item: Item, arrived: float) -> _Ready:
        await self._sensors.check(item.sensor_id)
        seat = self._desk.seat(item.model_id)
        prediction_id = new_prediction_id()
        model = seat.choose(item.transaction_id or prediction_id)
        asked = model.manifest.input
        if (item.image_url is not None) != isinstance(asked, PhotoInput):
            wanted = "an image_url" if isinstance(asked, PhotoInput) else "readings"
            raise BadInput(f"the model {item.model_id} takes {wanted}", reason="wrong_input")
        if item.image_url is not None and isinstance(asked, PhotoInput):
            content = await self._photos.fetch(item.image_url)
            pixels, described, digest = await self._workers["photo"].run(
                self._seen, content, asked.width, asked.height
            )
            return _Ready(item, seat, model, prediction_id, digest, described, pixels, arrived)
        assert model.encoder is not None
        readings = item.readings or {}
        row = np.array(model.encoder.row(readings), np.float32)
        numbers = {name: float(value) for name, value in readings.items() if isinstance(value, int | float)}
        digest = sha256_hex(canonical_json({name: _plain(value) for name, value in readings.items()}))
        return _Ready(item, seat, model, prediction_id, digest, numbers, row, arrived)

    def _seen(
        self, content: bytes, width: int, height: int
    ) -> tuple[NDArray[np.uint8], dict[str, float], str]:
        pixels = decode(content, width, height, self._max_pixels)
        return pixels, statistics(pixels), sha256_hex(content)

    async def _answered(self, ready: Sequence[_Ready | BaseException]) -> list[Prediction | InferenceError]:
        results: list[Prediction | InferenceError | None] = [None] * len(ready)
        groups: dict[int, list[tuple[int, _Ready]]] = {}
        for place, one in enumerate(ready):
            if isinstance(one, _Ready):
                known = self._recall(one)
                if known is not None:
                    results[place] = known
                else:
                    groups.setdefault(id(one.model), []).append((place, one))
            elif isinstance(one, InferenceError):
                results[place] = one
            else:
                raise one
        answers = await asyncio.gather(*(self._run(group) for group in groups.values()))
        fresh = [
            (place, one, answer)
            for group, answered in zip(groups.values(), answers, strict=True)
            for (place, one), answer in zip(group, answered, strict=True)
        ]
        if fresh:
            await self._record(fresh)
        now = time.perf_counter()
        for place, one, answer in fresh:
            made = Prediction(one.prediction_id, one.model, answer, one.digest, now - one.arrived)
            results[place] = made
            self._remember(one, made)
            self._count(one, answer, made.seconds)
        self._start_shadows(fresh)
        return [result for result in results if result is not None]

    async def _run(self, group: Sequence[tuple[int, _Ready]]) -> list[Answer]:
        """The model's answers for inputs of one model; photos one by one, so that they share the threads."""
        model = group[0][1].model
        rows = [one.row for _, one in group]
        workers = self._workers[self._kind(group[0][1].item)]
        if isinstance(model.manifest.input, PhotoInput):
            answered = await asyncio.gather(*(workers.run(model.answer, row[np.newaxis]) for row in rows))
            return [answers[0] for answers in answered]
        return await workers.run(model.answer, np.stack(rows))

    async def _record(self, fresh: Sequence[tuple[int, _Ready, Answer]]) -> None:
        body = request_bytes(
            _recorded(one, answer, one.model, "champion" if one.model is one.seat.champion else "challenger")
            for _, one, answer in fresh
        )
        try:
            await self._outbox.put(body)
        except OutboxError as error:
            log.warning("predictions are not recorded, so they are not given", error=str(error))
            raise Unavailable("the prediction can't be recorded now: try again", reason="outbox") from error

    def _count(self, one: _Ready, answer: Answer, seconds: float) -> None:
        manifest = one.model.manifest
        self._metrics.latency.labels(self._kind(one.item)).observe(seconds)
        shown = answer.label if answer.value is None else "value"
        self._metrics.predictions.labels(manifest.model_id, manifest.version, shown).inc()
        if answer.confidence is not None:
            self._metrics.confidence.labels(manifest.model_id, answer.label).observe(answer.confidence)
        if answer.unsure:
            self._metrics.low_confidence.labels(manifest.model_id).inc()

    def _recall(self, one: _Ready) -> Prediction | None:
        """The answer that this very request, repeated, was given before."""
        if one.item.transaction_id is None:
            return None
        return self._recent.get((one.item.sensor_id, one.item.transaction_id, one.model.digest + one.digest))

    def _remember(self, one: _Ready, made: Prediction) -> None:
        if one.item.transaction_id is not None:
            key = one.item.sensor_id, one.item.transaction_id, one.model.digest + one.digest
            self._recent[key] = made
            if len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)

    def _start_shadows(self, fresh: Sequence[tuple[int, _Ready, Answer]]) -> None:
        """Let challengers in shadow answer too, after the champion; left out while the threads are busy."""
        for _, one, answer in fresh:
            shadow = one.seat.shadow
            if shadow is None:
                continue
            workers = self._workers[self._kind(one.item)]
            model_id = one.model.manifest.model_id
            if len(self._shadows) + workers.in_flight > workers.threads * 8:
                self._metrics.shadows.labels(model_id, "left_out").inc()
                continue
            task = asyncio.create_task(self._shadow(one, answer, shadow, workers))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def _shadow(self, one: _Ready, champion: Answer, shadow: LoadedModel, workers: Workers) -> None:
        outcome = "failed"
        model_id = shadow.manifest.model_id
        try:
            row = one.row
            if shadow.encoder is None and shadow.manifest.input != one.model.manifest.input:
                raise ModelUnusable(f"{shadow.name} takes photos of another size than the champion")
            if shadow.encoder is not None:
                row = np.array(shadow.encoder.row(one.item.readings or {}), np.float32)
            (answer,) = await workers.run(shadow.answer, row[np.newaxis])
            recorded = _recorded(one, answer, shadow, "shadow", champion.label)
            await self._outbox.put(request_bytes([recorded]))
            outcome = "agree" if answer.label == champion.label else "differ"
        except (InferenceError, OutboxError) as error:
            log.warning("a challenger in shadow did not answer", model=shadow.name, error=str(error))
        finally:
            self._metrics.shadows.labels(model_id, outcome).inc()


def _plain(value: object) -> Json:
    """A reading that the encoder has accepted, as JSON has it."""
    return value if isinstance(value, str | float | int) else None


def _recorded(
    one: _Ready,
    answer: Answer,
    model: LoadedModel,
    role: Literal["champion", "challenger", "shadow"],
    champion_label: str | None = None,
) -> Recorded:
    now = time.time_ns()
    item = one.item
    return Recorded(
        prediction_id=one.prediction_id,
        sensor_id=item.sensor_id,
        site_id=item.site_id,
        transaction_id=item.transaction_id,
        observed_ns=now if item.observed_ns is None else item.observed_ns,
        answered_ns=now,
        manifest=model.manifest,
        model_digest=model.digest,
        role=role,
        input_digest=one.digest,
        answer=answer,
        statistics=one.statistics,
        champion_label=champion_label,
    )
