"""Says when a series' clock stands still or runs backwards; the readings are stored all the same.

Per series (machine, metric, attributes) the last event time is kept, within a bound: when it is reached,
everything is forgotten and a jump may go unnoticed here.  The ledger has the order of arrival, so an audit
finds them all.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

_SERIES: Final = 20_000
"""Metrics of machines that are watched at once."""
_TIMES: Final = 16
"""Attribute sets of one metric of one machine that are watched at once."""


class ClockWatch:
    """Counts repeated and backward event times, as labels ``repeated`` and ``backward`` of a counter."""

    def __init__(self, anomalies: Counter) -> None:
        self._repeated = anomalies.labels("repeated")
        self._backward = anomalies.labels("backward")
        self._times: dict[tuple[str, str], dict[bytes, int]] = {}

    def series(self, machine_id: str, metric: str) -> dict[bytes, int]:
        """Last event times (microseconds since 2000-01-01) of this metric, by attributes; to be updated."""
        times = self._times.get((machine_id, metric))
        if times is None:
            if len(self._times) >= _SERIES:
                self._times.clear()
            times = self._times[machine_id, metric] = {}
        elif len(times) > _TIMES:
            times.clear()
        return times

    def note(self, last_us: int, event_us: int) -> None:
        """An event time that is not after the one before it."""
        (self._repeated if event_us == last_us else self._backward).inc()
