"""Upgrades: from nothing and from each released revision, again, at once, and after one that failed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from alembic.script import ScriptDirectory

from ledger.streams import STREAMS
from store import migrate
from store.errors import MigrationError, StoreUnavailable
from tally.embedded.databases import create_database
from tally.settings import Settings
from tally.testing import Cluster, Database, quick_server
from tests.check_ledger import check_ledger
from tests.ledger_writer import LedgerWriter
from tests.migration.conftest import EmptyDatabase

REVISIONS: Final = [
    script.revision
    for script in reversed(list(ScriptDirectory.from_config(migrate._config()).walk_revisions()))
]
EARLIER: Final = REVISIONS[:-1]

FINGERPRINT = """
SELECT 'column', attrelid::regclass::text, attname::text, format_type(atttypid, atttypmod), attnum::text
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND attnum > 0
UNION ALL
SELECT 'relation', relname::text, relkind::text, relowner::regrole::text, relacl::text
FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'trigger', tgrelid::regclass::text, tgname::text, tgenabled::text, pg_get_triggerdef(pg_trigger.oid)
FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'function', proname::text, md5(prosrc), proowner::regrole::text, proacl::text
FROM pg_proc WHERE pronamespace = 'public'::regnamespace"""


def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def fingerprint(database: Database) -> set[tuple[Any, ...]]:
    """Columns, owners, grants, triggers and functions."""
    return set(fetch(database.admin_url, FINGERPRINT))


def upgrades_at_once(urls: list[str]) -> None:
    """Each in a process of its own, as services that start at the same time do."""
    code = "import sys; from store.migrate import upgrade; upgrade(sys.argv[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE, text=True) for url in urls
    ]
    for process in processes:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint


def test_a_database_that_was_never_migrated_has_no_revision(empty_database: EmptyDatabase) -> None:
    assert migrate.current(empty_database().admin_url) is None


def test_upgrade_step_by_step_and_again_gives_the_same_schema(
    empty_database: EmptyDatabase, database: Database
) -> None:
    stepwise = empty_database()
    for revision in REVISIONS:
        migrate.upgrade(stepwise.admin_url, revision)
        assert migrate.current(stepwise.admin_url) == revision
    assert migrate.head() == REVISIONS[-1]
    assert fingerprint(stepwise) == fingerprint(database)
    migrate.upgrade(stepwise.admin_url)
    assert fingerprint(stepwise) == fingerprint(database)


@pytest.mark.parametrize("revision", EARLIER)
def test_a_populated_database_of_an_earlier_revision_keeps_its_rows_and_their_hashes(
    revision: str, empty_database: EmptyDatabase
) -> None:
    old = empty_database()
    migrate.upgrade(old.admin_url, revision)
    writer = LedgerWriter(old.admin_url)
    for stream in STREAMS:
        writer.fill(stream, "rvm-1", 5)
    check_ledger(old.audit_url)
    before = hashes(old)
    migrate.upgrade(old.admin_url)
    assert migrate.current(old.admin_url) == migrate.head()
    assert hashes(old) == before
    check_ledger(old.audit_url)
    for stream in STREAMS:
        writer.fill(stream, "rvm-1", 5, first=6)
    assert check_ledger(old.audit_url).rows == 10 * len(STREAMS)


def hashes(database: Database) -> list[tuple[Any, ...]]:
    return [
        (stream, *row)
        for stream, definition in STREAMS.items()
        for row in fetch(
            database.admin_url,
            f"SELECT {definition.chain_column}, seq, row_hash, attributes::text FROM {stream} ORDER BY 1, 2",
        )
    ]


def test_upgrades_of_one_database_at_once_wait_for_each_other(
    empty_database: EmptyDatabase, database: Database
) -> None:
    busy = empty_database()
    upgrades_at_once([busy.admin_url] * 3)
    assert migrate.current(busy.admin_url) == migrate.head()
    assert fingerprint(busy) == fingerprint(database)


def test_two_databases_of_a_new_server_can_be_migrated_at_once(
    stack_settings: Settings, tmp_path: Path
) -> None:
    """Roles belong to the whole server, and both migrations find none."""
    server = quick_server(tmp_path, stack_settings, {"shared_buffers": "64MB", "fsync": "off"})
    server.start()
    try:
        cluster = Cluster(server.url(dbname="postgres"), server.password, server)
        names = ["first", "second"]
        for name in names:
            create_database(cluster.admin_url, name)
        upgrades_at_once([cluster.database(name).admin_url for name in names])
        for name in names:
            assert migrate.current(cluster.database(name).admin_url) == migrate.head()
        assert fingerprint(cluster.database("first")) == fingerprint(cluster.database("second"))
    finally:
        server.stop()


def test_a_step_that_fails_leaves_the_revision_before_it_and_can_be_repeated(
    empty_database: EmptyDatabase, database: Database
) -> None:
    halted = empty_database()
    migrate.upgrade(halted.admin_url, REVISIONS[0])
    with psycopg.connect(halted.admin_url) as connection:
        connection.execute("CREATE TABLE telemetry_hourly ()")
    with pytest.raises(MigrationError, match="telemetry_hourly"):
        migrate.upgrade(halted.admin_url)
    assert migrate.current(halted.admin_url) == REVISIONS[0]
    with psycopg.connect(halted.admin_url) as connection:
        connection.execute("DROP TABLE telemetry_hourly")
    migrate.upgrade(halted.admin_url)
    assert fingerprint(halted) == fingerprint(database)


@pytest.mark.parametrize("act", [migrate.upgrade, migrate.current])
def test_a_database_that_is_not_there_is_unavailable(
    act: Callable[[str], object], database: Database
) -> None:
    with pytest.raises(StoreUnavailable):
        act(database.admin_url.replace(database.name, "nowhere"))
