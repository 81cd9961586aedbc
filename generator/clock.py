"""Times of a simulation: nanoseconds since 1970 as integers, always on a whole millisecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

SECOND_NS: Final = 1_000_000_000
MILLISECOND_NS: Final = 1_000_000
DAY_NS: Final = 86_400 * SECOND_NS
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def whole_ms(time_ns: float) -> int:
    """Cut to the millisecond."""
    return int(time_ns) // MILLISECOND_NS * MILLISECOND_NS


def rfc3339(time_ns: int) -> str:
    """``2026-01-05T08:15:30.250Z``: exact, because times are whole milliseconds."""
    moment = _EPOCH + timedelta(microseconds=time_ns // 1_000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1_000:03d}Z"
