"""The database dies, goes away, breaks connections, runs full or refuses a value, under load."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tally.embedded.server import Server
from tally.testing import Cluster, Database
from tests.check_ledger import check_ledger
from tests.faults.clients import Answer, Transport, deliver, request
from tests.faults.conftest import MakeCollector
from tests.faults.fleet import Fleet, Sent, assert_exactly_once, wait_until
from tests.faults.proxy import Moment, Proxy
from tests.faults.stepped_collector import SteppedCollector


def ways(collector: SteppedCollector, clients: int = 6) -> list[list[Callable[[], Transport]]]:
    """Clients of one collector, a third of them by HTTP."""
    return [[collector.http if index % 3 == 2 else collector.grpc] for index in range(clients)]


def execute(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def assert_whole(database: Database, sent: Sent) -> None:
    """Everything sent was acknowledged in the end and is there exactly once."""
    assert not sent.in_doubt
    assert_exactly_once(database.audit_url, sent)
    check_ledger(database.audit_url)


@pytest.fixture
def server(mortal_cluster: tuple[Cluster, str]) -> Server:
    server = mortal_cluster[0].server
    assert server is not None
    return server


def kill_9(server: Server) -> None:
    server.kill9()
    server.start()


@pytest.mark.parametrize("disaster", [kill_9, Server.restart])
def test_the_database_dies_under_load_and_comes_back(
    disaster: Callable[[Server], None], server: Server, mortal_database: Database, stepped: MakeCollector
) -> None:
    collector = stepped(mortal_database)
    collector.start()
    pid = collector.pid
    with Fleet(ways(collector)) as fleet:
        for _ in range(2):
            fleet.wait_for(30)
            disaster(server)
        fleet.wait_for(30)
        sent = fleet.finish()
    assert collector.alive
    assert collector.pid == pid
    assert "critical" not in collector.log
    assert_whole(mortal_database, sent)


def test_while_the_database_is_away_clients_are_told_to_try_later_and_nothing_grows(
    server: Server, mortal_database: Database, stepped: MakeCollector
) -> None:
    collector = stepped(mortal_database, reply_within_s=0.3, retry_after_s=1.5, max_queue_rows=60)
    collector.start()
    pid = collector.pid
    with Fleet(ways(collector, 9)) as fleet:
        fleet.wait_for(20)
        server.stop()
        fleet.wait_for_answer("later", code="UNAVAILABLE")
        fleet.wait_for_answer("later", code="503")
        status, reason = wait_until(
            lambda: answer if (answer := collector.readiness())[0] != 200 else None, 10, "not ready"
        )
        assert status == 503
        assert "database" in reason

        def queue_is_full() -> Answer | None:
            answer = collector.grpc().send(request("logs", "rvm-9", "one too many", 61))
            return answer if "waiting for the database" in answer.detail else None

        refusal = wait_until(queue_is_full, 20, "the queue is full")
        assert (refusal.kind, refusal.retry_after_s) == ("later", 1.5)
        assert 0 < collector.metric("tally_collector_queue_rows") <= 60
        assert collector.metric("tally_collector_database_up") == 0
        server.start()
        fleet.wait_for(20)
        sent = fleet.finish()
    wait_until(lambda: collector.readiness()[0] == 200, 10, "ready again")
    assert sent.delays == {1.5, 2.0}, "RetryInfo has fractions of a second, Retry-After whole ones"
    assert {kind for kind, _ in sent.answers} == {"ok", "later"}, "no client lost its connection"
    assert collector.pid == pid
    assert collector.metric("tally_collector_queue_rows") == 0
    assert_whole(mortal_database, sent)


def test_sessions_are_terminated_again_and_again(database: Database, stepped: MakeCollector) -> None:
    collector = stepped(database)
    collector.start()
    ended = 0
    with Fleet(ways(collector)) as fleet, psycopg.connect(database.admin_url, autocommit=True) as admin:
        for _ in range(12):
            fleet.wait_for(5)
            ended += len(
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE usename = 'tally_collector' AND datname = current_database()"
                ).fetchall()
            )
        fleet.wait_for(20)
        sent = fleet.finish()
    assert ended >= 12
    assert_whole(database, sent)


@pytest.mark.parametrize("moment", ["copy under way", "commit asked", "commit done"])
def test_the_connection_breaks(moment: Moment, database: Database, stepped: MakeCollector) -> None:
    """At ``commit done`` the rows are committed, and the collector has not heard of it."""
    with Proxy(database.collector_url) as proxy:
        collector = stepped(proxy.before(database))
        collector.start()
        with Fleet(ways(collector)) as fleet:
            fleet.wait_for(10)
            proxy.arm("cut", moment, times=4)
            fleet.wait_for(40)
            sent = fleet.finish()
        assert proxy.struck == 4
        assert collector.metric("tally_collector_commit_failures_total", then="retried") >= 4
    assert {kind for kind, _ in sent.answers} == {"ok"}, "the clients notice nothing but the delay"
    assert_whole(database, sent)


FULL_DISK = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON telemetry FOR EACH ROW EXECUTE FUNCTION full_disk()"""
SPACE = "DROP TRIGGER full_disk ON telemetry"
READ_ONLY = """
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE usename = 'tally_collector' AND datname = current_database();
END $$"""
WRITABLE = """
BEGIN READ WRITE;
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database());
END $$;
COMMIT"""
NO_RIGHT = "REVOKE INSERT ON telemetry FROM tally_collector"
RIGHT = "GRANT INSERT ON telemetry TO tally_collector"


