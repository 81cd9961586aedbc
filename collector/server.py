"""The collector's parts put together, and its life: start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import structlog

from collector.budget import Budget
from collector.errors import RequestError
from collector.grpc_server import create_grpc_server
from collector.http import create_app
from collector.metrics import CollectorMetrics
from collector.pipeline import Pipeline
from collector.service import IngestService
from collector.settings import CollectorSettings
from service.health import health_routes
from service.http_server import serving
from service.readiness import Readiness
from service.stopping import told_to_stop
from store.errors import StoreError
from store.writer import LedgerWriter, Step, last_seen, no_step

_WRITERS: Final = 2
"""Connections that batches are written on: one copies while the other commits."""
_HOUSEKEEPING_S: Final = 600.0
_PROBE_S: Final = 2.0

log = structlog.get_logger("collector")


async def serve(settings: CollectorSettings, *, step: Step = no_step) -> int:
    """Run the collector until SIGTERM or SIGINT; returns the exit code.

    ``step`` hears of each step that a request passes, for fault tests.
    """
    metrics = CollectorMetrics(settings.max_machines)
    url = settings.database_url.get_secret_value()
    writers = [LedgerWriter(url, step=step) for _ in range(_WRITERS)]
    reader = LedgerWriter(url)
    pipeline = Pipeline(
        writers,
        reader,
        metrics,
        max_queue_rows=settings.max_queue_rows,
        max_queue_bytes=settings.max_queue_bytes,
        max_batch_rows=settings.max_batch_rows,
        retry_after_s=settings.retry_after_s,
    )
    service = IngestService(
        pipeline,
        metrics,
        reply_within_s=settings.reply_within_s,
        retry_after_s=settings.retry_after_s,
        step=step,
    )
    readiness = Readiness()
    budget = Budget(settings.max_in_flight_bytes, settings.retry_after_s)

    def refused(signal_name: str, error: RequestError) -> None:
        metrics.requests.labels(signal_name, type(error).__name__).inc()

    app = create_app(
        service,
        max_bytes=settings.max_request_bytes,
        budget=budget,
        on_refusal=refused,
        extra_routes=health_routes(readiness, metrics.registry),
    )
    grpc_server = create_grpc_server(
        service, max_bytes=settings.max_request_bytes, budget=budget, on_refusal=refused
    )
    async with contextlib.AsyncExitStack() as stack:
        stop = stack.enter_context(told_to_stop())
        pipeline.start()
        stack.push_async_callback(_close, [*writers, reader])
        await stack.enter_async_context(serving(app, settings.host, settings.http_port, "OTLP/HTTP"))
        try:
            grpc_server.add_insecure_port(f"{settings.host}:{settings.grpc_port}")
        except RuntimeError as error:
            where = f"{settings.host}:{settings.grpc_port}"
            raise OSError(f"OTLP/gRPC can't listen on {where}: {error}") from error
        await grpc_server.start()
        watch = asyncio.create_task(_watch_database(url, readiness, metrics, pipeline))
        background = [
            watch,
            asyncio.create_task(_load_last_seen(url, metrics)),
            asyncio.create_task(_housekeep(LedgerWriter(url), settings)),
        ]
        log.info("listening", grpc_port=settings.grpc_port, http_port=settings.http_port)
        stopped = asyncio.create_task(stop.wait())
        broken = asyncio.create_task(pipeline.failed())
        await asyncio.wait({stopped, broken}, return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()  # or it would call us ready while we drain
        readiness.unready("stopping")
        # New requests are told to try later while those accepted are committed and answered.
        left = await pipeline.drain(settings.drain_s)
        await grpc_server.stop(grace=1.0)
        for task in (*background, stopped, broken):
            task.cancel()
        await asyncio.gather(*background, stopped, broken, return_exceptions=True)
        log.info("stopped", unacknowledged_requests=left)
        return 1 if broken.done() and not broken.cancelled() else 0


async def _watch_database(
    url: str, readiness: Readiness, metrics: CollectorMetrics, pipeline: Pipeline
) -> None:
    """Readiness follows the database: it answers, and it takes what the pipeline writes."""
    probe = LedgerWriter(url, timeout_s=5.0)
    try:
        while True:
            try:
                await probe.heads([("telemetry", "")])
                if pipeline.stalled is None:
                    metrics.database_up.set(1)
                    readiness.ready()
                else:  # a full disk, a missing right: it can be read and not written
                    readiness.unready(f"database: {pipeline.stalled}")
            except StoreError as error:
                metrics.database_up.set(0)
                readiness.unready(f"database: {error}")
            await asyncio.sleep(_PROBE_S if readiness.reason is None else _PROBE_S / 10)
    finally:
        await probe.close()


async def _load_last_seen(url: str, metrics: CollectorMetrics) -> None:
    """Machines silent since before this start get their last-seen time from the ledger, once."""
    while True:
        try:
            machines = await last_seen(url)
        except StoreError as error:
            log.warning("last-seen times are not read yet", error=str(error))
            await asyncio.sleep(_HOUSEKEEPING_S / 20)
            continue
        for machine_id, site_id, received_at in machines:
            metrics.last_seen.seen(machine_id, site_id, received_at.timestamp())
        return


async def _housekeep(writer: LedgerWriter, settings: CollectorSettings) -> None:
    """Forget requests that are too old to be retried."""
    try:
        while True:
            try:
                await writer.forget_requests(settings.remember_requests)
            except StoreError as error:
                log.warning("old request digests were not forgotten", error=str(error))
            await asyncio.sleep(_HOUSEKEEPING_S)
    finally:
        await writer.close()


async def _close(writers: list[LedgerWriter]) -> None:
    for writer in writers:
        await writer.close()
