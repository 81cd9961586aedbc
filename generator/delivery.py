"""What became of the rows that were sent: acknowledged, refused, or not taken.  Safe for threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_MESSAGES_KEPT: Final = 5


@dataclass(slots=True)
class Delivery:
    """The account of a run.

    A request is acknowledged when the collector answered it with success.  Rows that it refused within such a
    request (OTLP partial success) are counted apart, by signal: the answer does not say which they were.
    """

    requests: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    retries: int = 0
    interrupted: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def record_sent(self, rows: Mapping[str, int]) -> None:
        """A request is on its way."""
        with self._lock:
            self.requests["sent"] += 1
            self.sent.update(rows)

    def record_acknowledged(
        self, signal: str, rows: Mapping[str, int], refused: int = 0, message: str = ""
    ) -> None:
        """A request was answered with success; ``refused`` of its rows were not taken."""
        with self._lock:
            self.requests["acknowledged"] += 1
            self.acknowledged.update(rows)
            if refused:
                self.refused[signal] += refused
            self._note(message)

    def record_failed(self, rows: Mapping[str, int], message: str = "") -> None:
        """A request was given up: whether its rows were stored is not known."""
        with self._lock:
            self.requests["failed"] += 1
            self.failed.update(rows)
            self._note(message)

    def record_retry(self) -> None:
        """A request is sent once more, the same bytes."""
        with self._lock:
            self.retries += 1

    def _note(self, message: str) -> None:
        if message and message not in self.messages and len(self.messages) < _MESSAGES_KEPT:
            self.messages.append(message)

    @property
    def acknowledged_rows(self) -> int:
        """Rows in acknowledged requests."""
        return sum(self.acknowledged.values())

    @property
    def clean(self) -> bool:
        """Everything that was to be sent was sent and taken."""
        return not (self.interrupted or self.requests["failed"] or self.refused)

    def to_json(self) -> dict[str, Any]:
        """The manifest's ``delivery`` line: a pure function of the spec if everything was taken."""
        with self._lock:
            return {
                "complete": self.clean,
                "requests": {name: self.requests[name] for name in ("sent", "acknowledged", "failed")},
                "rows": {
                    stream: {
                        "sent": self.sent[stream],
                        "acknowledged": self.acknowledged[stream],
                        "failed": self.failed[stream],
                    }
                    for stream in sorted(self.sent)
                },
                "refused": {"metrics": 0, "logs": 0, **self.refused},
                "messages": list(self.messages),
            }
