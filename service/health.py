"""What orchestrators and Prometheus ask of a service."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from service.readiness import Readiness


def health_routes(readiness: Readiness, registry: CollectorRegistry) -> APIRouter:
    """``/healthz``: the process lives. ``/readyz``: it can work. ``/metrics``: Prometheus text."""
    router = APIRouter()

    @router.get("/healthz", summary="The process lives")
    async def healthz() -> Response:
        return Response("ok\n", media_type="text/plain")

    @router.get("/readyz", summary="The service can do its work")
    async def readyz() -> Response:
        return readiness.answer()

    @router.get("/metrics", summary="Metrics for Prometheus")
    async def metrics_text() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
