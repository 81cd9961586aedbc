"""Being told to stop: SIGTERM, as supervisors send it, or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def told_to_stop() -> Iterator[asyncio.Event]:
    """An event that the signals set; afterwards they do again what they do in any Python program.

    To be entered in the main thread, in a running event loop.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        # uvloop would leave a closed loop's handlers in place, which are deaf.
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