@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [(FULL_DISK, SPACE), (READ_ONLY, WRITABLE), (NO_RIGHT, RIGHT)],
    ids=["disk full", "read only", "right revoked"],
)
def test_a_database_that_cannot_write_loses_nothing(
    break_it: str, mend_it: str, database: Database, stepped: MakeCollector
) -> None:
    collector = stepped(database, reply_within_s=0.5, retry_after_s=0.1)
    collector.start()
    with Fleet(ways(collector), signals=["metrics"]) as fleet:
        fleet.wait_for(10)
        execute(database.admin_url, break_it)
        fleet.wait_for_answer("later")
        status, reason = wait_until(
            lambda: answer if (answer := collector.readiness())[0] != 200 else None, 10, "not ready"
        )
        assert status == 503
        assert "database" in reason
        execute(database.admin_url, mend_it)
        fleet.wait_for(10)
        sent = fleet.finish()
    wait_until(lambda: collector.readiness()[0] == 200, 10, "ready again")
    assert not sent.refused
    assert_whole(database, sent)


POISON = """
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'poison' USING ERRCODE = NEW.machine_id;
END $$;
CREATE TRIGGER poison BEFORE INSERT ON telemetry FOR EACH ROW
WHEN (NEW.machine_id ~ '^[0-9]{5}$') EXECUTE FUNCTION poison()"""
REFUSED = ("22003", "23514", "54000")
"""SQLSTATEs of data that will be refused again: a value out of range, a violated check, a limit."""


def test_a_value_that_the_database_refuses_costs_only_its_own_request(
    database: Database, stepped: MakeCollector
) -> None:
    collector = stepped(database)
    collector.start()
    execute(database.admin_url, POISON)
    with (
        Fleet(ways(collector), signals=["metrics"]) as good,
        Fleet(
            [[collector.grpc], [collector.http]], machines=REFUSED, signals=["metrics"], requests_each=6
        ) as bad,
    ):
        poisoned = bad.join()
        good.wait_for(10)
        sent = good.finish()
    assert not sent.refused
    assert not poisoned.acknowledged
    assert set(poisoned.answers) == {("refused", "INVALID_ARGUMENT"), ("refused", "400")}
    assert len(poisoned.refused) == 3 * 4 * 12
    assert_whole(database, sent)
    execute(database.admin_url, "DROP TRIGGER poison ON telemetry")
    late = request("metrics", "22003", "mended", 3)
    assert [answer.kind for answer in deliver(collector.grpc(), late)] == ["ok"]
