"""Two collectors write the same chains at once: no fork, no loss, nothing twice, and neither starves."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from tally.testing import Database
from tests.check_ledger import check_ledger
from tests.conftest import StartCollector
from tests.faults.clients import GrpcTransport, HttpTransport, Transport
from tests.faults.conftest import MakeCollector
from tests.faults.fleet import Fleet, assert_exactly_once
from tests.faults.stepped_collector import SteppedCollector

CONFLICTS = "tally_collector_chain_conflicts_total"
DUPLICATES = "tally_collector_duplicate_requests_total"


def total(name: str, *collectors: SteppedCollector) -> float:
    return sum(collector.metric(name) for collector in collectors)


def test_every_row_is_there_once_though_one_of_the_collectors_is_killed(
    database: Database, stepped: MakeCollector
) -> None:
    """Clients talk to one collector, to the other, and with the same bytes to both at once."""
    first, second = stepped(database), stepped(database)
    first.start()
    second.start()
    ways: list[list[Callable[[], Transport]]] = [
        [first.grpc],
        [second.grpc],
        [first.http],
        [second.http],
        [first.grpc, second.grpc],
        [second.http, first.grpc],
    ]
    with Fleet(ways) as small, Fleet([[first.grpc], [second.grpc]], records=900) as large:
        small.wait_for(60)
        large.wait_for(10)
        seen = total(CONFLICTS, first, second), total(DUPLICATES, first, second)
        second.kill9()
        small.wait_for(20)
        second.start()
        small.wait_for(60)
        large.wait_for(10)
        sent = small.finish() | large.finish()
    assert seen[0] > 0, "the collectors were never in each other's way: the test shows nothing"
    assert seen[1] > 0, "no request came by both ways: the test shows nothing"
    assert not sent.in_doubt
    assert_exactly_once(database.audit_url, sent)
    check_ledger(database.audit_url)


def test_two_collectors_are_not_much_slower_than_one(
    make_database: Callable[[], Database], collector: StartCollector
) -> None:
    """No livelock: each wrong guess is followed by a batch that locks first, which can't be wrong."""

    def seconds(collectors: int) -> float:
        database = make_database()
        started = [collector(database) for _ in range(collectors)]
        ways: list[list[Callable[[], Transport]]] = []
        for index in range(8):
            target = started[index % collectors]
            by_grpc = partial(GrpcTransport, target.grpc_endpoint)
            ways.append([by_grpc if index < 6 else partial(HttpTransport, target.http_url)])
        before = time.perf_counter()
        with (
            Fleet(ways, requests_each=25) as small,
            Fleet(ways[:4], records=1200, requests_each=5) as large,
        ):
            sent = small.join() | large.join()
        took = time.perf_counter() - before
        assert set(sent.answers) == {("ok", "OK")}
        assert_exactly_once(database.audit_url, sent)
        check_ledger(database.audit_url)
        for one in started:
            one.stop()
        return took

    alone, together = seconds(1), seconds(2)
    # Far from a measurement on a busy machine; a livelock would take minutes.
    assert together < 4 * alone + 2.0
