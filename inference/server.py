"""The service's parts put together, and its life: start, serve, follow the ledger, stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

import structlog

from inference.access import Principals
from inference.adoption import adopt
from inference.app import create_app
from inference.governance.registry import Registry
from inference.governance.state import ModelState
from inference.metrics import InferenceMetrics
from inference.photos.rules import PhotoRules, host_rules
from inference.photos.sources import PhotoSource
from inference.predictor import Predictor
from inference.routes.operations import operation_routes
from inference.routes.predict import predict_routes
from inference.sensors import Sensors
from inference.serving.desk import Desk, Plan, Post
from inference.settings import InferenceSettings
from outbox.forwarder import Forwarder
from outbox.gather import Gather
from outbox.sender import RawSender
from outbox.spool import Spool
from service.http_server import serving
from service.readiness import Readiness
from store.errors import StoreError
from store.governance import GovernanceStore
from store.sessions import Sessions

OUTBOX: Final = "outbox.sqlite"
KNOWN_MODELS: Final = "models.json"

log = structlog.get_logger("inference")


async def serve(settings: InferenceSettings) -> int:
    """Run the service until SIGTERM or SIGINT; returns the exit code.

    Raises:
        OSError: it can't listen.
        InferenceError: a file or a rule of the settings is unusable.
        OutboxError: the outbox can't be opened.
    """
    principals = Principals.read(settings.principals)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        spool = Spool(settings.state_dir / OUTBOX)
        stack.callback(spool.close)
        sessions = Sessions(settings.database_url.get_secret_value())
        stack.push_async_callback(sessions.close)
        sender = await stack.enter_async_context(RawSender(settings.collector))
        photos = await stack.enter_async_context(PhotoSource(photo_rules(settings)))
        gather = await stack.enter_async_context(Gather(spool, "logs"))
        desk = Desk(settings.shelves, (settings.photo_model, settings.readings_model))
        metrics = InferenceMetrics(desk)
        registry = Registry(GovernanceStore(sessions), sender, settings.state_dir / KNOWN_MODELS)
        predictor = Predictor(
            desk,
            Sensors(sessions, settings.sensors),
            photos,
            gather,
            metrics,
            threads=settings.threads,
            max_in_flight=settings.max_in_flight,
            max_pixels=settings.max_photo_pixels,
        )
        stack.push_async_callback(predictor.close)
        readiness = Readiness()
        follower = Follower(registry, desk, readiness, metrics)
        await follower.once()
        app = create_app(
            (
                predict_routes(settings, predictor),
                operation_routes(desk, readiness, metrics, follower.once),
            ),
            principals,
            metrics,
            version("tally"),
        )
        app.state.registry = registry
        await stack.enter_async_context(serving(app, settings.host, settings.port, "the inference service"))
        background = [
            asyncio.create_task(follower.run(settings.follow_s)),
            asyncio.create_task(Forwarder(spool, sender, metrics.registry).run()),
        ]
        adoption = asyncio.create_task(adopt(registry, [settings.packaged])) if settings.adopt else None
        log.info("listening", port=settings.port, models=sorted(desk.seats))
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({stopped, *background}, return_when=asyncio.FIRST_COMPLETED)
        readiness.unready("stopping")
        broken = [task for task in background if task in done]
        for task in (*background, stopped, *([adoption] if adoption else [])):
            task.cancel()
        for result in await asyncio.gather(*background, return_exceptions=True):
            if isinstance(result, Exception):
                log.error("a part of the service broke", exc_info=result)
        log.info("stopped", waiting_for_the_collector=spool.depth().requests)
        return 1 if broken else 0


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

    async def once(self) -> None:
        """Ask the ledger, seat what it says; without the database what was last known is seated."""
        async with self._turn:
            try:
                await self._registry.refresh()
                self._metrics.ledger_followed.set(1)
            except StoreError as error:
                self._metrics.ledger_followed.set(0)
                log.warning("the ledger's models can't be read, the last known are served", error=str(error))
            if await self._desk.follow(plans(self._registry.models)):
                log.info(
                    "seated", models={name: seat.champion.name for name, seat in self._desk.seats.items()}
                )
            if self._desk.seats:
                self._readiness.ready()
            else:
                self._readiness.unready("no model is promoted yet: tally models promote")

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


def photo_rules(settings: InferenceSettings) -> PhotoRules:
    """Where photos may come from, as the operator set it.

    Raises:
        InferenceError: a root is no folder, or a rule none.
    """
    return PhotoRules(
        roots=settings.photo_roots,
        hosts=host_rules(settings.photo_hosts),
        s3_endpoint=settings.s3_endpoint,
        s3_buckets=settings.s3_buckets,
        s3_access_key=settings.s3_access_key,
        s3_secret_key=settings.s3_secret_key,
        s3_region=settings.s3_region,
        max_bytes=settings.max_photo_bytes,
        max_pixels=settings.max_photo_pixels,
    )
