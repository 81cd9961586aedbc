"""Turn the words of a command line into specs: durations, times, fault rates and plan files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from generator.errors import SpecError
from generator.spec import FaultKind, FaultRates, PlannedFault, plan_from_json

_UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def duration_s(text: str) -> int:
    """Seconds of ``90``, ``90s``, ``15m``, ``6h``, ``30d`` or ``2w``.

    Raises:
        SpecError: it is none of these.
    """
    match = re.fullmatch(r"(\d{1,9})([smhdw]?)", text.strip())
    if match is None:
        raise SpecError(f"duration: expected a number with s, m, h, d or w, like 6h, got {text!r}")
    return int(match[1]) * _UNIT_S[match[2] or "s"]


def start_time(text: str) -> datetime:
    """``now`` in whole seconds, or an ISO 8601 time; without an offset it is UTC.

    Raises:
        SpecError: it is neither.
    """
    if text == "now":
        return datetime.now(UTC).replace(microsecond=0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SpecError(f"start: expected now or a time like 2026-01-05T08:00:00Z, got {text!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def fault_rates(words: Sequence[str], *, off: bool) -> FaultRates:
    """Rates from ``kind=rate`` words on top of the defaults, or of none at all if ``off``.

    Raises:
        SpecError: a word is not that; lists the kinds.
    """
    rates = FaultRates.off() if off else FaultRates()
    for word in words:
        name, _, value = word.partition("=")
        try:
            kind = FaultKind(name.replace("-", "_"))
            rates = replace(rates, **{kind.value: float(value)})
        except ValueError as error:
            kinds = ", ".join(kind.value for kind in FaultKind)
            raise SpecError(f"fault: expected KIND=RATE with a kind of {kinds}; got {word!r}") from error
    return rates


def plan_file(path: Path | None) -> tuple[PlannedFault, ...]:
    """The faults of a plan file.

    Raises:
        SpecError: it cannot be read or is not a plan.
    """
    if path is None:
        return ()
    try:
        return plan_from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SpecError(f"fault plan {path}: {error.strerror}") from error
    except ValueError as error:
        raise SpecError(f"fault plan {path}: not JSON: {error}") from error
