"""Ingest: against raw binary COPY of the same rows into the same table, and against itself without chains."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from typing import Final

import asyncpg

from ledger.rows import COPY_HEADER, COPY_TRAILER
from ledger.streams import STREAMS
from tally.bench.bench_stack import BenchStack, generate
from tally.bench.figures import Figure
from tally.testing import Database

_RAW_ROWS: Final = 10_000
"""Rows that raw COPY commits at a time: as many as the collector's largest batch."""
_UNCHAINED: Final = "tally.bench.unchained"


def against_raw_copy(stack: BenchStack, *, rounds: int, requests: int) -> list[Figure]:
    """Requests of 1,000 points (10 machines x 100); every round measures all three, one after another."""
    chained, raw, unchained = [], [], []
    # Whoever is first pays for memory that the machine has not touched yet, up to a third of its speed.
    with stack.database() as database:
        _points_per_s(stack, database, "collector", requests)
    for _ in range(rounds):
        with stack.database() as database:
            chained.append(_points_per_s(stack, database, "collector", requests))
            rows = asyncio.run(_read_back(database))
        with stack.database() as database:
            raw.append(asyncio.run(_raw_copy(database, rows)))
        del rows
        with stack.database() as database:
            unchained.append(_points_per_s(stack, database, _UNCHAINED, requests))
    ratio = statistics.median(ours / limit for ours, limit in zip(chained, raw, strict=True))
    cost = statistics.median(1 - ours / free for ours, free in zip(chained, unchained, strict=True))
    shape = (
        f"median of {rounds} rounds of {requests:,} requests x 1,000 points (one more to warm up), OTLP/gRPC"
    )
    return [
        Figure("collector", statistics.median(chained), "rows/s", detail=shape),
        Figure("raw binary COPY", statistics.median(raw), "rows/s", detail="the same rows, the same table"),
        Figure("collector / raw COPY", ratio, "", 0.75, detail="median of the rounds' ratios"),
        Figure(
            "cost of chaining",
            100 * cost,
            "%",
            12,
            "at most",
            "against the same path with a constant for a hash",
        ),
    ]


def small_requests(stack: BenchStack, *, rounds: int, seconds: int) -> list[Figure]:
    """Requests of 8 points of one machine, 64 in flight."""
    rates: list[float] = []
    latency: dict[str, float] = {}
    for _ in range(rounds):
        with stack.database() as database, stack.collector(database) as collector:
            shape = ("--machines", "1", "--points", "8", "--in-flight", "64", "--fleet-machines", "1000")
            summary = generate(collector, "load", *shape, "--duration", f"{seconds}s")
            rates.append(summary["requests_per_s"])
            latency = summary["latency_ms"]
    detail = f"8 points each, 64 in flight; latency p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms"
    return [Figure("small requests", statistics.median(rates), "requests/s", 2_500, detail=detail)]


def _points_per_s(stack: BenchStack, database: Database, module: str, requests: int) -> float:
    with stack.collector(database, module) as collector:
        shape = ("--machines", "10", "--points", "100", "--in-flight", "48")
        summary = generate(collector, "load", *shape, "--requests", str(requests), "--duration", "600s")
    return float(summary["points_per_s"])


async def _read_back(database: Database) -> list[bytes]:
    """All telemetry rows, as pieces of a binary COPY stream without header and trailer, in their order."""
    connection = await asyncpg.connect(database.admin_url)
    pieces: list[bytes] = []

    async def keep(data: bytes) -> None:
        pieces.append(data)

    try:
        # COPY of a hypertable itself gives nothing: its rows are in its chunks.
        await connection.copy_from_query("SELECT * FROM telemetry", output=keep, format="binary")
    finally:
        await connection.close()
    return _split(b"".join(pieces)[len(COPY_HEADER) : -len(COPY_TRAILER)])


def _split(rows: bytes) -> list[bytes]:
    """Pieces of ``_RAW_ROWS`` rows each."""
    fields = len(STREAMS["telemetry"].columns)
    pieces, start, position, count = [], 0, 0, 0
    while position < len(rows):
        position += 2
        for _ in range(fields):
            length = int.from_bytes(rows[position : position + 4], "big", signed=True)
            position += 4 + max(length, 0)
        count += 1
        if count % _RAW_ROWS == 0:
            pieces.append(rows[start:position])
            start = position
    if start < len(rows):
        pieces.append(rows[start:])
    return pieces


async def _raw_copy(database: Database, pieces: list[bytes]) -> float:
    """Rows/s of COPY alone: one connection, a transaction a piece, nothing else to do."""
    connection = await asyncpg.connect(database.admin_url)
    try:
        await connection.execute("SET synchronous_commit = on")
        started = time.perf_counter()
        for piece in pieces:
            await connection.copy_to_table("telemetry", source=_file(piece), format="binary")
        elapsed_s = time.perf_counter() - started
        rows = await connection.fetchval("SELECT count(*) FROM telemetry")
    finally:
        await connection.close()
    return float(rows) / elapsed_s


async def _file(piece: bytes) -> AsyncIterator[bytes]:
    yield COPY_HEADER + piece + COPY_TRAILER
