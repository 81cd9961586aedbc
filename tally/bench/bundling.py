"""An evidence bundle's own verifier: rows a second, from the packed file to the conclusion."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from audit.bundle import verify
from audit.bundle.build import Contents, bundle
from audit.sealing.log_files import LogFiles
from audit.sealing.sealer import Sealer
from store.seals import SealStore
from tally.bench.bench_stack import BenchStack
from tally.bench.figures import Figure
from tally.bench.sealing import KEY, load
from tally.errors import ServiceFailed
from tally.testing import Database

_IN_PART: Final = 3
_BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)
_END: Final = datetime(2100, 1, 1, tzinfo=UTC)


def bundling(stack: BenchStack, *, requests: int, rounds: int) -> list[Figure]:
    """A bundle of ``requests`` thousand rows, verified alone."""
    place = stack.directory / "evidence.zip"
    with stack.database() as database:
        load(stack, database, requests)
        rows, took_s = _bundled(database, stack.directory / "log", place)
    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-I", str(Path(verify.__file__)), str(place)],
            capture_output=True,
            text=True,
            check=False,
        )
        rates.append(rows / (time.perf_counter() - started))
        if done.returncode != _IN_PART:  # the period goes on
            raise ServiceFailed(f"the bundle does not verify: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    size_mib = place.stat().st_size / (1 << 20)
    return [
        Figure("making a bundle", rows / took_s, "rows/s", detail=f"{rows:,} rows, {size_mib:.0f} MiB"),
        Figure(
            "verify.py on it",
            statistics.median(rates),
            "rows/s",
            400_000,
            detail=f"all steps, from start to end of the program, unpacking included; median of {rounds}",
        ),
    ]


def _bundled(database: Database, folder: Path, place: Path) -> tuple[int, float]:
    files = LogFiles(folder)
    with SealStore(database.sealer_url) as store:
        sealer = Sealer(store, files, KEY)
        sealer.recover()
        while sealer.seal().rows:
            pass
    policy = f"log {KEY.verifier}\nquorum none\n".encode()
    contents = Contents(start=_BEGINNING, end=_END, sites=(), policy=policy, texts={}, factors={}, report={})
    started = time.perf_counter()
    made = bundle(database.audit_url, folder, place, contents)
    return sum(made.rows.values()), time.perf_counter() - started
