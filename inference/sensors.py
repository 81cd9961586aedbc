"""Which sensors may ask for a prediction: those that the ledger has rows of, and those that are named.

A prediction about a machine that never said a word would be evidence of nothing.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, Protocol, TypeVar

from inference.errors import BadInput, Unavailable
from store.errors import StoreError

_REMEMBERED: Final = 100_000
_DENIED_S: Final = 2.0
"""A sensor is asked about again that long after it was found unknown: it may have sent its first row."""


_Kept = TypeVar("_Kept")


class Ledger(Protocol):
    """What this module needs of ``store.sessions.Sessions``."""

    async def fetch(self, name: str, *values: object) -> Sequence[Mapping[str, object]]:
        """The rows of a named query."""
        ...


class Sensors:
    """Answers from memory wherever it can; a sensor that is known stays known."""

    def __init__(
        self,
        ledger: Ledger,
        patterns: Sequence[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``patterns`` are shell patterns of names that are known though the ledger has no row of them."""
        self._ledger = ledger
        self._patterns = tuple(patterns)
        self._clock = clock
        self._known: OrderedDict[str, None] = OrderedDict()
        self._denied: OrderedDict[str, float] = OrderedDict()

    async def check(self, sensor_id: str) -> None:
        """Accept a sensor.

        Raises:
            BadInput: nothing is known of it.
            Unavailable: it is not known yet, and the database does not answer.
        """
        if sensor_id in self._known:
            return
        # The collector takes a blank name for no identity: no pattern can make it one that is recorded.
        if sensor_id.strip() and any(fnmatchcase(sensor_id, pattern) for pattern in self._patterns):
            return
        denied_at = self._denied.get(sensor_id)
        if denied_at is not None and self._clock() - denied_at < _DENIED_S:
            raise _unknown(sensor_id)
        try:
            (row,) = await self._ledger.fetch("known_machine", sensor_id)
        except StoreError as error:
            raise Unavailable(
                "whether this sensor is known can't be asked now: the database does not answer",
                reason="sensors_unavailable",
            ) from error
        if not row["known"]:
            _remember(self._denied, sensor_id, self._clock())
            raise _unknown(sensor_id)
        self._denied.pop(sensor_id, None)
        _remember(self._known, sensor_id, None)


def _unknown(sensor_id: str) -> BadInput:
    return BadInput(
        f"the ledger has no row of a sensor {sensor_id[:80]!r}: let it send a heartbeat first, or name it in "
        "TALLY_INFERENCE_SENSORS",
        reason="unknown_sensor",
    )


def _remember(memory: OrderedDict[str, _Kept], name: str, value: _Kept) -> None:
    memory[name] = value
    memory.move_to_end(name)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
