"""The way of a request: decode, digest, queue, wait for the commit, answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import structlog

from collector.clock_watch import ClockWatch
from collector.errors import RequestError, TryLater
from collector.ingest import Outcome, Signal
from collector.limits import Arrival, Limits
from collector.logs_decoder import LogsDecoder
from collector.metrics import CollectorMetrics
from collector.metrics_decoder import MetricsDecoder
from collector.pipeline import Pipeline
from collector.records import Records
from collector.resources import Senders
from collector.tracing import span
from ledger.batch import Request
from store.writer import Step, no_step

_MESSAGE_BYTES: Final = 1000
_QUICK_BYTES: Final = 16_384

log = structlog.get_logger("collector.service")


class IngestService:
    """Implements ``collector.ingest.Ingest`` on a pipeline."""

    def __init__(
        self,
        pipeline: Pipeline,
        metrics: CollectorMetrics,
        *,
        reply_within_s: float,
        retry_after_s: float,
        limits: Limits | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        step: Step = no_step,
    ) -> None:
        limits = limits or Limits()
        senders = Senders(limits)
        watch = ClockWatch(metrics.clock_anomalies)
        self._decoders: dict[Signal, MetricsDecoder | LogsDecoder] = {
            "metrics": MetricsDecoder(senders, limits, watch),
            "logs": LogsDecoder(senders, limits),
        }
        self._limits = limits
        self._pipeline = pipeline
        self._metrics = metrics
        self._reply_within_s = reply_within_s
        self._retry_after_s = retry_after_s
        self._clock_ns = clock_ns
        self._step = step
        self._decoding = asyncio.Lock()

    async def export(self, signal: Signal, body: bytes) -> Outcome:
        """Commit the records of a request; see ``collector.ingest.Ingest``."""
        try:
            with span("export", signal=signal, bytes=len(body)):
                outcome = await self._export(signal, body)
        except RequestError as error:
            self._metrics.requests.labels(signal, type(error).__name__).inc()
            raise
        self._metrics.requests.labels(signal, "partial" if outcome.rejected else "ok").inc()
        return outcome

    async def _export(self, signal: Signal, body: bytes) -> Outcome:
        self._step("received")
        now_ns = self._clock_ns()
        arrival = Arrival.at(now_ns, self._limits)
        decoder = self._decoders[signal]
        if len(body) < _QUICK_BYTES:
            records = decoder.decode(body, arrival)
        else:
            # One at a time: between two of these the loop feeds the database, or it would sit idle.
            async with self._decoding:
                records = decoder.decode(body, arrival)
        if records.accepted:
            digest = sha256(signal.encode() + b"\n" + body).digest()
            request = Request(
                digest,
                records.rows,
                records.resources,
                records.accepted,
                frozenset(records.days),
                # What records bring themselves is in the body; what they share was weighed.
                size_bytes=len(body) + records.weight_bytes,
            )
            # A crash from here to the commit leaves nothing; the client, unanswered, sends again.
            await self._committed(request)
            self._step("reply to send")
            for machine_id, site_id in records.sites.items():
                self._metrics.last_seen.seen(machine_id, site_id, now_ns / 1e9)
        return self._outcome(signal, records)

    async def _committed(self, request: Request) -> None:
        future = self._pipeline.accept(request)
        try:
            async with asyncio.timeout(self._reply_within_s):
                await asyncio.shield(future)
        except TimeoutError:
            raise TryLater(
                f"not committed within {self._reply_within_s:g} s; send the same request again",
                self._retry_after_s,
            ) from None

    def _outcome(self, signal: Signal, records: Records) -> Outcome:
        for reason, count in records.refusals.items():
            self._metrics.rejected.labels(signal, reason).inc(count)
        if records.refusals:
            log.info("records refused", signal=signal, reasons=dict(records.refusals))
        return Outcome(records.rejected, records.message()[:_MESSAGE_BYTES])
