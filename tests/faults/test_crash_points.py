"""kill -9 of the collector at every step of its way to the commit, under load and alone."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator

import pytest

from tally.testing import Cluster, Database
from tests.check_ledger import check_ledger
from tests.faults.clients import SIGNALS, Signal, deliver, request
from tests.faults.conftest import MakeCollector
from tests.faults.fleet import Fleet, assert_exactly_once, keys_in_ledger
from tests.faults.stepped_collector import STEPS, DieAt, SteppedCollector

AFTER_THE_COMMIT = STEPS[STEPS.index("committed") :]


@pytest.fixture(scope="module")
def shared_database(cluster: Cluster, template: str) -> Iterator[Database]:
    database = cluster.create(template)
    yield database
    cluster.drop(database.name)


@pytest.fixture(scope="module")
def survivor(
    shared_database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SteppedCollector]:
    """A collector that outlives all tests of this module."""
    collector = SteppedCollector(shared_database, tmp_path_factory.mktemp("survivor"))
    collector.start()
    yield collector
    collector.close()


@pytest.mark.parametrize("kind", SIGNALS)
def test_a_request_passes_the_crash_points_and_no_others(
    kind: Signal, database: Database, stepped: MakeCollector
) -> None:
    mortal = stepped(database)
    mortal.start(record_steps=True)
    only = request(kind, "rvm-1", "only", 9)
    assert [answer.kind for answer in deliver(mortal.grpc(), only)] == ["ok"]
    passed = mortal.steps_path.read_text().splitlines()
    assert set(passed) == set(STEPS)
    assert passed.index("transaction to commit") < passed.index("committed") < passed.index("reply to send")
    assert keys_in_ledger(database.admin_url).total() == 9


def fleets(collector: SteppedCollector) -> tuple[Fleet, Fleet]:
    """Small requests, and large ones, for which a batch is copied while the one before commits."""
    grpc, http = collector.grpc, collector.http
    small = Fleet([[grpc], [http], [grpc], [grpc]])
    return small, Fleet([[grpc]] * 5, records=2500, signals=["metrics"], machines=["rvm-1", "rvm-4"])


def test_under_load_two_batches_are_under_way_at_once(database: Database, stepped: MakeCollector) -> None:
    """Or the next test would not show what a crash between two of them does."""
    collector = stepped(database)
    collector.start(record_steps=True)
    small, large = fleets(collector)
    with small, large:
        large.wait_for(20)
        small.finish()
        large.finish()
    passed = collector.steps_path.read_text().splitlines()
    assert passed.count("requests claimed") == passed.count("committed"), "no batch was written twice"
    under_way, most = 0, 0
    for step in passed:
        under_way += (step == "requests claimed") - (step == "committed")
        most = max(most, under_way)
    assert most >= 2


@pytest.mark.parametrize("step", STEPS)
def test_under_load_nothing_acknowledged_is_lost_and_nothing_is_there_twice(
    step: str, database: Database, stepped: MakeCollector
) -> None:
    mortal = stepped(database)
    mortal.start(DieAt(step, 12))
    small, large = fleets(mortal)
    with small, large:
        assert mortal.wait_dead() == -signal.SIGKILL
        mortal.start()
        small.wait_for(8)
        large.wait_for(2)
        sent = small.finish() | large.finish()
    assert not sent.in_doubt
    assert_exactly_once(database.audit_url, sent)
    check_ledger(database.audit_url)


@pytest.mark.parametrize(("step", "kind"), list(zip(STEPS, itertools.cycle(SIGNALS), strict=False)))
def test_a_crash_leaves_all_or_nothing_and_the_retry_elsewhere_adds_what_is_missing(
    step: str, kind: Signal, shared_database: Database, survivor: SteppedCollector, stepped: MakeCollector
) -> None:
    """Before the commit nothing is left, after it everything, though its client has heard nothing."""
    only = request(kind, "rvm-1", f"{kind} at {step}", 9)

    def rows() -> int:
        found = keys_in_ledger(shared_database.admin_url)
        return sum(found[key] for key in only.keys)

    mortal = stepped(shared_database)
    mortal.start(DieAt(step, 1))
    assert mortal.grpc().send(only).kind == "lost"
    assert mortal.wait_dead() == -signal.SIGKILL
    assert rows() == (9 if step in AFTER_THE_COMMIT else 0)
    for transport in (survivor.grpc(), survivor.http()):
        assert transport.send(only).kind == "ok"
        assert rows() == 9
    if step in AFTER_THE_COMMIT:
        mortal.start()
        assert deliver(mortal.grpc(), only)[-1].kind == "ok"
        assert rows() == 9
    check_ledger(shared_database.audit_url)
