"""Sealing: how fast rows become leaves, what ingest pays for it, and how fast a row is proven."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path
from typing import Final

from audit.proofs import prove_row
from audit.sealing.log_files import LogFiles
from audit.sealing.sealer import Sealer
from ledger.notes import ED25519, SigningKey
from ledger.streams import STREAMS
from store.seals import SealStore
from tally.bench.bench_stack import BenchStack, generate
from tally.bench.figures import Figure
from tally.errors import ServiceFailed
from tally.testing import Database, SealerProcess

KEY: Final = SigningKey("localhost/bench", ED25519, bytes(range(32)))
_MACHINES: Final = 10
_ROWS_A_REQUEST: Final = 1_000
_PROOFS: Final = 500


def sealing(stack: BenchStack, *, requests: int, rounds: int, load_requests: int) -> list[Figure]:
    """Seal ``requests`` thousand rows at once and prove some; then ingest with a sealer beside it, or not."""
    with stack.database() as database:
        load(stack, database, requests)
        figures = _sealed(database, stack.directory / "log")
    return figures + _beside(stack, rounds, load_requests)


def load(stack: BenchStack, database: Database, requests: int) -> float:
    """Load ``requests`` thousand points of telemetry through a collector; points a second."""
    with stack.collector(database) as collector:
        shape = ("--machines", str(_MACHINES), "--points", "100", "--in-flight", "48")
        summary = generate(collector, "load", *shape, "--requests", str(requests), "--duration", "600s")
    return float(summary["points_per_s"])


def _sealed(database: Database, folder: Path) -> list[Figure]:
    with SealStore(database.sealer_url) as store:
        sealer = Sealer(store, LogFiles(folder), KEY)
        sealer.recover()
        rows = 0
        started = time.perf_counter()
        while (done := sealer.seal()).rows:
            rows += done.rows
        elapsed_s = time.perf_counter() - started
        size = 0 if done.head is None else done.head.batch.size
        started = time.perf_counter()
        Sealer(store, LogFiles(folder), KEY).recover()
        restart_ms = (time.perf_counter() - started) * 1_000
    proofs_ms, hashes = _proofs(database, folder)
    return [
        Figure(
            "sealing",
            rows / elapsed_s,
            "rows/s",
            400_000,
            detail=f"{rows:,} rows from the database, tiles durable",
        ),
        Figure("restart of the sealer", restart_ms, "ms", detail=f"at {size:,} leaves"),
        Figure(
            "proof of a row",
            max(proofs_ms),
            "ms",
            50,
            "at most",
            f"slowest of {len(proofs_ms)} random rows of {size:,} leaves, the row's hash read from the "
            f"database and the proof checked; median {statistics.median(proofs_ms):.1f} ms",
        ),
        Figure("hashes of a proof", hashes, "", 24, "at most", "the longest of them"),
    ]


def _proofs(database: Database, folder: Path) -> tuple[list[float], int]:
    chosen = random.Random(20_261_122)  # noqa: S311 - which rows are timed is no secret
    with SealStore(database.audit_url) as store:
        seqs = {one.chain: one.seq for one in store.heads(_last(store)) if one.stream == "telemetry"}
        times_ms = []
        longest = 0
        for _ in range(_PROOFS):
            chain = chosen.choice(sorted(seqs))
            seq = chosen.randint(1, seqs[chain])
            started = time.perf_counter()
            proven = prove_row(store, LogFiles(folder), STREAMS["telemetry"], chain, seq)
            times_ms.append((time.perf_counter() - started) * 1_000)
            longest = max(longest, len(proven.proof.hashes))
    return times_ms, longest


def _last(store: SealStore) -> int:
    last = store.last()
    if last is None:
        raise ServiceFailed("nothing was sealed")
    return last.batch.number


def _beside(stack: BenchStack, rounds: int, requests: int) -> list[Figure]:
    """Each round measures both; what the sealer had not done by then, it does afterwards."""
    ratios, behind_s = [], []
    with stack.database() as database:
        load(stack, database, requests // 4)  # whoever is first pays for memory that was never touched
    for number in range(rounds):
        with stack.database() as database:
            alone = load(stack, database, requests)
        folder = stack.directory / f"beside-{number}"
        with stack.database() as database, SealerProcess(database, folder, KEY) as sealer:
            together = load(stack, database, requests)
            started = time.perf_counter()
            _wait_sealed(database, sealer)
            behind_s.append(time.perf_counter() - started)
        ratios.append(together / alone)
    cost = 100 * (1 - statistics.median(ratios))
    detail = (
        f"median of {rounds} rounds of {requests * _ROWS_A_REQUEST:,} rows, a checkpoint every 10 s; all "
        f"sealed {statistics.median(behind_s):.0f} s after the last row"
    )
    return [Figure("what sealing costs ingest", cost, "%", 10, "at most", detail)]


def _wait_sealed(database: Database, sealer: SealerProcess) -> None:
    deadline = time.monotonic() + 120
    with SealStore(database.audit_url) as store:
        while store.moved():
            if time.monotonic() > deadline:
                raise ServiceFailed(f"the sealer does not keep up:\n{sealer.log[-2000:]}")
            time.sleep(0.2)
