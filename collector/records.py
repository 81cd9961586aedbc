"""What decoding a request yields: rows by chain, and a count of what was refused and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from collector.errors import TooLarge
from ledger.batch import ChainKey, Halves, Reading

DAY_US: Final = 86_400_000_000
MOST_DAYS: Final = 400
"""Days of event time (each stream's its own) in one request: a year of daily readings fits."""
EXAMPLES: Final = 3
"""How many refused records a reply describes one by one."""


class Refused(Exception):
    """A record that can't become a row; ``reason`` is a label of bounded cardinality."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(slots=True)
class Records:
    """The rows of one request, its refusals, and the descriptions of its senders."""

    rows: dict[ChainKey, list[Halves | Reading]] = field(default_factory=dict)
    resources: dict[bytes, bytes] = field(default_factory=dict)
    sites: dict[str, str | None] = field(default_factory=dict)
    days: set[tuple[str, int]] = field(default_factory=set)
    refusals: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    most_bytes: int = 128 << 20
    weight_bytes: int = 0

    def chain(self, stream: str, chain: str) -> list[Halves | Reading]:
        """The list that rows of this chain are appended to; it may stay empty."""
        return self.rows.setdefault((stream, chain), [])

    def on_day(self, stream: str, event_us: int) -> None:
        """A row of ``stream`` has this event time (microseconds since 2000-01-01).

        Raises:
            TooLarge: the request is spread over so many days that it could create a chunk for each row.
        """
        self.days.add((stream, event_us // DAY_US))
        if len(self.days) > MOST_DAYS:
            raise TooLarge(f"the request is spread over more than {MOST_DAYS} days; send fewer at a time")

    def weigh(self, count: int) -> None:
        """Rows are about to take ``count`` bytes of memory.

        Raises:
            TooLarge: the request's rows don't fit into what one request may take.
        """
        self.weight_bytes += count
        if self.weight_bytes > self.most_bytes:
            raise TooLarge("the request's rows take too much memory; send fewer records at a time")

    def refuse(self, refusal: Refused, count: int = 1) -> None:
        """Count ``count`` records refused for the same reason."""
        self.refusals[refusal.reason] += count
        if len(self.examples) < EXAMPLES and str(refusal) not in self.examples:
            self.examples.append(str(refusal))

    @property
    def accepted(self) -> int:
        """Number of rows."""
        return sum(map(len, self.rows.values()))

    @property
    def rejected(self) -> int:
        """Number of refused records."""
        return self.refusals.total()

    def message(self) -> str:
        """One line for the client: why records were refused; empty if none were and nothing is odd."""
        parts = list(self.warnings)
        if self.refusals:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.refusals.items()))
            parts.insert(0, f"{self.rejected} refused ({reasons}): {'; '.join(self.examples)}")
        return "; ".join(parts)
