"""Says when a series' clock stands still or runs backwards; the readings are stored all the same.

The decoder keeps the last event time of each series (machine, metric, attributes), within a bound: where that
is reached, times are forgotten and a jump may go unnoticed here.  The ledger has the order of arrival, so an
audit finds them all.
"""

from __future__ import annotations

from prometheus_client import Counter


class ClockWatch:
    """Counts repeated and backward event times, as labels ``repeated`` and ``backward`` of a counter."""

    def __init__(self, anomalies: Counter) -> None:
        self._repeated = anomalies.labels("repeated")
        self._backward = anomalies.labels("backward")

    def note(self, last_us: int, event_us: int) -> None:
        """An event time that is not after the one before it; both in microseconds of one epoch."""
        (self._repeated if event_us == last_us else self._backward).inc()
