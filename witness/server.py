"""The service's parts put together, and its life: start, serve, stop."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from service.http_server import serving
from service.stopping import told_to_stop
from witness.app import create_app
from witness.cosigner import Cosigner
from witness.evidence import Evidence
from witness.keys import signing_key, trusted_logs
from witness.metrics import WitnessMetrics
from witness.settings import WitnessSettings
from witness.state import State

log = structlog.get_logger("witness")


async def serve(settings: WitnessSettings, clock: Callable[[], float] = time.time) -> int:
    """Run the witness until SIGTERM or SIGINT; returns the exit code.

    Raises:
        OSError: it can't listen.
        WitnessError, service.errors.KeyUnusable: a key, a policy or the state is unusable.
    """
    key, logs = signing_key(settings.key.get_secret_value()), trusted_logs(settings)
    state = State(settings.state_dir)
    try:
        with told_to_stop() as stop:
            metrics = WitnessMetrics()
            cosigner = Cosigner(key, logs, state, Evidence(settings.state_dir), metrics, clock=clock)
            if state.new:
                log.warning(
                    "new_state", folder=str(settings.state_dir), meaning="nothing was cosigned before"
                )
            async with serving(create_app(cosigner, metrics), settings.host, settings.port, "the witness"):
                log.info(
                    "started",
                    key=str(key.verifier),
                    logs=[str(one) for one in logs],
                    address=f"{settings.host}:{settings.port}",
                )
                await stop.wait()
                log.info("stopping")
    finally:
        state.close()
    return 0
