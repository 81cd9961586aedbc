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
from weakref import WeakValueDictionary

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
_HELD_A_THREAD: Final = 4
"""Photos in memory of each host for each thread: more would wait for a thread with all their bytes."""
_RECORDS: Final = 256
"""Answers in one request: the collector takes none that is spread over more than 400 days."""
_WAIT_S: Final = 5.0
"""How long a photo from the network waits for others of its host."""

Kind = Literal["photo", "readings"]
Row = NDArray[np.uint8] | NDArray[np.float32]
"""A model's input: pixels [height, width, 3], or columns of readings [columns]."""

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
class _Task:
    """An item with who answers it."""

    item: Item
    seat: Seat
    model: LoadedModel
    prediction_id: str


@dataclass(frozen=True, slots=True)
class _Done:
    """A task that is answered, with what else is kept of its input."""

    task: _Task
    answer: Answer
    row: Row
    digest: str
    statistics: Mapping[str, float]


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
        self._most_held = threads * _HELD_A_THREAD
        # Of each host its own, so that one that hangs holds no other up.
        self._held: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._shadows: set[asyncio.Task[None]] = set()
        self._recent: OrderedDict[_Key, Prediction] = OrderedDict()
        self._claims: dict[_Key, asyncio.Future[Prediction | InferenceError]] = {}

    async def predict(self, item: Item) -> Prediction:
        """The answer for one item, on record.

        Raises:
            InferenceError: it can't be answered; nothing is recorded.
        """
        (answered,) = await self._all([item])
        if isinstance(answered, InferenceError):
            raise answered
        return answered

    async def predict_all(self, items: Sequence[Item]) -> list[Prediction | InferenceError]:
        """For each item its answer, or why there is none; a bad item costs no other.

        Raises:
            Unavailable: too much is under way, or the outbox takes nothing; nothing is recorded.
        """
        results = await self._all(items)
        for result in results:
            if isinstance(result, InferenceError):
                self._metrics.errors.labels(result.reason).inc()
        return results

    async def _all(self, items: Sequence[Item]) -> list[Prediction | InferenceError]:
        arrived = time.perf_counter()
        kinds = [_kind(item) for item in items]
        with ExitStack() as room:
            for kind, workers in self._workers.items():
                if count := kinds.count(kind):
                    room.enter_context(workers.admitted(count))
            tasks = await asyncio.gather(*(self._task(item) for item in items), return_exceptions=True)
            return await self._answered(tasks, arrived)

    async def close(self) -> None:
        """Finish what runs."""
        await asyncio.gather(*self._shadows, return_exceptions=True)
        for workers in self._workers.values():
            workers.close()

    async def _task(self, item: Item) -> _Task:
        await self._sensors.check(item.sensor_id)
        seat = self._desk.seat(item.model_id)
        prediction_id = new_prediction_id()
        model = seat.choose(item.transaction_id or prediction_id)
        if (item.image_url is not None) != isinstance(model.manifest.input, PhotoInput):
            wanted = "readings" if model.encoder is not None else "an image_url"
            raise BadInput(f"the model {item.model_id} takes {wanted}", reason="wrong_input")
        return _Task(item, seat, model, prediction_id)

    async def _answered(
        self, tasks: Sequence[_Task | BaseException], arrived: float
    ) -> list[Prediction | InferenceError]:
        """Answer what can be answered, put all of it on record, then tell."""
        photos = [task for task in tasks if isinstance(task, _Task) and task.item.image_url is not None]
        tables: dict[str, list[_Task]] = {}
        for task in tasks:
            if isinstance(task, _Task) and task.item.image_url is None:
                tables.setdefault(task.model.digest, []).append(task)
        answered = await asyncio.gather(
            *(self._photo(task) for task in photos), *(self._table(group) for group in tables.values())
        )
        outcomes = {id(task): outcome for part in answered for task, outcome in part}
        kept = await self._kept(
            [outcome for outcome in outcomes.values() if isinstance(outcome, _Done)], arrived
        )
        results: list[Prediction | InferenceError] = []
        for task in tasks:
            outcome = task if isinstance(task, BaseException) else outcomes[id(task)]
            if isinstance(outcome, _Done):
                outcome = kept[id(task)]
            elif not isinstance(outcome, Prediction | InferenceError):
                raise outcome
            results.append(outcome)
        return results

    async def _kept(self, answers: Sequence[_Done], arrived: float) -> dict[int, Prediction | InferenceError]:
        """Put answers on record, by the ids of their tasks what is told.

        Of equal requests that are under way at the same time the first one is recorded, and answers all.
        """
        told: dict[int, Prediction | InferenceError] = {}
        claims = self._claims
        mine: list[_Done] = []
        others: list[tuple[_Done, asyncio.Future[Prediction | InferenceError]]] = []
        for done in answers:
            key = _key(done.task, done.digest)
            if key is not None and (known := self._recent.get(key)) is not None:
                told[id(done.task)] = known
            elif key is not None and key in claims:
                others.append((done, claims[key]))
            else:
                mine.append(done)
                if key is not None:
                    claims[key] = asyncio.get_running_loop().create_future()
        failure: InferenceError = _unrecorded()
        try:
            if mine:
                await self._record(mine)
            seconds = time.perf_counter() - arrived
            told |= {id(done.task): self._told(done, seconds) for done in mine}
        except Unavailable as error:
            failure = error
            raise
        finally:
            for done in mine:
                key = _key(done.task, done.digest)
                if key is not None:
                    claims.pop(key).set_result(told.get(id(done.task), failure))
        for done, claim in others:
            told[id(done.task)] = await asyncio.shield(claim)
        self._start_shadows(mine)
        return told

    async def _photo(self, task: _Task) -> list[tuple[_Task, _Outcome]]:
        """A photo is fetched by the loop; one thread then does all the rest."""
        assert task.item.image_url is not None
        host = "/".join(task.item.image_url.split("/", 3)[:3]).lower()
        held = self._held.setdefault(host, asyncio.Semaphore(self._most_held))
        try:
            # Files do not hang: a large batch of them only takes its time.
            async with asyncio.timeout(None if host.startswith("file:") else _WAIT_S):
                await held.acquire()
        except TimeoutError:
            busy = Unavailable("photos from that host wait too long: try again", reason="busy")
            return [(task, busy)]
        try:
            content = await self._photos.fetch(task.item.image_url)
            return [(task, await self._workers["photo"].run(self._seen, task, content))]
        except InferenceError as error:
            return [(task, error)]
        finally:
            held.release()

    def _seen(self, task: _Task, content: bytes) -> _Outcome:
        digest = sha256_hex(content)
        if (known := self._recall(task, digest)) is not None:
            return known
        asked = task.model.manifest.input
        assert isinstance(asked, PhotoInput)
        pixels = decode(content, asked.width, asked.height, self._max_pixels)
        (answer,) = task.model.answer(pixels[np.newaxis])
        return _Done(task, answer, pixels, digest, statistics(pixels))

    async def _table(self, tasks: Sequence[_Task]) -> list[tuple[_Task, _Outcome]]:
        """Readings for one model are answered together, the bad ones left out."""
        model = tasks[0].model
        assert model.encoder is not None
        outcomes: list[tuple[_Task, _Outcome]] = []
        good: list[tuple[_Task, list[float], str]] = []
        for task in tasks:
            readings = task.item.readings or {}
            try:
                row = model.encoder.row(readings)
            except BadInput as error:
                outcomes.append((task, error))
                continue
            digest = sha256_hex(canonical_json({name: _plain(value) for name, value in readings.items()}))
            known = self._recall(task, digest)
            if known is None:
                good.append((task, row, digest))
            else:
                outcomes.append((task, known))
        if not good:
            return outcomes
        rows = np.array([row for _, row, _ in good], np.float32)
        try:
            answers = await self._workers["readings"].run(model.answer, rows)
        except InferenceError as error:
            return outcomes + [(task, error) for task, _, _ in good]
        for (task, _, digest), row, answer in zip(good, rows, answers, strict=True):
            outcomes.append((task, _Done(task, answer, row, digest, _numbers(task.item))))
        return outcomes

    async def _record(self, fresh: Sequence[_Done]) -> None:
        records = [_recorded(done, done.answer, done.task.model, _role(done)) for done in fresh]
        bodies = [
            request_bytes(records[place : place + _RECORDS]) for place in range(0, len(records), _RECORDS)
        ]
        try:
            await self._outbox.put(*bodies)
        except OutboxError as error:
            log.warning("predictions are not recorded, so they are not given", error=str(error))
            raise _unrecorded() from error

    def _told(self, done: _Done, seconds: float) -> Prediction:
        """Remember and count an answer that is on record."""
        task, answer = done.task, done.answer
        made = Prediction(task.prediction_id, task.model, answer, done.digest, seconds)
        if (key := _key(task, done.digest)) is not None:
            self._recent[key] = made
            if len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)
        manifest = task.model.manifest
        self._metrics.latency.labels(_kind(task.item)).observe(seconds)
        shown = answer.label if answer.value is None else "value"
        self._metrics.predictions.labels(manifest.model_id, manifest.version, shown).inc()
        if answer.confidence is not None:
            self._metrics.confidence.labels(manifest.model_id, answer.label).observe(answer.confidence)
        if answer.unsure:
            self._metrics.low_confidence.labels(manifest.model_id).inc()
        return made

    def _recall(self, task: _Task, digest: str) -> Prediction | None:
        """The answer that this very request, repeated, was given before."""
        key = _key(task, digest)
        return None if key is None else self._recent.get(key)

    def _start_shadows(self, fresh: Sequence[_Done]) -> None:
        """Let challengers in shadow answer too, after the champion; left out while the threads are busy."""
        for done in fresh:
            shadow = done.task.seat.shadow
            if shadow is None:
                continue
            workers = self._workers[_kind(done.task.item)]
            if len(self._shadows) + workers.in_flight > workers.threads * 8:
                self._metrics.shadows.labels(shadow.manifest.model_id, "left_out").inc()
                continue
            task = asyncio.create_task(self._shadow(done, shadow, workers))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def _shadow(self, done: _Done, shadow: LoadedModel, workers: Workers) -> None:
        outcome = "failed"
        try:
            row = done.row
            if shadow.encoder is not None:
                row = np.array(shadow.encoder.row(done.task.item.readings or {}), np.float32)
            elif shadow.manifest.input != done.task.model.manifest.input:
                raise ModelUnusable(f"{shadow.name} takes photos of another size than the champion")
            (answer,) = await workers.run(shadow.answer, row[np.newaxis])
            await self._outbox.put(request_bytes([_recorded(done, answer, shadow, "shadow")]))
            outcome = "agree" if answer.label == done.answer.label else "differ"
        except (InferenceError, OutboxError) as error:
            log.warning("a challenger in shadow did not answer", model=shadow.name, error=str(error))
        finally:
            self._metrics.shadows.labels(shadow.manifest.model_id, outcome).inc()


