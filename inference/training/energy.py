"""The energy that training used: read from the processor where it tells, else estimated.

RAPL (running average power limit), in Linux' powercap, counts what whole processors used, other programs
included.  Virtual machines mostly hide it; then CPU time is multiplied by a power per core.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

WATTS_PER_CORE: Final = 10.0
"""Our assumption for the estimate: server processors of 2020 to 2025 have 5 to 12 W of rated power a core."""
_POWERCAP: Final = Path("/sys/class/powercap")
_JOULES_PER_KWH: Final = 3.6e6


@dataclass(frozen=True, slots=True)
class Used:
    """Energy in kWh, processor seconds, and in words how they were found."""

    kwh: float
    cpu_s: float
    how: str


class Meter:
    """Counts from when it is made."""

    def __init__(self, counter: Path, most: int, joules_e6: int, cpu_s: float) -> None:
        self._counter = counter
        self._most = most
        self._begin_uj = joules_e6
        self._begin_s = cpu_s

    @classmethod
    def started(cls, powercap: Path = _POWERCAP) -> Self:
        """A meter from now on."""
        counter = powercap / "intel-rapl:0" / "energy_uj"
        begin, most = _number(counter), _number(counter.with_name("max_energy_range_uj"))
        return cls(counter, most or 0, -1 if begin is None else begin, _cpu_s())

    def used(self) -> Used:
        """What has been used since."""
        cpu_s = round(_cpu_s() - self._begin_s, 2)
        now = _number(self._counter) if self._begin_uj >= 0 else None
        if now is None:
            kwh = cpu_s * WATTS_PER_CORE / _JOULES_PER_KWH
            how = f"estimated: {cpu_s:.1f} s of processor time at {WATTS_PER_CORE:g} W a core, our assumption"
            return Used(round(kwh, 9), cpu_s, how)
        # The counter starts again from 0 at its end.
        used_uj = now - self._begin_uj + (self._most if now < self._begin_uj else 0)
        how = "read from the processor (RAPL, the whole package, other programs included)"
        return Used(round(used_uj / 1e6 / _JOULES_PER_KWH, 9), cpu_s, how)


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
