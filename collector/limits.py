"""What a record may hold, and the clock readings that are believed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from collector.records import Refused
from ledger.rows import UNIX_EPOCH_OFFSET_US, microseconds

_OLDEST_US: Final = microseconds(datetime(2000, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one record; over them it is refused, and the rest of its request is not.

    ``decoded_bytes`` bounds a whole request instead: a machine's name and a metric's stand once on the wire
    and in every row, so a small request could otherwise fill the memory.

    The defaults are our choice: an order of magnitude above what OTLP SDKs send by default
    (128 attributes a record), and small enough that one row stays well under a PostgreSQL page chain.
    """

    attribute_count: int = 1024
    attributes_bytes: int = 65_536
    text_bytes: int = 1024
    future_s: float = 86_400.0
    decoded_bytes: int = 128 << 20


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a request arrived, and which event times are believed: 2000-01-01 to a day from now."""

    received_us: int
    latest_us: int
    limits: Limits

    @classmethod
    def at(cls, unix_ns: int, limits: Limits) -> Arrival:
        """An arrival at ``unix_ns`` nanoseconds since 1970."""
        received_us = unix_ns // 1000 - UNIX_EPOCH_OFFSET_US
        return cls(received_us, received_us + int(limits.future_s * 1e6), limits)

    def event_us(self, unix_ns: int, what: str) -> int:
        """Microseconds since 2000-01-01 of an OTLP time.

        Raises:
            Refused: no time, or a time that no machine's clock should show.
        """
        if unix_ns == 0:
            raise Refused("time_missing", f"{what} has no time")
        event_us = unix_ns // 1000 - UNIX_EPOCH_OFFSET_US
        if not _OLDEST_US <= event_us <= self.latest_us:
            raise Refused(
                "time_out_of_range",
                f"{what} has time_unix_nano {unix_ns}; between 2000-01-01 and a day from now is believed",
            )
        return event_us


def checked_text(value: str, what: str, limits: Limits) -> str:
    """``value``, if it may stand in a text column.

    Raises:
        Refused: it is too long or holds NUL, which PostgreSQL's text can't.
    """
    if "\x00" in value:
        raise Refused("nul_character", f"{what} holds a NUL character")
    if len(value) > limits.text_bytes or len(value.encode()) > limits.text_bytes:
        raise Refused("text_too_long", f"{what} is longer than {limits.text_bytes} bytes")
    return value


def decoded_text(data: bytes, what: str, limits: Limits) -> str:
    """``data`` as text that may stand in a text column.

    Raises:
        Refused: it is not UTF-8, too long, or holds NUL.
    """
    try:
        return checked_text(data.decode(), what, limits)
    except UnicodeDecodeError as error:
        raise Refused("invalid_utf8", f"{what} is not UTF-8") from error
