"""The sealer as a service: a round every few seconds, until told to stop; health and metrics over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Final

import structlog
from fastapi import FastAPI

from audit.errors import AuditError, ForkRefused
from audit.sealing.metrics import SealerMetrics
from audit.sealing.parts import sealing
from audit.sealing.rounds import Done, Rounds
from audit.sealing.settings import SealerSettings
from ledger.errors import LedgerError
from service.health import health_routes
from service.http_server import serving
from service.readiness import Readiness
from service.stopping import told_to_stop
from store.errors import StoreError

_LOG: Final = structlog.get_logger("sealer")


async def serve(settings: SealerSettings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code.

    Raises:
        AuditError, service.errors.KeyUnusable: key or policy are not usable.
        OSError: the port is taken.
    """
    metrics = SealerMetrics()
    readiness = Readiness()
    app = FastAPI(title="Tally sealer", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(health_routes(readiness, metrics.registry))
    with sealing(
        settings.database_url.get_secret_value(),
        settings.key.get_secret_value(),
        settings.log_dir,
        settings.policy,
        timestamp_url=settings.timestamp_url,
        metrics=metrics,
    ) as rounds:
        async with contextlib.AsyncExitStack() as stack:
            stop = stack.enter_context(told_to_stop())
            await stack.enter_async_context(serving(app, settings.host, settings.port, "the sealer"))
            stopping = threading.Event()
            work = asyncio.create_task(_rounds(rounds, settings.interval_s, readiness, metrics, stopping))
            await stop.wait()
            stopping.set()
            await work
    return 0


async def _rounds(
    rounds: Rounds,
    interval_s: float,
    readiness: Readiness,
    metrics: SealerMetrics,
    stopping: threading.Event,
) -> None:
    """One round after the other, each in a thread, as database, files and witnesses all block.

    Whatever fails, the next round is tried; until one succeeds, the program is not ready.
    """
    trouble = ""
    while not stopping.is_set():
        try:
            done = await asyncio.to_thread(rounds.run, stopping.is_set)
            _say(done, readiness)
            trouble = ""
        except Exception as error:  # noqa: BLE001  # a loop that ended would look as healthy as one that works
            foreseen = isinstance(error, (AuditError, StoreError, LedgerError))
            said = str(error) if foreseen else f"not foreseen: {type(error).__name__}: {error}"
            metrics.failures.labels(type(error).__name__).inc()
            readiness.unready(said)
            if said != trouble:  # an outage is said once, not every few seconds
                level = _LOG.warning if foreseen and not isinstance(error, ForkRefused) else _LOG.error
                level("round_failed", reason=type(error).__name__, trouble=said, exc_info=not foreseen)
            trouble = said
        await asyncio.to_thread(stopping.wait, interval_s)


def _say(done: Done | None, readiness: Readiness) -> None:
    if done is not None and done.contradiction is not None:
        readiness.unready(done.contradiction)
    else:
        readiness.ready()
    if done is None:
        _LOG.info("standing_by", why="another sealer is at work on this database")
    elif done.sealed.rows and done.sealed.head is not None:
        head = done.sealed.head
        _LOG.info(
            "sealed", batch=head.batch.number, size=head.batch.size, rows=done.sealed.rows, quorum=done.quorum
        )
