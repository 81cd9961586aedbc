"""Whatever is put, answered, split and reopened: each request leaves once, in order, or still waits."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from outbox.sender import Signal
from outbox.spool import Spool


class SpoolMachine(RuleBasedStateMachine):
    """A model of the spool: a list of what waits, and where it went."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self._path = Path(self._directory.name) / "outbox.sqlite"
        self.spool = Spool(self._path)
        self.put_count = 0
        self.waiting: list[tuple[Signal, bytes]] = []
        self.refused = 0

    @rule(signal=st.sampled_from(["logs", "metrics"]), count=st.integers(0, 4))
    def put(self, signal: Signal, count: int) -> None:
        bodies = [f"<{self.put_count + number}>".encode() for number in range(count)]
        self.put_count += count
        self.spool.put(signal, *bodies)
        self.waiting += [(signal, body) for body in bodies]

    @rule()
    def reopen(self) -> None:
        before = self.spool.next_batch()
        self.spool.close()
        self.spool = Spool(self._path)
        assert self.spool.next_batch() == before

    @rule(how=st.sampled_from(["done", "split", "refuse"]))
    def answer(self, how: str) -> None:
        batch = self.spool.next_batch()
        if batch is None:
            assert not self.waiting
            return
        head = self.waiting[: batch.count]
        assert batch.body == b"".join(body for _, body in head)
        assert {signal for signal, _ in head} == {batch.signal}
        if how == "split":
            self.spool.split(batch)
            following = self.spool.next_batch()
            assert following is not None
            assert following.body == head[0][1]
            return
        if how == "done":
            self.spool.done(batch)
        else:
            self.spool.refuse(batch, "because")
            self.refused += batch.count
        del self.waiting[: batch.count]

    @invariant()
    def counts_agree(self) -> None:
        depth = self.spool.depth()
        assert depth.requests == len(self.waiting)
        assert depth.size_bytes == sum(len(body) for _, body in self.waiting)
        assert depth.refused == self.refused

    def teardown(self) -> None:
        self.spool.close()
        self._directory.cleanup()


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
