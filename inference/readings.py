"""Named readings, checked against a model's features and put into the order of its input's columns.

The columns are those that ``inference.manifest.ReadingsInput`` documents.  Training and serving share this
module, so that a row means the same to both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from inference.errors import BadInput
from inference.manifest import Feature

_NAN: Final = math.nan
_SHOWN: Final = 80
"""Characters of a bad value that a message repeats."""

_Check = tuple[str, float, float, dict[object, list[float]] | None, int, bool, Feature]
"""Name, bounds, what each word is encoded as (None for a number), columns, whether it may be missing."""


def column_names(features: Iterable[Feature]) -> tuple[str, ...]:
    """The names of the input's columns: a number's own name; ``name=value`` for each value of a category."""
    names: list[str] = []
    for feature in features:
        if feature.values is None:
            names.append(feature.name)
        else:
            names.extend(f"{feature.name}={value}" for value in feature.values)
    return tuple(names)


class ReadingsEncoder:
    """Checks and encodes rows of one model; made once, it takes about 1 us for a row of ten numbers."""

    def __init__(self, features: Iterable[Feature]) -> None:
        self.features: Final = tuple(features)
        self.columns: Final = column_names(self.features)
        self._names: Final = frozenset(feature.name for feature in self.features)
        self._checks: Final = tuple(_check_of(feature) for feature in self.features)

    def row(self, readings: Mapping[str, object]) -> list[float]:
        """One row, in the order of ``columns``; a missing number is NaN, a missing category all 0.

        Raises:
            BadInput: a reading is missing, unknown, no finite number, out of bounds or no word of its
                category; the message names field, bound and value, ``reason`` the kind.
        """
        encoded: list[float] = []
        found = 0
        for name, low, high, words, width, nullable, feature in self._checks:
            value = readings.get(name)
            if value is None:
                if name in readings:
                    found += 1
                if not nullable:
                    raise _missing(feature, null=name in readings)
                encoded += [_NAN] if words is None else [0.0] * width
                continue
            found += 1
            if words is None:
                kind = type(value)
                # A NaN is within no bounds.
                if (kind is float or kind is int) and low <= value <= high:  # type: ignore[operator]
                    encoded.append(value)  # type: ignore[arg-type]
                else:
                    encoded.append(_number(feature, value, low, high))
            else:
                word = words.get(value) if isinstance(value, str) else None
                if word is None:
                    raise BadInput(
                        f"{name}: expected {_listed(feature)}, got {_shown(value)}", reason="unknown_value"
                    )
                encoded += word
        if found != len(readings):
            raise self._unknown(readings)
        return encoded

    def _unknown(self, readings: Mapping[str, object]) -> BadInput:
        strange = sorted(str(name) for name in readings if name not in self._names)
        return BadInput(
            f"{strange[0][:_SHOWN]}: this model has no such reading; "
            f"it takes {', '.join(feature.name for feature in self.features)}",
            reason="unknown_reading",
        )


def validated(features: Iterable[Feature], readings: Mapping[str, object]) -> list[float]:
    """One row, checked and encoded; make a :class:`ReadingsEncoder` where there are many.

    Raises:
        BadInput: see :meth:`ReadingsEncoder.row`.
    """
    return ReadingsEncoder(features).row(readings)


def bounds_text(feature: Feature) -> str:
    """What a feature admits, for a message or a card: ``0 to 14``, ``one of L, M, H``."""
    if feature.values is not None:
        return _listed(feature)
    return f"{feature.minimum:.10g} to {feature.maximum:.10g}" + (
        "" if feature.unit == "1" else f" {feature.unit}"
    )


def _check_of(feature: Feature) -> _Check:
    if feature.values is not None:
        places = range(len(feature.values))
        words: dict[object, list[float]] = {
            value: [1.0 if place == at else 0.0 for place in places]
            for at, value in enumerate(feature.values)
        }
        return feature.name, 0.0, 0.0, words, len(feature.values), feature.nullable, feature
    if feature.minimum is None or feature.maximum is None:  # Feature itself refuses this
        raise AssertionError(feature.name)
    return feature.name, feature.minimum, feature.maximum, None, 1, feature.nullable, feature


def _number(feature: Feature, value: object, low: float, high: float) -> float:
    """What is no plain float or int within bounds: a subclass of one, or the error."""
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise BadInput(
            f"{feature.name}: expected a number, {bounds_text(feature)}, got {_shown(value)}",
            reason="not_a_number",
        )
    if not low <= value <= high:
        finite = isinstance(value, int) or math.isfinite(value)
        raise BadInput(
            f"{feature.name}: expected {bounds_text(feature)}, got {_shown(value)}",
            reason="out_of_bounds" if finite else "not_finite",
        )
    return float(value)


def _missing(feature: Feature, *, null: bool) -> BadInput:
    came = "null" if null else "nothing"
    return BadInput(
        f"{feature.name}: expected {bounds_text(feature)}, got {came}; this reading may not be left out",
        reason="missing_reading",
    )


def _listed(feature: Feature) -> str:
    return "one of " + ", ".join(feature.values or ())


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_SHOWN:
        return f"an integer of about 2^{value.bit_length()}"
    if isinstance(value, list | dict | tuple):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
