"""Distributions on held-back data: what drift is measured from.

Numbers are cut at their deciles, so that each interval holds about a tenth; fewer if values repeat.  Shares
are of all rows, those without the reading included, so shares and ``missing`` sum to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from inference.manifest import Feature, Histogram, Reference
from inference.training.calibration import Floats, Ints

Readings = Sequence[Mapping[str, float | str | None]]


def of_number(values: Sequence[float | None]) -> Histogram:
    """The distribution of a number; None is a row without it."""
    present = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(present):
        return Histogram(edges=(), shares=(0.0,), missing=1.0)
    edges = np.unique(np.quantile(present, np.arange(1, 10) / 10))
    counts = np.bincount(np.searchsorted(edges, present, side="right"), minlength=len(edges) + 1)
    return Histogram(
        edges=tuple(edges.tolist()),
        shares=_shares(counts.tolist(), len(values)),
        missing=round(1 - len(present) / len(values), 6),
    )


def of_category(values: Sequence[str | None], names: Sequence[str]) -> Histogram:
    """The distribution of a word among ``names``; None is a row without it."""
    counts = [sum(value == name for value in values) for name in names]
    missing = sum(value is None for value in values)
    return Histogram(
        names=tuple(names),
        shares=_shares(counts, len(values)),
        missing=round(missing / max(len(values), 1), 6),
    )


def of_readings(features: Sequence[Feature], readings: Readings) -> dict[str, Histogram]:
    """The distribution of each feature."""
    found: dict[str, Histogram] = {}
    for feature in features:
        values = [row[feature.name] for row in readings]
        if feature.values is None:
            found[feature.name] = of_number([None if value is None else float(value) for value in values])
        else:
            words = [None if value is None else str(value) for value in values]
            found[feature.name] = of_category(words, feature.values)
    return found


def reference(
    inputs: dict[str, Histogram], answered: Ints, confidence: Floats, classes: Sequence[str]
) -> Reference:
    """All that a classification is watched by."""
    return Reference(
        inputs=inputs,
        classes=of_category([classes[at] for at in answered], classes),
        confidence=of_number(confidence.tolist()),
    )


def _shares(counts: Sequence[int], rows: int) -> tuple[float, ...]:
    return tuple(round(count / max(rows, 1), 6) for count in counts)
