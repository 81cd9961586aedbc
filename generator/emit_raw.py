"""Encoded requests straight over gRPC, many in flight, in order for each machine.

At most one request of a machine and signal is under way at a time, as a real machine would have it, so the
ledger's order is the order of events; many machines are under way at once.  Memory is bounded by the number
of requests in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from generator.delivery import Delivery
from generator.errors import DeliveryError
from outbox.sender import RawSender, Signal

_Lane = tuple[str, str]


class OrderedSender:
    """Many requests in flight, those of one lane (machine and signal) one after the other."""

    def __init__(self, sender: RawSender, delivery: Delivery, in_flight: int) -> None:
        self._sender = sender
        self._delivery = delivery
        self._room = asyncio.Semaphore(in_flight)
        self._last: dict[_Lane, asyncio.Task[None]] = {}
        self._gave_up = False

    async def put(self, lane: str, signal: Signal, rows: dict[str, int], payload: bytes) -> None:
        """Hand over a request; waits while too many are in flight.

        Raises:
            DeliveryError: a request was given up; nothing more is sent.
        """
        await self._admit()
        key = (lane, signal)
        self._delivery.record_sent(rows)
        task = asyncio.create_task(self._send(self._last.get(key), lane, signal, rows, payload))
        self._last[key] = task
        await asyncio.sleep(0)

    async def then(self, lane: str, work: Callable[[], None]) -> None:
        """Let something be done, in a thread, when all requests of a machine so far are answered.

        A DeliveryError of ``work`` ends the run.

        Raises:
            DeliveryError: as of ``put``.
        """
        await self._admit()
        before = [task for (of, _), task in self._last.items() if of == lane]
        task = asyncio.create_task(self._do(before, lane, work))
        self._last[lane, "work"] = task
        await asyncio.sleep(0)

    async def _admit(self) -> None:
        await self._room.acquire()
        if self._gave_up:
            self._room.release()
            raise DeliveryError("the data was not taken; see the report for what is missing")

    async def _do(self, before: list[asyncio.Task[None]], lane: str, work: Callable[[], None]) -> None:
        try:
            await asyncio.gather(*before)
            await asyncio.to_thread(work)
        except DeliveryError:
            self._gave_up = True
        finally:
            self._leave((lane, "work"))

    async def _send(
        self,
        before: asyncio.Task[None] | None,
        lane: str,
        signal: Signal,
        rows: dict[str, int],
        payload: bytes,
    ) -> None:
        try:
            if before is not None:
                await before
            if self._gave_up:
                self._delivery.record_failed(rows)
                return
            answer = await self._sender.send(signal, payload)
            for _ in range(answer.retries):
                self._delivery.record_retry()
            if answer.accepted:
                self._delivery.record_acknowledged(signal, rows, answer.refused, answer.message)
            else:
                self._delivery.record_failed(rows, answer.message)
                self._gave_up = True
        except asyncio.CancelledError:
            self._delivery.record_failed(rows, "interrupted")
            raise
        finally:
            self._leave((lane, signal))

    def _leave(self, key: _Lane) -> None:
        if self._last.get(key) is asyncio.current_task():
            del self._last[key]
        self._room.release()

    async def drain(self) -> None:
        """Wait for every answer."""
        while self._last:
            await asyncio.gather(*self._last.values())
