"""SIGTERM: what was accepted is committed and acknowledged, the rest is told to try later, then it ends."""

from __future__ import annotations

import json
import threading
import time

import pytest

from tally.embedded.server import Server
from tally.testing import Cluster, Database
from tests.check_ledger import check_ledger
from tests.faults.clients import Answer, request
from tests.faults.conftest import MakeCollector
from tests.faults.fleet import Fleet, assert_exactly_once, keys_in_ledger, wait_until
from tests.faults.stepped_collector import SteppedCollector

DRAIN_S = 1.5


def unacknowledged(collector: SteppedCollector) -> int:
    """What the collector said at its end."""
    lines = [json.loads(line) for line in collector.log.splitlines() if line.startswith("{")]
    return int(
        next(line["unacknowledged_requests"] for line in reversed(lines) if line["event"] == "stopped")
    )


def test_a_collector_that_is_stopped_under_load_loses_nothing(
    database: Database, stepped: MakeCollector
) -> None:
    collector = stepped(database)
    collector.start()
    ways = [[collector.http if index % 3 == 2 else collector.grpc] for index in range(9)]
    with Fleet(ways) as small, Fleet([[collector.grpc]] * 2, records=1500, signals=["metrics"]) as large:
        for _ in range(3):
            small.wait_for(20)
            large.wait_for(2)
            asked = time.monotonic()
            collector.terminate()
            assert collector.wait_dead() == 0
            assert time.monotonic() - asked < 10
            assert unacknowledged(collector) == 0
            acknowledged = set(small.sent.acknowledged)
            assert acknowledged <= keys_in_ledger(database.admin_url).keys()
            collector.start()
        sent = small.finish() | large.finish()
    assert {kind for kind, _ in sent.answers} <= {"ok", "later", "lost"}
    assert not sent.refused
    assert_exactly_once(database.audit_url, sent)
    check_ledger(database.audit_url)


@pytest.fixture
def server(mortal_cluster: tuple[Cluster, str]) -> Server:
    server = mortal_cluster[0].server
    assert server is not None
    return server


def test_a_collector_that_is_stopped_while_the_database_is_down_ends_in_time_and_says_what_it_owes(
    server: Server, mortal_database: Database, stepped: MakeCollector
) -> None:
    collector = stepped(mortal_database, drain_s=DRAIN_S, reply_within_s=60.0)
    collector.start()
    before = request("metrics", "rvm-1", "before", 3)
    assert collector.grpc().send(before).kind == "ok"
    server.stop()
    requests = [request("logs", f"rvm-{number}", f"owed {number}", 3) for number in range(6)]
    answers: dict[int, Answer] = {}

    def client(number: int) -> None:
        transport = collector.http() if number % 2 else collector.grpc()
        answers[number] = transport.send(requests[number])

    clients = [threading.Thread(target=client, args=(number,)) for number in range(len(requests))]
    for thread in clients:
        thread.start()
    wait_until(
        lambda: collector.metric("tally_collector_queue_requests") == len(requests), 10, "all are waiting"
    )
    asked = time.monotonic()
    collector.terminate()
    wait_until(lambda: collector.readiness() == (503, "not ready: stopping\n"), DRAIN_S, "unready")
    late = collector.grpc().send(request("metrics", "rvm-1", "late", 3))
    assert (late.kind, late.detail) == ("later", "the collector is stopping")
    assert collector.wait_dead() == 0
    assert time.monotonic() - asked < DRAIN_S + 4
    for thread in clients:
        thread.join(10)
    assert {answer.kind for answer in answers.values()} == {"later"}
    assert {answer.code for answer in answers.values()} == {"UNAVAILABLE", "503"}
    assert unacknowledged(collector) == len(requests)

    server.start()
    assert keys_in_ledger(mortal_database.admin_url).keys() == set(before.keys)
    collector.start()
    for owed in (before, *requests):
        assert collector.grpc().send(owed).kind == "ok"
    found = keys_in_ledger(mortal_database.admin_url)
    assert found.keys() == {key for sent in (before, *requests) for key in sent.keys}
    assert found.total() == len(found)
    check_ledger(mortal_database.audit_url)
