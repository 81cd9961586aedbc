"""How gRPC messages are read, so that a thousand clients with large ones can't fill the memory.

gRPC takes a whole message once it is asked for one, and tells its length only then.  Before it is asked, flow
control holds a client to 64 KiB.  So only a few messages are asked for at a time.  Most have arrived by then
and are read at once, in the quick lane.  One that takes longer is large, or its client slow: it goes on only
if the budget still has room for the largest message, otherwise its client is told to try later and gRPC drops
what has come.  However slow some clients are, the quick lane stays free for the others.
"""

from __future__ import annotations

import asyncio
from typing import Final

import grpc

from collector.budget import Budget, Holding
from collector.errors import TryLater, Undecodable

_QUICK_READS: Final = 4
_QUICK_READ_S: Final = 0.1
"""Enough for what a loopback or a local network delivers at once, or for a few round trips; our choice."""


class NoMessage(Undecodable):
    """gRPC ended the call without a message, and does not let us tell why.

    It was over the size limit (gRPC itself has told the client), cut off, given up by its client, or none.
    """


class MessageReader:
    """Reads the single message of each call.

    At most ``_QUICK_READS`` messages of unknown length are read at a time, and as many longer than
    ``_QUICK_READ_S`` as the budget has room for, each counted as ``max_bytes`` until its length is known.
    """

    def __init__(self, budget: Budget, *, max_bytes: int, timeout_s: float) -> None:
        self._budget = budget
        self._reserve_bytes = min(max_bytes, budget.total_bytes)
        self._timeout_s = timeout_s
        self._quick = asyncio.Semaphore(_QUICK_READS)

    async def read(self, context: grpc.aio.ServicerContext[bytes, bytes], holding: Holding) -> bytes:
        """The message as it stands on the wire, compressed if the client compressed it.

        Raises:
            TryLater: no room, or it did not arrive in time.
            NoMessage: there is none.
        """
        await self._quick.acquire()
        reading = _Reading(self._quick, holding, self._reserve_bytes, self._timeout_s)
        try:
            async with asyncio.timeout(None) as reading.deadline:
                reading.start()
                message = await context.read()
        except TimeoutError:
            raise reading.refused or TryLater(
                f"the message did not arrive within {self._timeout_s:g} s", self._budget.retry_after_s
            ) from None
        finally:
            reading.end()
        if not isinstance(message, bytes):  # then it is grpc.aio.EOF
            raise NoMessage("the call ended without a message")
        holding.grow(len(message))
        return message


class _Reading:
    """A message being read: in the quick lane, then, if it takes long, on a reserve of the budget."""

    __slots__ = (
        "_holding",
        "_quick",
        "_reserve_bytes",
        "_reserved",
        "_timeout_s",
        "_timer",
        "deadline",
        "refused",
    )

    deadline: asyncio.Timeout

    def __init__(
        self, quick: asyncio.Semaphore, holding: Holding, reserve_bytes: int, timeout_s: float
    ) -> None:
        self._quick = quick
        self._holding = holding
        self._reserve_bytes = reserve_bytes
        self._timeout_s = timeout_s
        self._reserved = False
        self._timer: asyncio.TimerHandle | None = None
        self.refused: TryLater | None = None

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_QUICK_READ_S, self._leave_quick_lane)

    def _leave_quick_lane(self) -> None:
        self._timer = None
        self._quick.release()
        try:
            self._holding.grow(self._reserve_bytes)
            self._reserved = True
            self.deadline.reschedule(asyncio.get_running_loop().time() + self._timeout_s)
        except TryLater as error:
            self.refused = error
            self.deadline.reschedule(0)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._quick.release()
        if self._reserved:
            self._holding.shrink(self._reserve_bytes)
