"""Fixtures: a real TimescaleDB for the session, a fresh migrated database a test, real collectors.

The classes behind them, with what they offer, are in ``tally.testing``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tally.embedded.databases import with_database
from tally.settings import Settings
from tally.testing import (
    QUICK_SETTINGS,
    Cluster,
    CollectorProcess,
    Database,
    InferenceProcess,
    OwnCluster,
    quick_server,
    temporary_directory,
)


class StartCollector(Protocol):
    """What the ``collector`` fixture gives."""

    def __call__(
        self, database: Database, environment: Mapping[str, str] | None = None, *, ready: bool = True
    ) -> CollectorProcess: ...


class StartInference(Protocol):
    """What the ``inference`` fixture gives."""

    def __call__(
        self,
        database: Database,
        collector: str,
        environment: Mapping[str, str] | None = None,
        *,
        ready: bool = True,
    ) -> InferenceProcess: ...


def pytest_configure() -> None:
    """A shell starts what runs in the background deaf to Ctrl-C; the tests' processes must hear it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def stack_settings() -> Settings:
    """The settings of this machine: cache folder, and TALLY_DATABASE_URL if it is set."""
    return Settings()


@pytest.fixture(scope="session")
def cluster(stack_settings: Settings, testrun_uid: str) -> Iterator[Cluster]:
    """A server for all tests of a worker: the one at TALLY_DATABASE_URL, else an embedded one on a free port.

    ``testrun_uid``, random and the same in all workers, is the password of the roles that they share there.
    """
    if stack_settings.database_url is not None:
        password = testrun_uid
        yield Cluster(with_database(stack_settings.database_url, "postgres"), lambda _role: password, None)
        return
    with temporary_directory() as directory:
        server = quick_server(Path(directory), stack_settings, QUICK_SETTINGS)
        server.start()
        try:
            yield Cluster(server.url(dbname="postgres"), server.password, server)
        finally:
            server.stop()


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> Iterator[str]:
    """The name of a migrated database that tests' databases are copied from."""
    name = cluster.make_template()
    yield name
    cluster.drop(name)


@pytest.fixture
def database(cluster: Cluster, template: str) -> Iterator[Database]:
    """A fresh migrated database, dropped after the test."""
    fresh = cluster.create(template)
    yield fresh
    cluster.drop(fresh.name)


@pytest.fixture
def make_database(cluster: Cluster, template: str) -> Iterator[Callable[[], Database]]:
    """Makes any number of fresh migrated databases, as Hypothesis examples need; dropped after the test."""
    made: list[Database] = []

    def make() -> Database:
        made.append(cluster.create(template))
        return made[-1]

    yield make
    for fresh in made:
        cluster.drop(fresh.name)


@pytest.fixture
def own_cluster(stack_settings: Settings) -> Iterator[OwnCluster]:
    """A private embedded server that the test may kill and restart, with one migrated database."""
    with temporary_directory() as directory:
        server = quick_server(Path(directory), stack_settings, {"shared_buffers": "256MB"})
        try:
            yield OwnCluster(server)
        finally:
            server.stop()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[StartCollector]:
    """Starts collectors on a database (``collector(database)``), as many as called for; stops them after."""
    started: list[CollectorProcess] = []

    def start(
        database: Database, environment: Mapping[str, str] | None = None, *, ready: bool = True
    ) -> CollectorProcess:
        started.append(CollectorProcess(database, tmp_path, environment))
        return started[-1].start(ready=ready)

    yield start
    for process in reversed(started):
        process.stop()


@pytest.fixture
def inference(tmp_path: Path) -> Iterator[StartInference]:
    """Starts inference services (``inference(database, collector.grpc_endpoint)``); stops them after."""
    started: list[InferenceProcess] = []

    def start(
        database: Database,
        collector: str,
        environment: Mapping[str, str] | None = None,
        *,
        ready: bool = True,
    ) -> InferenceProcess:
        directory = tmp_path / f"inference-{len(started)}"
        started.append(InferenceProcess(database, collector, directory, environment))
        return started[-1].start(ready=ready)

    yield start
    for process in reversed(started):
        process.stop()
