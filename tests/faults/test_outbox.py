"""From the spool into the ledger, exactly once, though the collector and the forwarder die on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from outbox.forwarder import Forwarder
from outbox.sender import RawSender
from outbox.spool import Depth, Spool
from tally.testing import Database
from tests.check_ledger import check_ledger
from tests.faults.clients import request
from tests.faults.conftest import MakeCollector
from tests.faults.fleet import keys_in_ledger
from tests.faults.stepped_collector import DieAt, SteppedCollector
from tests.otlp_requests import event, logs, resource


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the spool is."""
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    """An empty spool."""
    made = Spool(path)
    yield made
    made.close()


@pytest.fixture
def collector(database: Database, stepped: MakeCollector) -> SteppedCollector:
    """A collector that is not started yet."""
    return stepped(database)


class Died(Exception):
    """Stands for the death of the forwarder's process at a step."""


async def forward(
    spool: Spool, collector: SteppedCollector, *, die_at: str | None = None
) -> CollectorRegistry:
    """Forward all that is in the spool, or until death."""

    def step(name: str) -> None:
        if name == die_at:
            raise Died

    registry = CollectorRegistry()

    def counted() -> float:
        """Requests that have left the spool; a request leaves first and is counted then."""
        names = ("tally_outbox_sent_total", "tally_outbox_refused_total")
        return sum(registry.get_sample_value(name) or 0.0 for name in names)

    waiting = spool.depth().requests
    async with RawSender(f"127.0.0.1:{collector.grpc_port}") as sender:
        forwarder = asyncio.create_task(Forwarder(spool, sender, registry, step=step).run())
        try:
            async with asyncio.timeout(30):
                while counted() < waiting and not forwarder.done():  # noqa: ASYNC110  (nobody is told)
                    await asyncio.sleep(0.02)
            if forwarder.done():
                await forwarder
        finally:
            forwarder.cancel()
            with contextlib.suppress(asyncio.CancelledError, Died):
                await forwarder
    return registry


def put(spool: Spool, name: str, requests: int) -> list[str]:
    """Put requests of three records each; returns their keys."""
    made = [request("logs", "rvm-1", f"{name}-{number}", 3) for number in range(requests)]
    spool.put("logs", *(sendable.body for sendable in made))
    return [key for sendable in made for key in sendable.keys]


def test_what_was_put_while_the_collector_was_down_arrives_once(
    database: Database, collector: SteppedCollector, spool: Spool
) -> None:
    keys = put(spool, "early", 40)

    async def late() -> CollectorRegistry:
        forwarding = asyncio.create_task(forward(spool, collector))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(collector.start)
        return await forwarding

    registry = asyncio.run(late())
    assert registry.get_sample_value("tally_outbox_sent_total") == 40
    assert registry.get_sample_value("tally_outbox_requests") == 0
    assert keys_in_ledger(database.audit_url) == Counter(keys)
    assert check_ledger(database.audit_url).ok


@pytest.mark.parametrize("step", ["received", "heads moved", "committed", "reply to send"])
def test_a_collector_that_dies_under_a_batch_gets_it_again(
    database: Database, collector: SteppedCollector, spool: Spool, step: str
) -> None:
    collector.start(DieAt(step, 1))
    keys = put(spool, "deadly", 5)

    async def both() -> None:
        forwarding = asyncio.create_task(forward(spool, collector))
        await asyncio.to_thread(collector.wait_dead)
        await asyncio.to_thread(collector.start)
        await forwarding

    asyncio.run(both())
    assert keys_in_ledger(database.audit_url) == Counter(keys)


def test_a_forwarder_that_dies_before_it_noted_the_answer_sends_the_same_bytes(
    database: Database, collector: SteppedCollector, spool: Spool, path: Path
) -> None:
    collector.start()
    keys = put(spool, "first", 5)
    with pytest.raises(Died):
        asyncio.run(forward(spool, collector, die_at="answered"))
    spool = Spool(path)  # as the next process opens it
    keys += put(spool, "second", 5)
    asyncio.run(forward(spool, collector))
    assert keys_in_ledger(database.audit_url) == Counter(keys)
    assert collector.metric("tally_collector_duplicate_requests_total") == 1
    spool.close()


def test_a_record_that_is_refused_is_kept_beside_and_holds_up_nothing(
    database: Database, collector: SteppedCollector, spool: Spool
) -> None:
    collector.start()
    nameless = logs(event("machine.heartbeat"), sender=resource(None)).SerializeToString()
    spool.put("logs", b"\xff\xff\xff")  # not protobuf: the whole batch is refused, then only this
    spool.put("logs", nameless)
    keys = put(spool, "good", 3)
    registry = asyncio.run(forward(spool, collector))
    assert keys_in_ledger(database.audit_url) == Counter(keys)
    assert spool.depth() == Depth(0, 0, 0.0, 2)
    assert registry.get_sample_value("tally_outbox_refused_total") == 2
