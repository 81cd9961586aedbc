"""``python -m tests.faults.killed_inference``: an inference service that dies once an event is on disk."""

from __future__ import annotations

import os
import signal
import sys

from inference.__main__ import main
from outbox.gather import Gather

_put = Gather.put


async def _put_and_die(self: Gather, *bodies: bytes) -> None:
    await _put(self, *bodies)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Gather.put = _put_and_die  # type: ignore[method-assign]
    sys.exit(main())
