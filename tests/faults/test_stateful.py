"""Any sequence of sends, retries, restarts and faults leaves every record exactly once in a whole ledger."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import psycopg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tally.testing import Database
from tests.check_ledger import check_ledger
from tests.faults.clients import SIGNALS, Sendable, Signal, request
from tests.faults.fleet import keys_in_ledger
from tests.faults.in_process import Ingest

MACHINES = ("rvm-1", "rvm-2")
END_SESSIONS = (
    "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity "
    "WHERE usename = 'tally_collector' AND datname = current_database()"
)
signals = st.sampled_from(SIGNALS)
machines = st.sampled_from(MACHINES)
sizes = st.sampled_from([1, 7, 300])


class Ledger(RuleBasedStateMachine):
    """The model: how often each key must be there, and which requests the ledger has not forgotten."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.loop = asyncio.Runner()
        self.expected: Counter[str] = Counter()
        self.requests: list[Sendable] = []
        self.remembered: set[bytes] = set()
        self.ingest, self.other = self.loop.run(self._start()), self.loop.run(self._start())

    async def _start(self) -> Ingest:
        return Ingest(self.database.collector_url)

    def new(self, kind: Signal, machine: str, size: int) -> Sendable:
        """A request that was never sent."""
        self.requests.append(request(kind, machine, f"request {len(self.requests)}", size))
        return self.requests[-1]

    def acknowledged(self, *sent: Sendable) -> None:
        """They were, so each is there once more unless the ledger knew it."""
        for one in sent:
            if one.body not in self.remembered:
                self.expected.update(one.keys)
                self.remembered.add(one.body)

    @rule(wanted=st.lists(st.tuples(signals, machines, sizes), min_size=1, max_size=6))
    def send(self, wanted: list[tuple[Signal, str, int]]) -> None:
        """New requests, at once."""
        sent = [self.new(*one) for one in wanted]
        self.loop.run(self.ingest.deliver(sent))
        self.acknowledged(*sent)

    @rule(seed=st.integers(0, 99), kind=signals)
    def resend(self, seed: int, kind: Signal) -> None:
        """Old requests again, to both collectors, among a new one."""
        sent = random.Random(seed).sample(self.requests, min(3, len(self.requests)))
        sent.append(self.new(kind, "rvm-1", 5))

        async def both() -> None:
            await asyncio.gather(self.ingest.deliver(sent), self.other.deliver(sent))

        self.loop.run(both())
        self.acknowledged(*sent)

    @rule(wanted=st.lists(st.tuples(signals, machines, sizes), min_size=2, max_size=6))
    def second_writer_interferes(self, wanted: list[tuple[Signal, str, int]]) -> None:
        """The same machines through two collectors at the same time."""
        sent = [self.new(*one) for one in wanted]

        async def both() -> None:
            await asyncio.gather(self.ingest.deliver(sent[::2]), self.other.deliver(sent[1::2]))

        self.loop.run(both())
        self.acknowledged(*sent)

    @rule()
    def restart(self) -> None:
        """A clean stop: nothing is left."""
        assert self.loop.run(self.ingest.stop()) == 0
        self.ingest = self.loop.run(self._start())

    @rule(size=sizes, turns=st.integers(0, 40), kind=signals)
    def crash(self, size: int, turns: int, kind: Signal) -> None:
        """Stopped in the midst of writing, after any number of turns of the loop; the client sends again."""
        sent = [self.new(kind, machine, size) for machine in MACHINES]

        async def die() -> None:
            sending = [asyncio.create_task(self.ingest.send(one)) for one in sent]
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            await self.ingest.stop(0)
            await asyncio.gather(*sending, return_exceptions=True)

        self.loop.run(die())
        self.ingest = self.loop.run(self._start())
        self.loop.run(self.ingest.deliver(sent))
        self.acknowledged(*sent)

    @rule(size=sizes, turns=st.integers(0, 20), kind=signals)
    def cut_connections(self, size: int, turns: int, kind: Signal) -> None:
        """The server ends every session at some moment of a write."""
        sent = [self.new(kind, machine, size) for machine in MACHINES]

        async def cut() -> None:
            sending = asyncio.create_task(self.ingest.deliver(sent))
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            await asyncio.to_thread(self._end_sessions)
            await sending

        self.loop.run(cut())
        self.acknowledged(*sent)

    def _end_sessions(self) -> None:
        with psycopg.connect(self.database.admin_url, autocommit=True) as admin:
            admin.execute(END_SESSIONS)

    @rule()
    def forget_digests(self) -> None:
        """A day later: a request that is sent again now is a new one."""
        self.loop.run(self.ingest.writers[2].forget_requests(timedelta(seconds=-60)))
        self.remembered.clear()

    @invariant()
    def every_record_is_there_as_often_as_it_was_acknowledged(self) -> None:
        """And the ledger is whole."""
        assert keys_in_ledger(self.database.admin_url) == self.expected
        check_ledger(self.database.audit_url)

    def teardown(self) -> None:
        """Stop both collectors."""
        for ingest in (self.ingest, self.other):
            self.loop.run(ingest.stop())
        self.loop.close()


def test_any_sequence_of_sends_and_faults(make_database: Callable[[], Database]) -> None:
    run_state_machine_as_test(
        lambda: Ledger(make_database()),  # type: ignore[arg-type]  # documented to be any factory
        settings=settings(
            max_examples=5,
            stateful_step_count=10,
            deadline=None,
            phases=[Phase.generate],  # shrinking would take minutes on a real database
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
