"""Threads for models: the loop goes on, and what is too much is told so."""

from __future__ import annotations

import asyncio
import threading

import pytest

from inference.errors import Unavailable
from inference.serving.workers import Workers


def test_the_loop_goes_on_while_a_thread_works() -> None:
    workers = Workers("test", 1, 10)
    released = threading.Event()

    async def work() -> str:
        task = asyncio.create_task(workers.run(released.wait, 10))
        await asyncio.sleep(0.01)
        assert not task.done()
        released.set()
        assert await task
        return await workers.run(str.upper, "done")

    assert asyncio.run(work()) == "DONE"
    workers.close()


def test_what_is_too_much_is_refused_and_room_is_given_back_after_an_error() -> None:
    workers = Workers("test", 1, 3)
    with workers.admitted(2):
        with pytest.raises(Unavailable) as refused, workers.admitted(2):
            pytest.fail("it was let in")
        assert refused.value.reason == "busy"
        with workers.admitted():
            assert workers.in_flight == 3
        with pytest.raises(KeyError), workers.admitted():
            raise KeyError
        assert workers.in_flight == 2
    assert workers.in_flight == 0
    workers.close()


def test_batches_share_half_of_the_room_and_a_larger_one_comes_when_there_is_no_other() -> None:
    workers = Workers("test", 1, 8)
    with workers.admitted(2), workers.admitted(2):
        with pytest.raises(Unavailable), workers.admitted(2):
            pytest.fail("it was let in")
        with workers.admitted():
            assert workers.in_flight == 5
    with workers.admitted(100), pytest.raises(Unavailable), workers.admitted(2):
        pytest.fail("it was let in")
    workers.close()


def test_a_batch_however_large_shuts_no_single_item_out() -> None:
    workers = Workers("test", 1, 2)
    with workers.admitted(100), workers.admitted(), workers.admitted():
        assert workers.in_flight == 102
        with pytest.raises(Unavailable):
            workers.admitted().__enter__()
    workers.close()
