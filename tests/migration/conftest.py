"""Fixtures of the migration tests: databases that are empty or at an old revision."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import psycopg
import pytest

from ledger.streams import STREAMS
from tally.embedded.databases import create_database
from tally.testing import Cluster, Database
from tests.ledger_writer import LedgerWriter
from tests.sealing import seal_now

EmptyDatabase = Callable[[], Database]


@pytest.fixture
def empty_database(cluster: Cluster, template: str) -> Iterator[EmptyDatabase]:
    """Makes databases that were never migrated; dropped after the test.  The roles can log in already."""
    assert template, "making the template has given the roles their logins"
    names: list[str] = []

    def make() -> Database:
        names.append(f"tally_test_{secrets.token_hex(6)}")
        create_database(cluster.admin_url, names[-1])
        return cluster.database(names[-1])

    yield make
    for name in names:
        cluster.drop(name)


@pytest.fixture(scope="session")
def pristine(cluster: Cluster, template: str) -> Iterator[Database]:
    """A migrated database for tests that change nothing."""
    database = cluster.create(template)
    yield database
    cluster.drop(database.name)


@pytest.fixture(scope="session")
def filled(cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A sealed database with three rows in every stream, for tests that change nothing, or try to in vain."""
    database = cluster.create(template)
    writer = LedgerWriter(database.admin_url)
    for stream in STREAMS:
        writer.fill(stream, "rvm-1", 3)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("INSERT INTO request_digests VALUES (sha256('a request'))")
    seal_now(database, tmp_path_factory.mktemp("log"))
    yield database
    cluster.drop(database.name)
