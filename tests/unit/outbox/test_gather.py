"""Gathered puts: each request is on disk before its caller goes on, or its caller is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from outbox.errors import OutboxFull, OutboxUnusable
from outbox.gather import Gather
from outbox.sender import Signal
from outbox.spool import Spool


class SlowSpool(Spool):
    """Counts its writes, and waits in each until it may go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.go = threading.Event()
        self.go.set()
        self.writes: list[int] = []
        self.fails: Exception | None = None

    def put(self, signal: Signal, *bodies: bytes) -> None:
        """As a spool, later."""
        assert self.go.wait(10)
        self.writes.append(len(bodies))
        if self.fails is not None:
            raise self.fails
        super().put(signal, *bodies)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SlowSpool]:
    made = SlowSpool(tmp_path / "outbox.sqlite")
    yield made
    made.close()


def kept(spool: Spool) -> bytes:
    batch = spool.next_batch()
    return b"" if batch is None else batch.body


def test_what_comes_while_the_disk_is_busy_is_written_together(spool: SlowSpool) -> None:
    spool.go.clear()

    async def work() -> None:
        async with Gather(spool, "logs") as gather:
            first = asyncio.create_task(gather.put(b"<first>"))
            await asyncio.sleep(0.05)
            others = [asyncio.create_task(gather.put(f"<{number}>".encode())) for number in range(50)]
            await asyncio.sleep(0.05)
            assert not first.done()
            spool.go.set()
            await asyncio.gather(first, *others)

    asyncio.run(work())
    assert spool.writes == [1, 50]
    assert kept(spool) == b"<first>" + b"".join(f"<{number}>".encode() for number in range(50))


def test_a_caller_that_goes_away_leaves_its_request_to_be_written(spool: SlowSpool) -> None:
    spool.go.clear()

    async def work() -> None:
        async with Gather(spool, "logs") as gather:
            first = asyncio.create_task(gather.put(b"<writing>"))
            await asyncio.sleep(0.05)
            second = asyncio.create_task(gather.put(b"<waiting>"))
            third = asyncio.create_task(gather.put(b"<stays>"))
            await asyncio.sleep(0)
            first.cancel()
            second.cancel()
            await asyncio.sleep(0)
            spool.go.set()
            await third

    asyncio.run(work())
    assert kept(spool) == b"<writing><waiting><stays>"


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (OutboxFull("full"), OutboxFull),
        (OutboxUnusable("disk"), OutboxUnusable),
        (MemoryError("none"), OutboxUnusable),
    ],
    ids=["full", "unusable", "defect"],
)
def test_a_failure_is_told_to_all_and_the_next_put_is_tried_again(
    spool: SlowSpool, failure: Exception, told: type[Exception]
) -> None:
    async def work() -> None:
        async with Gather(spool, "logs") as gather:
            spool.fails = failure
            results = await asyncio.gather(*(gather.put(b"<lost>") for _ in range(3)), return_exceptions=True)
            assert [type(result) for result in results] == [told] * 3
            spool.fails = None
            await gather.put(b"<kept>")

    asyncio.run(work())
    assert kept(spool) == b"<kept>"


def test_requests_that_were_put_together_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "small.sqlite", most_bytes=10)

    async def work() -> None:
        async with Gather(spool, "logs") as gather:
            with pytest.raises(OutboxFull):
                await gather.put(b"<12345>", b"<67890>")
            await gather.put(b"<1>", b"<2>")

    asyncio.run(work())
    assert kept(spool) == b"<1><2>"
    spool.close()


def test_a_put_after_the_end_is_told_and_nothing_waits_for_ever(spool: SlowSpool) -> None:
    async def work() -> None:
        async with Gather(spool, "logs") as gather:
            await gather.put(b"<kept>")
        with pytest.raises(OutboxUnusable):
            await asyncio.wait_for(gather.put(b"<late>"), 5)

    asyncio.run(work())
    assert kept(spool) == b"<kept>"
