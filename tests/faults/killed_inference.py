"""``python -m tests.faults.killed_inference``: an inference service that kills itself at a write.

``TALLY_TEST_KILL`` is ``before`` or ``after``: where, seen from the event's way to the disk.
"""

from __future__ import annotations

import os
import signal
import sys

from inference.__main__ import main
from outbox.gather import Gather

_put = Gather.put


async def _put_and_die(self: Gather, body: bytes) -> None:
    if os.environ["TALLY_TEST_KILL"] == "after":
        await _put(self, body)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Gather.put = _put_and_die  # type: ignore[method-assign]
    sys.exit(main())
