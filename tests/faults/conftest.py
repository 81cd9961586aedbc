"""Fixtures of the fault tests: a server that may be killed, and collectors that are forked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tally.settings import Settings
from tally.testing import Cluster, Database, quick_server
from tests.faults.stepped_collector import SteppedCollector


class MakeCollector(Protocol):
    """What the ``stepped`` fixture gives."""

    def __call__(self, database: Database, **settings: Any) -> SteppedCollector: ...


@pytest.fixture
def stepped(tmp_path: Path) -> Iterator[MakeCollector]:
    """Makes collectors, not started yet; ends them after the test."""
    made: list[SteppedCollector] = []

    def make(database: Database, **settings: Any) -> SteppedCollector:
        made.append(SteppedCollector(database, tmp_path, **settings))
        return made[-1]

    yield make
    for collector in reversed(made):
        collector.close()


@pytest.fixture(scope="module")
def mortal_cluster(stack_settings: Settings) -> Iterator[tuple[Cluster, str]]:
    """A private server, as durable as in production, that this module's tests kill; and a template on it."""
    with tempfile.TemporaryDirectory(prefix="tally-test-", ignore_cleanup_errors=True) as directory:
        server = quick_server(
            Path(directory),
            stack_settings,
            # No workers, as in the shared server: one on the template would be in the way of copying it.
            {"shared_buffers": "256MB", "timescaledb.max_background_workers": "0"},
        )
        server.start()
        try:
            cluster = Cluster(server.url(dbname="postgres"), server.password, server)
            yield cluster, cluster.make_template()
        finally:
            server.stop()


@pytest.fixture
def mortal_database(mortal_cluster: tuple[Cluster, str]) -> Iterator[Database]:
    """A fresh database on the server that may be killed; the server runs again afterwards."""
    cluster, template = mortal_cluster
    database = cluster.create(template)
    yield database
    assert cluster.server is not None
    if not cluster.server.running:
        cluster.server.start()
    cluster.drop(database.name)
