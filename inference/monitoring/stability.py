"""The population stability index: how far a distribution has moved from the one a model was evaluated on.

    PSI = sum over the bins of (a - e) ln(a / e)        a: share now, e: share then

It is the symmetric Kullback-Leibler divergence of the binned distributions.  N. Siddiqi, Credit Risk
Scorecards (2006), reads it so: below 0.1 stable, 0.1 to 0.25 some shift, above 0.25 one that needs action.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from inference.manifest import Histogram

SHIFTED: Final = 0.25
LEAST_ROWS: Final = 200
"""Our choice: of two samples of one distribution, of n rows each and with B bins, the index is
2 (B - 1) / n on average, so 0.09 with ten bins."""
_FLOOR: Final = 1e-4
"""Our choice: an empty bin counts as if it had this share, or the index would be infinite."""


def stability_index(then: Sequence[float], counts: Sequence[int]) -> float:
    """The index of ``counts`` now against shares ``then``, bin by bin; 0 or more."""
    total = sum(counts)
    index = 0.0
    for share, count in zip(then, counts, strict=True):
        expected, actual = max(share, _FLOOR), max(count / total, _FLOOR)
        index += (actual - expected) * math.log(actual / expected)
    return index


def feature_index(then: Histogram, values: Iterable[object]) -> float | None:
    """The index of a feature's values; None if they are too few to say.

    A value that is no number, or no word of the histogram, counts as missing.
    """
    counts = [0] * (len(then.shares) + 1)
    for value in values:
        counts[_bin(then, value)] += 1
    if sum(counts) < LEAST_ROWS:
        return None
    return stability_index((*then.shares, then.missing), counts)


def class_index(then: Histogram, counts: Mapping[str, int]) -> float | None:
    """The index of answered classes; classes that there were not then are one bin more."""
    known = [counts.get(name, 0) for name in then.names]
    total = sum(counts.values())
    if total < LEAST_ROWS:
        return None
    return stability_index((*then.shares, then.missing), (*known, total - sum(known)))


def bin_index(then: Histogram, counts: Mapping[int, int]) -> float | None:
    """The index of a number that is counted by bin already, 0 being below the first edge."""
    if sum(counts.values()) < LEAST_ROWS:
        return None
    return stability_index(then.shares, [counts.get(bin_, 0) for bin_ in range(len(then.shares))])


def _bin(then: Histogram, value: object) -> int:
    missing = len(then.shares)
    if then.names:
        return then.names.index(value) if isinstance(value, str) and value in then.names else missing
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return missing
    return bisect_right(then.edges, value)
