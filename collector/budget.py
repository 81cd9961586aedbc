"""Memory for requests in hand: one bound for all transports together.

What is counted are bytes that are really there (as they arrive, as they are inflated), never what a client
claims to send, so that a claim alone costs the others nothing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from collector.errors import TryLater


class Budget:
    """At most ``total_bytes`` held at any time; who finds it used up is told to try later.

    Not thread-safe: grow and release on the event loop's thread.
    """

    def __init__(self, total_bytes: int, retry_after_s: float = 1.0) -> None:
        self.total_bytes: Final = total_bytes
        self.retry_after_s: Final = retry_after_s
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        return self._held_bytes

    def hold(self) -> Holding:
        """An empty holding, to be used as a context manager: its end gives everything back."""
        return Holding(self)

    def _take(self, count: int) -> None:
        if self._held_bytes + count > self.total_bytes:
            raise TryLater(
                f"{self._held_bytes} of {self.total_bytes} bytes are in hand; {count} more do not fit",
                self.retry_after_s,
            )
        self._held_bytes += count

    def _give(self, count: int) -> None:
        self._held_bytes -= count


class Holding:
    """What one request holds of a budget."""

    __slots__ = ("_budget", "_count")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._count = 0

    def grow(self, count: int) -> None:
        """Hold ``count`` bytes more.

        Raises:
            TryLater: they don't fit; what is held stays held.
        """
        self._budget._take(count)  # noqa: SLF001  (a budget's own hand)
        self._count += count

    def shrink(self, count: int) -> None:
        """Give ``count`` bytes back."""
        self._budget._give(count)  # noqa: SLF001
        self._count -= count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shrink(self._count)
