"""Volume: ten million rows in, how speed and memory hold, then all of them verified, twice over."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Final

import psutil

from audit.twin import verify_twin
from audit.verify import verify
from tally.bench.bench_stack import BenchStack, generate
from tally.bench.figures import Figure
from tally.errors import ServiceFailed

_MEBIBYTE: Final = 1 << 20


def ten_million(stack: BenchStack, *, millions: int, verifications: int) -> list[Figure]:
    """Backfill ``millions`` million rows, then verify them all."""
    with stack.database() as database:
        speeds: list[float] = []
        with stack.collector(database) as collector:
            assert collector.process is not None, "it was started"
            process = psutil.Process(collector.process.pid)
            for _ in range(millions):
                shape = ("--machines", "10", "--points", "100", "--in-flight", "48")
                summary = generate(collector, "load", *shape, "--requests", "1000", "--duration", "600s")
                speeds.append(float(summary["points_per_s"]))
            generate(
                collector,
                "backfill",
                "--machines",
                "20",
                "--duration",
                "6h",
                "--manifest",
                str(_manifest(stack)),
            )
            peak_mib = _peak_bytes(process.pid) / _MEBIBYTE
        figures = [
            Figure(
                "last million / first",
                speeds[-1] / speeds[0],
                "",
                0.8,
                detail=f"{millions} million rows on a fresh server; thousand rows/s in each: "
                + " ".join(f"{speed / 1_000:.0f}" for speed in speeds),
            ),
            Figure(
                "collector's peak memory", peak_mib, "MiB", 300, "at most", "resident, over that backfill"
            ),
        ]
        rates: list[float] = []
        rows = 0
        for _ in range(verifications):
            started = time.perf_counter()
            report = verify(database.audit_url, processes=2)
            rates.append(report.rows / (time.perf_counter() - started))
            if not report.ok:
                raise ServiceFailed("the ledger that the benchmark wrote does not verify")
            rows = report.rows
        figures.append(
            Figure(
                "verification",
                statistics.median(rates),
                "rows/s",
                800_000,
                detail=f"{rows:,} rows, 2 processes",
            )
        )
        started = time.perf_counter()
        twin = verify_twin(database.audit_url)
        elapsed_s = time.perf_counter() - started
        compared = sum(count for _, count in twin.rows)
    return [
        *figures,
        Figure(
            "SQL twin",
            compared / elapsed_s,
            "rows/s",
            detail="the same hashes, computed by PostgreSQL alone",
        ),
        Figure(
            "rows on which the twin disagrees",
            twin.disagreeing,
            "rows",
            0,
            "at most",
            f"{compared:,} rows, all streams",
        ),
    ]


def _manifest(stack: BenchStack) -> Path:
    return stack.directory / "manifest.jsonl"


def _peak_bytes(pid: int) -> int:
    """The most memory that a process has had in RAM: VmHWM, which the kernel keeps."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ServiceFailed(f"process {pid} has no VmHWM")
