"""From a request to an answer: the one way that every prediction takes.

    sensor known? -> seat -> fetch and decode, or encode -> model -> outbox (on disk) -> answer

The event is in the durable outbox before the answer leaves.  A crash before that leaves neither.  A crash
after it, or a lost reply, leaves the event: a repeated request is answered from memory while the process
lives; if it died between, it is a second prediction of the same deposit, which reconciliation finds.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

import numpy as np
import structlog
from numpy.typing import NDArray

from inference.errors import BadInput, InferenceError, Unavailable
from inference.evidence import new_prediction_id, request_bodies
from inference.manifest import PhotoInput, sha256_hex
from inference.metrics import InferenceMetrics
from inference.photos.decode import decode
from inference.photos.sources import PhotoSource
from inference.photos.statistics import statistics
from inference.sensors import Sensors
from inference.serving.desk import Desk
from inference.serving.workers import Workers
from inference.shadows import Shadows
from inference.work import Done, Item, Key, Kind, Prediction, Task, key_of, kind_of, recorded, role_of
from ledger.canonical import Json, canonical_json
from outbox.errors import OutboxError
from outbox.gather import Gather

_REMEMBERED: Final = 10_000
"""Answers kept for requests that are repeated."""
_HELD_A_THREAD: Final = 4
"""Photos of each host in memory for each thread, half as many groups of files: more would only wait there."""
_TOGETHER: Final = 8
"""Files of one batch that a thread decodes and answers together."""
_FILES: Final = "file://"
_LARGEST: Final = 2**53
_WAIT_S: Final = 5.0
"""How long a photo from the network waits for others of its host."""

log = structlog.get_logger("inference.predictor")


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
        self._shadows = Shadows(outbox, metrics)
        self._recent: OrderedDict[Key, Prediction] = OrderedDict()
        self._claims: dict[Key, asyncio.Future[Prediction | InferenceError]] = {}

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
        kinds = [kind_of(item) for item in items]
        with ExitStack() as room:
            for kind, workers in self._workers.items():
                if count := kinds.count(kind):
                    room.enter_context(workers.admitted(count))
            tasks = await asyncio.gather(*(self._task(item) for item in items), return_exceptions=True)
            return await self._answered(tasks, arrived)

    async def close(self) -> None:
        """Finish what runs."""
        await self._shadows.finish()
        for workers in self._workers.values():
            workers.close()

    async def _task(self, item: Item) -> Task:
        await self._sensors.check(item.sensor_id)
        seat = self._desk.seat(item.model_id)
        prediction_id = new_prediction_id()
        model = seat.choose(item.transaction_id or prediction_id)
        if (item.image_url is not None) != isinstance(model.manifest.input, PhotoInput):
            wanted = "readings" if model.encoder is not None else "an image_url"
            raise BadInput(f"the model {item.model_id} takes {wanted}", reason="wrong_input")
        if item.image_url is not None:
            _check_beside(item.readings or {})
        return Task(item, seat, model, prediction_id)

    async def _answered(
        self, tasks: Sequence[Task | BaseException], arrived: float
    ) -> list[Prediction | InferenceError]:
        """Answer what can be answered, put all of it on record, then tell."""
        photos = [task for task in tasks if isinstance(task, Task) and task.item.image_url is not None]
        tables: dict[str, list[Task]] = {}
        for task in tasks:
            if isinstance(task, Task) and task.item.image_url is None:
                tables.setdefault(task.model.digest, []).append(task)
        answered = await asyncio.gather(
            *(self._photos_of(host, group) for host, group in self._grouped(photos)),
            *(self._table(group) for group in tables.values()),
        )
        outcomes = {id(task): outcome for part in answered for task, outcome in part}
        kept = await self._kept(
            [outcome for outcome in outcomes.values() if isinstance(outcome, Done)], arrived
        )
        results: list[Prediction | InferenceError] = []
        for task in tasks:
            outcome = task if isinstance(task, BaseException) else outcomes[id(task)]
            if isinstance(outcome, Done):
                outcome = kept[id(task)]
            elif not isinstance(outcome, Prediction | InferenceError):
                raise outcome
            results.append(outcome)
        return results

    async def _kept(self, answers: Sequence[Done], arrived: float) -> dict[int, Prediction | InferenceError]:
        """Put answers on record, by the ids of their tasks what is told.

        Of equal requests that are under way at the same time the first one is recorded, and answers all.
        """
        told: dict[int, Prediction | InferenceError] = {}
        claims = self._claims
        mine: list[Done] = []
        others: list[tuple[Done, asyncio.Future[Prediction | InferenceError]]] = []
        for done in answers:
            key = key_of(done.task, done.digest)
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
                key = key_of(done.task, done.digest)
                if key is not None:
                    claims.pop(key).set_result(told.get(id(done.task), failure))
        for done, claim in others:
            told[id(done.task)] = await asyncio.shield(claim)
        self._shadows.start(mine)
        return told

    def _grouped(self, photos: Sequence[Task]) -> Iterator[tuple[str, list[Task]]]:
        """Photos that one thread answers, with their host: files a few at a time, others alone."""
        files = []
        for task in photos:
            host = "/".join((task.item.image_url or "").split("/", 3)[:3]).lower()
            if host == _FILES:
                files.append(task)
            else:
                yield host, [task]
        size = max(1, min(_TOGETHER, len(files) // self._workers["photo"].threads))
        for place in range(0, len(files), size):
            yield _FILES, files[place : place + size]

    async def _photos_of(self, host: str, tasks: Sequence[Task]) -> list[tuple[Task, _Outcome]]:
        """Photos are fetched by the loop; one thread then does all the rest."""
        most = self._most_held // 2 if host == _FILES else self._most_held
        held = self._held.setdefault(host, asyncio.Semaphore(most))
        try:
            # Files do not hang: a large batch of them only takes its time.
            async with asyncio.timeout(None if host == _FILES else _WAIT_S):
                await held.acquire()
        except TimeoutError:
            busy = Unavailable("photos from that host wait too long: try again", reason="busy")
            return [(task, busy) for task in tasks]
        try:
            contents = await self._contents(tasks)
            return await self._workers["photo"].run(self._seen, list(zip(tasks, contents, strict=True)))
        finally:
            held.release()

    async def _contents(self, tasks: Sequence[Task]) -> list[bytes | InferenceError]:
        urls = [task.item.image_url or "" for task in tasks]
        if len(urls) > 1:
            return await self._photos.fetch_files(urls)
        try:
            return [await self._photos.fetch(urls[0])]
        except InferenceError as error:
            return [error]

    def _seen(self, fetched: Sequence[tuple[Task, bytes | InferenceError]]) -> list[tuple[Task, _Outcome]]:
        """All are decoded, then all are answered: a model drives a decoder's data out of the caches."""
        outcomes: list[tuple[Task, _Outcome]] = []
        decoded: list[tuple[Task, str, NDArray[np.uint8], dict[str, float]]] = []
        for task, content in fetched:
            if isinstance(content, InferenceError):
                outcomes.append((task, content))
                continue
            digest = sha256_hex(content)
            if (known := self._recall(task, digest)) is not None:
                outcomes.append((task, known))
                continue
            asked = task.model.manifest.input
            assert isinstance(asked, PhotoInput)
            try:
                pixels = decode(content, asked.width, asked.height, self._max_pixels)
            except BadInput as error:
                outcomes.append((task, error))
                continue
            decoded.append((task, digest, pixels, statistics(pixels)))
        for task, digest, pixels, described in decoded:
            try:
                (answer,) = task.model.answer(pixels[np.newaxis])
                outcomes.append((task, Done(task, answer, pixels, digest, described)))
            except InferenceError as error:
                outcomes.append((task, error))
        return outcomes

    async def _table(self, tasks: Sequence[Task]) -> list[tuple[Task, _Outcome]]:
        """Readings for one model are answered together, the bad ones left out."""
        model = tasks[0].model
        assert model.encoder is not None
        outcomes: list[tuple[Task, _Outcome]] = []
        good: list[tuple[Task, list[float], str]] = []
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
            outcomes.append((task, Done(task, answer, row, digest, _numbers(task.item))))
        return outcomes

    async def _record(self, fresh: Sequence[Done]) -> None:
        records = [recorded(done, done.answer, done.task.model, role_of(done)) for done in fresh]
        try:
            await self._outbox.put(*request_bodies(records))
        except OutboxError as error:
            log.warning("predictions are not recorded, so they are not given", error=str(error))
            raise _unrecorded() from error

    def _told(self, done: Done, seconds: float) -> Prediction:
        """Remember and count an answer that is on record."""
        task, answer = done.task, done.answer
        made = Prediction(task.prediction_id, task.model, answer, done.digest, seconds)
        if (key := key_of(task, done.digest)) is not None:
            self._recent[key] = made
            if len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)
        manifest = task.model.manifest
        self._metrics.latency.labels(kind_of(task.item)).observe(seconds)
        shown = answer.label if answer.value is None else "value"
        self._metrics.predictions.labels(manifest.model_id, manifest.version, shown).inc()
        if answer.confidence is not None:
            self._metrics.confidence.labels(manifest.model_id, answer.label).observe(answer.confidence)
        if answer.unsure:
            self._metrics.low_confidence.labels(manifest.model_id).inc()
        return made

    def _recall(self, task: Task, digest: str) -> Prediction | None:
        """The answer that this very request, repeated, was given before."""
        key = key_of(task, digest)
        return None if key is None else self._recent.get(key)


_Outcome = Done | Prediction | InferenceError
"""A fresh answer, the answer that a repeated request was given before, or why there is none."""


def _check_beside(readings: Mapping[str, object]) -> None:
    """Readings beside a photo are only kept: they must be what the ledger can hold."""
    for name, value in readings.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"{name}: expected a finite number, got {value}", reason="not_finite")
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise BadInput(f"{name}: expected at most 2^53, got a larger integer", reason="out_of_bounds")


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
