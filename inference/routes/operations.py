"""What orchestrators, Prometheus and engineers ask: health, readiness, metrics, what is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from inference.access import Principal, require
from inference.manifest import Identifier, PhotoInput, ReadingsInput
from inference.metrics import InferenceMetrics
from inference.monitoring.health import ModelHealth
from inference.monitoring.monitor import Monitor
from inference.routes.bodies import Failed
from inference.serving.desk import Desk, Seat
from inference.serving.model import LoadedModel
from service.readiness import Readiness

_TEXT: Final[dict[str, Any]] = {"text/plain": {"schema": {"type": "string"}}}
_HEALTH: Final[dict[int | str, dict[str, Any]]] = {200: {"content": _TEXT, "description": "it does"}}
_READY: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": _TEXT, "description": "they can"},
    503: {"content": _TEXT, "description": "not now, with the reason"},
}
_METRICS: Final[dict[int | str, dict[str, Any]]] = {200: {"content": _TEXT, "description": "as text"}}
_INFO: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": Failed, "description": "the ledger has no such model"},
    422: {"model": Failed, "description": "that is no name of a model"},
    503: {"model": Failed, "description": "the model has no champion that is loaded"},
}
_RELOAD: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Failed, "description": "no token, or one that nobody holds"},
    403: {"model": Failed, "description": "the token's holder has not the role govern"},
}


class SeatedModel(BaseModel):
    """A version that is loaded."""

    model: str
    version: str
    digest: str = Field(description="SHA-256 of its manifest, as the ledger has it")
    role: str = Field(description="champion, challenger or shadow")
    share: float = Field(description="of requests that it answers")
    title: str
    task: str
    classes: tuple[str, ...]
    covers: dict[str, tuple[str, ...]] = Field(description="machines' materials that a class stands for")
    unit: str = Field(description="of a regression's value")
    input: PhotoInput | ReadingsInput
    review_below: float
    metrics: dict[str, float] = Field(description="on held-back data")
    trained_at: str
    trained_by: str


class Serving(BaseModel):
    """Every seated version, and what could not be seated."""

    seated: list[SeatedModel]
    problems: dict[str, str] = Field(description="model to why the ledger's choice is not loaded")


def operation_routes(
    desk: Desk,
    readiness: Readiness,
    metrics: InferenceMetrics,
    monitor: Monitor,
    reload: Callable[[], Awaitable[None]],
) -> APIRouter:
    """``/health``, ``/ready``, ``/metrics``, ``/model/info``, ``/model/health``, ``/reload``."""
    router = APIRouter(tags=["operations"])

    @router.get("/health", summary="The process lives", response_class=Response, responses=_HEALTH)
    async def health() -> Response:
        return Response("ok\n", media_type="text/plain")

    @router.get("/ready", summary="Predictions can be made", response_class=Response, responses=_READY)
    async def ready() -> Response:
        return readiness.answer()

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=Response, responses=_METRICS)
    async def metrics_text() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @router.get("/model/info", summary="What is served now", responses=_INFO)
    async def model_info(model: Identifier | None = None) -> Serving:
        """Every model, or one: its seated versions with their input, classes and measured quality."""
        seats = {model: desk.seat(model)} if model is not None else dict(desk.seats)
        return Serving(
            seated=[one for seat in seats.values() for one in _seated(seat)], problems=dict(desk.problems)
        )

    @router.get("/model/health", summary="How right and how stable the served versions were for 7 days")
    async def model_health() -> list[ModelHealth]:
        """As measured last: accuracy from reviews, confusion, agreement with scale tickets, drift, findings.

        An empty list means that nothing was measured yet, or that nothing is served.
        """
        return list(monitor.latest)

    @router.post("/reload", summary="Follow the ledger at once", responses=_RELOAD)
    async def reload_now(_caller: Annotated[Principal, Depends(require("govern"))]) -> Serving:
        """Reads the ledger's steps of models and seats what they say; no request is dropped."""
        await reload()
        return await model_info()

    return router


def _seated(seat: Seat) -> list[SeatedModel]:
    beside = 0.0 if seat.challenger is None else seat.share
    found = [_told(seat.champion, "champion", 1.0 - beside)]
    if seat.challenger is not None:
        found.append(_told(seat.challenger, "challenger" if beside > 0 else "shadow", beside))
    return found


def _told(model: LoadedModel, role: str, share: float) -> SeatedModel:
    manifest = model.manifest
    return SeatedModel(
        model=manifest.model_id,
        version=manifest.version,
        digest=model.digest,
        role=role,
        share=share,
        title=manifest.title,
        task=manifest.task,
        classes=manifest.classes,
        covers=manifest.covers,
        unit=manifest.unit,
        input=manifest.input,
        review_below=manifest.review_below,
        metrics=manifest.metrics,
        trained_at=manifest.trained_at.isoformat(),
        trained_by=manifest.trained_by,
    )
