"""A service stops when it is told to, and leaves the signals as it found them."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
import uvloop

from service.stopping import told_to_stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_event(number: signal.Signals) -> None:
    async def serve() -> None:
        with told_to_stop() as stop:
            os.kill(os.getpid(), number)
            await asyncio.wait_for(stop.wait(), 5)

    uvloop.run(serve())


def test_after_a_start_that_failed_ctrl_c_is_heard_again() -> None:
    async def serve() -> None:
        with told_to_stop():
            raise OSError("the port is taken")

    with pytest.raises(OSError, match="taken"):
        uvloop.run(serve())
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
