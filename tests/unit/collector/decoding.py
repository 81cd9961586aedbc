"""Decoders with a fixed clock, and rows read back as values."""

from __future__ import annotations

import json
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from collector.clock_watch import ClockWatch
from collector.limits import Arrival, Limits
from collector.logs_decoder import LogsDecoder
from collector.metrics_decoder import MetricsDecoder
from collector.records import Records
from collector.resources import Senders
from ledger.batch import ChainKey, Head, link_rows
from ledger.chain import HASH_BYTES
from ledger.rows import decode_image
from ledger.streams import STREAMS
from tests.otlp_requests import NOON_NS

LIMITS = Limits()
ARRIVAL = Arrival.at(NOON_NS + 5_000_000_000, LIMITS)


def metrics_decoder() -> MetricsDecoder:
    """A fresh metrics decoder."""
    anomalies = Counter("anomalies", "", ("kind",), registry=CollectorRegistry())
    return MetricsDecoder(Senders(LIMITS), LIMITS, ClockWatch(anomalies))


def decode_metrics(body: bytes) -> Records:
    """What a fresh decoder makes of a metrics request."""
    return metrics_decoder().decode(body, ARRIVAL)


def decode_logs(body: bytes) -> Records:
    """What a fresh decoder makes of a logs request."""
    return LogsDecoder(Senders(LIMITS), LIMITS).decode(body, ARRIVAL)


def linked(records: Records) -> dict[ChainKey, list[bytes]]:
    """The rows of each chain as they are hashed, on top of an all-zero hash."""
    chains: dict[ChainKey, list[bytes]] = {}
    for key, chained in records.rows.items():
        link_rows(iter([chained]), Head(0, bytes(HASH_BYTES)), chains.setdefault(key, []))
    return chains


def rows(records: Records, stream: str) -> list[dict[str, Any]]:
    """The rows of a stream as values, attributes as parsed JSON."""
    found: list[dict[str, Any]] = []
    for (name, _), pieces in linked(records).items():
        if name == stream:
            for piece in pieces:
                row: dict[str, Any] = decode_image(STREAMS[name], piece[HASH_BYTES:])
                row["attributes"] = json.loads(row["attributes"])
                found.append(row)
    return found
