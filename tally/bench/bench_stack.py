"""A private, durable server and collectors on it, as the measures need them; all ends with the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from tally.errors import ServiceFailed
from tally.settings import Settings
from tally.testing import Cluster, CollectorProcess, Database, quick_server, temporary_directory

_SETTINGS: Final = {
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "timescaledb.max_background_workers": "0",
}
"""Durable as production (fsync and synchronous_commit are on); checkpoints kept out of the short runs."""
LARGE_CACHE: Final = {"shared_buffers": f"{psutil.virtual_memory().total // 4 >> 20}MB"}
"""A quarter of the memory, as PostgreSQL advises (documentation, 19.4), where a measure reads much."""


@dataclass(frozen=True, slots=True)
class BenchStack:
    """A server with a migrated template."""

    cluster: Cluster
    template: str
    directory: Path

    @contextmanager
    def database(self) -> Iterator[Database]:
        """A fresh migrated database, dropped afterwards."""
        fresh = self.cluster.create(self.template)
        try:
            yield fresh
        finally:
            self.cluster.drop(fresh.name)

    def collector(self, database: Database, module: str = "collector") -> CollectorProcess:
        """A collector on ``database``, to be used as a context manager."""
        return CollectorProcess(database, self.directory / "logs", module=module)


@contextmanager
def bench_stack(changed: Mapping[str, str] | None = None) -> Iterator[BenchStack]:
    """A server for one run of the benchmark; ``changed``: settings of PostgreSQL that are others for it."""
    settings = Settings()
    with temporary_directory() as name:
        server = quick_server(Path(name), settings, {**_SETTINGS, **(changed or {})})
        server.start()
        try:
            cluster = Cluster(server.url(dbname="postgres"), server.password, server)
            yield BenchStack(cluster, cluster.make_template(), Path(name))
        finally:
            server.stop()


def generate(collector: CollectorProcess, *arguments: str) -> dict[str, Any]:
    """Run the generator as a process of its own against a collector; returns its summary.

    Raises:
        ServiceFailed: it did not get everything acknowledged; the message has its last words.
    """
    command = [sys.executable, "-m", "generator", *arguments, "--json"]
    command += ["--grpc-port", str(collector.grpc_port), "--http-port", str(collector.http_port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise ServiceFailed(
            f"the generator ended with {done.returncode}: {(done.stderr or done.stdout)[-500:]}"
        )
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary
