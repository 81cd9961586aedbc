from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from store import migrate
from tally.embedded.databases import create_database, protect_template
from tally.testing import Database, OwnCluster


def one(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def test_a_test_gets_a_migrated_database_with_a_login_for_each_role(database: Database) -> None:
    assert migrate.current(database.admin_url) == migrate.head()
    logins = [
        database.owner_url,
        database.collector_url,
        database.audit_url,
        database.grafana_url,
        database.inference_url,
        database.sealer_url,
    ]
    users = [one(url, "SELECT current_user") for url in logins]
    assert users == [
        *("tally_owner", "tally_collector", "tally_audit", "tally_grafana", "tally_inference"),
        "tally_sealer",
    ]
    assert one(database.admin_url, "SELECT extname FROM pg_extension WHERE extname = 'timescaledb'")


def test_what_one_database_holds_another_does_not(make_database: Callable[[], Database]) -> None:
    first, second = make_database(), make_database()
    with psycopg.connect(first.admin_url) as connection:
        connection.execute("CREATE TABLE mark ()")
    assert one(first.admin_url, "SELECT to_regclass('mark')::text") == "mark"
    assert one(second.admin_url, "SELECT to_regclass('mark')::text") is None


def test_a_committed_row_outlives_kill_9_of_the_server(own_cluster: OwnCluster) -> None:
    url = own_cluster.database.admin_url
    assert one(url, "SELECT current_setting('fsync') || current_setting('synchronous_commit')") == "onon"
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        connection.commit()
        own_cluster.kill9()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    own_cluster.start()
    assert one(url, "SELECT answer FROM kept") == 42
    own_cluster.restart()
    assert one(url, "SELECT answer FROM kept") == 42


def test_a_template_can_be_copied_although_timescaledb_keeps_a_scheduler_on_it(
    own_cluster: OwnCluster,
) -> None:
    admin = own_cluster.server.url(dbname="postgres")
    protect_template(admin, "tally")
    for number in range(5):
        create_database(admin, f"copy_{number}", "tally")
    assert migrate.current(own_cluster.server.url(dbname="copy_4")) == migrate.head()