_Key = tuple[str, str, str, str]
"""Sensor, transaction, model and digest of the input."""
_Outcome = _Done | Prediction | InferenceError
"""A fresh answer, the answer that a repeated request was given before, or why there is none."""


def _kind(item: Item) -> Kind:
    return "photo" if item.image_url is not None else "readings"


def _role(done: _Done) -> Literal["champion", "challenger"]:
    return "champion" if done.task.model is done.task.seat.champion else "challenger"


def _key(task: _Task, digest: str) -> _Key | None:
    """What makes a request of a deposit the same as another.

    The model's version is not part of it: what is asked again after a promotion was answered before.
    """
    item = task.item
    return (
        None if item.transaction_id is None else (item.sensor_id, item.transaction_id, item.model_id, digest)
    )


def _unrecorded() -> Unavailable:
    return Unavailable("the prediction can't be recorded now: try again", reason="outbox")


def _numbers(item: Item) -> dict[str, float]:
    """The readings that are numbers: what drift is measured by."""
    return {
        name: float(value) for name, value in (item.readings or {}).items() if isinstance(value, int | float)
    }


def _plain(value: object) -> Json:
    """A reading that the encoder has accepted, as JSON has it."""
    return value if isinstance(value, str | float | int) else None


def _recorded(
    done: _Done, answer: Answer, model: LoadedModel, role: Literal["champion", "challenger", "shadow"]
) -> Recorded:
    now = time.time_ns()
    item = done.task.item
    return Recorded(
        prediction_id=done.task.prediction_id,
        sensor_id=item.sensor_id,
        site_id=item.site_id,
        transaction_id=item.transaction_id,
        observed_ns=now if item.observed_ns is None else item.observed_ns,
        answered_ns=now,
        manifest=model.manifest,
        model_digest=model.digest,
        role=role,
        input_digest=done.digest,
        answer=answer,
        statistics=done.statistics,
        champion_label=done.answer.label if role == "shadow" else None,
    )
