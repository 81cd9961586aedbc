"""The service's parts put together, and its life: start, serve, follow the ledger, stop."""

from __future__ import annotations

import asyncio
import contextlib
from importlib.metadata import version
from typing import Final

import structlog

from inference.access import Principals
from inference.adoption import adopt
from inference.app import create_app
from inference.follower import Follower
from inference.governance.registry import Registry
from inference.metrics import InferenceMetrics
from inference.monitoring.health import Bounds
from inference.monitoring.metrics import HealthMetrics
from inference.monitoring.monitor import Monitor
from inference.monitoring.retraining import ACTOR, TRAIN, Retrainer
from inference.photos.rules import PhotoRules, host_rules
from inference.photos.sources import PhotoSource
from inference.predictor import Predictor
from inference.reviews.queue import ReviewQueue
from inference.reviews.vocabulary import Vocabulary
from inference.reviews.watch import watch_reviews
from inference.routes.models import model_routes
from inference.routes.operations import operation_routes
from inference.routes.predict import predict_routes
from inference.routes.reviews import review_routes
from inference.sensors import Sensors
from inference.serving.desk import Desk
from inference.settings import InferenceSettings
from outbox.forwarder import Forwarder
from outbox.gather import Gather
from outbox.sender import RawSender
from outbox.spool import Spool
from service.http_server import serving
from service.readiness import Readiness
from service.stopping import told_to_stop
from store.governance import GovernanceStore
from store.ground_truth import GroundTruthStore
from store.reviews import ReviewStore
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
    async with contextlib.AsyncExitStack() as stack:
        stop = stack.enter_context(told_to_stop())
        spool = Spool(settings.state_dir / OUTBOX)
        stack.callback(spool.close)
        sessions = Sessions(settings.database_url.get_secret_value())
        stack.push_async_callback(sessions.close)
        sender = await stack.enter_async_context(RawSender(settings.collector))
        photos = await stack.enter_async_context(PhotoSource(photo_rules(settings)))
        gather = await stack.enter_async_context(Gather(spool, "logs"))
        desk = Desk(settings.shelves, (settings.photo_model, settings.readings_model))
        metrics = InferenceMetrics(desk)
        registry = Registry(
            GovernanceStore(sessions), sender, settings.state_dir / KNOWN_MODELS, shelves=settings.shelves
        )
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
        reviews = ReviewQueue(
            ReviewStore(sessions),
            gather.put,
            audit_rate=settings.audit_sample,
            vocabulary=Vocabulary(desk, settings.shelves),
        )
        retrainer = _retrainer(settings, registry)
        if retrainer is not None:
            stack.push_async_callback(retrainer.close)
        # Connections of its own: a week of a large fleet takes longer to read than anybody else may wait.
        patient = Sessions(settings.database_url.get_secret_value(), most=2, timeout_s=60.0)
        stack.push_async_callback(patient.close)
        monitor = Monitor(
            registry,
            GroundTruthStore(patient),
            settings.shelves,
            Bounds(settings.accuracy_least, settings.drift_most),
            remedy=retrainer,
        )
        metrics.registry.register(HealthMetrics(monitor))
        readiness = Readiness()
        follower = Follower(registry, desk, readiness, metrics)
        await follower.once()
        app = create_app(
            (
                predict_routes(settings, predictor),
                model_routes(registry, settings.shelves),
                review_routes(reviews),
                operation_routes(desk, readiness, metrics, monitor, follower.once),
            ),
            principals,
            metrics,
            version("tally"),
        )
        await stack.enter_async_context(serving(app, settings.host, settings.port, "the inference service"))
        background = [
            asyncio.create_task(follower.run(settings.follow_s)),
            asyncio.create_task(Forwarder(spool, sender, metrics.registry).run()),
            asyncio.create_task(watch_reviews(reviews, metrics, settings.project_s)),
            asyncio.create_task(monitor.run(settings.monitor_s)),
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


def _retrainer(settings: InferenceSettings, registry: Registry) -> Retrainer | None:
    """What trains challengers, where the operator named specifications."""
    if not settings.retrain:
        return None
    models_dir = settings.models_dirs[0] if settings.models_dirs else settings.state_dir / "models"
    command = (*TRAIN, "--models", str(models_dir), "--actor", ACTOR, "--no-publish")
    return Retrainer(
        registry, settings.retrain, models_dir, settings.state_dir / "train.log", command=command
    )


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
