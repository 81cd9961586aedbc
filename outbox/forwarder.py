"""The forwarder: takes batches from the spool, oldest first, and sends each until it is answered for good."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from outbox.errors import OutboxError
from outbox.sender import Answer, Later, Signal
from outbox.spool import BATCH_REQUESTS, Batch, Depth, Spool

_IDLE_S: Final = 1.0
"""How long the spool is left alone if nobody says that something was put; another process may put too."""
_LONGEST_PAUSE_S: Final = 30.0
_LINGER_S: Final = 0.1
"""The pause after a batch that was not full: the next one is larger, and a commit costs the same for many."""

log = structlog.get_logger("outbox.forwarder")

Step = Callable[[str], None]
"""Told the name of each step as it is passed; fault tests stop the process there."""


class Sender(Protocol):
    """What the forwarder needs of ``outbox.sender.RawSender``."""

    async def attempt(self, signal: Signal, payload: bytes, number: int = 0) -> Answer | Later:
        """Send once."""
        ...


class Forwarder:
    """Empties a spool.  One is enough; of two on one file, the collector takes each batch once."""

    def __init__(
        self, spool: Spool, sender: Sender, registry: CollectorRegistry, *, step: Step = lambda _: None
    ) -> None:
        self._spool = spool
        self._sender = sender
        self._step = step
        self._put = asyncio.Event()
        self._sent = Counter(
            "tally_outbox_sent", "Requests that the collector has committed in whole.", registry=registry
        )
        self._refused = Counter(
            "tally_outbox_refused", "Requests refused in whole or in part, kept beside.", registry=registry
        )
        self._retries = Counter(
            "tally_outbox_retries", "Attempts that were told to come later.", registry=registry
        )
        for name, text, value in (
            ("requests", "Requests waiting for the collector.", lambda depth: depth.requests),
            ("bytes", "Bytes waiting for the collector.", lambda depth: depth.size_bytes),
            ("oldest_seconds", "Age of the oldest waiting request.", lambda depth: depth.oldest_s),
        ):
            gauge = Gauge(f"tally_outbox_{name}", text, registry=registry)
            gauge.set_function(self._reading(value))

    def wake(self) -> None:
        """Something was put; call it on the forwarder's loop."""
        self._put.set()

    async def run(self) -> None:
        """Forward until cancelled; what is then under way is sent again by the next forwarder."""
        while True:
            self._put.clear()
            try:
                batch = await asyncio.to_thread(self._spool.next_batch)
                if batch is not None:
                    await self._forward(batch)
                    if batch.count < BATCH_REQUESTS:
                        await asyncio.sleep(_LINGER_S)
                    continue
            except OutboxError as error:
                log.warning("the outbox can't be read, trying again", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_S):
                    await self._put.wait()

    async def _forward(self, batch: Batch) -> None:
        attempts = 0
        while isinstance(answer := await self._sender.attempt(batch.signal, batch.body, attempts), Later):
            if attempts in {0, 10} or attempts % 100 == 0:
                log.warning("the collector takes nothing now", reason=answer.message, requests=batch.count)
            attempts += 1
            self._retries.inc()
            await asyncio.sleep(min(answer.delay_s, _LONGEST_PAUSE_S))
        self._step("answered")
        if answer.accepted and not answer.refused:
            await asyncio.to_thread(self._spool.done, batch)
            self._sent.inc(batch.count)
        elif answer.accepted or batch.count == 1:
            # Of a batch taken in part the good records are committed; OTLP does not say which the others are.
            log.error("the collector refuses records", reason=answer.message, requests=batch.count)
            await asyncio.to_thread(self._spool.refuse, batch, answer.message)
            self._refused.inc(batch.count)
        else:
            await asyncio.to_thread(self._spool.split, batch)

    def _reading(self, value: Callable[[Depth], float]) -> Callable[[], float]:
        def read() -> float:
            try:
                return value(self._spool.depth())
            except OutboxError:
                return float("nan")

        return read
