"""How often a model is right, from the reviews of a sample that is biased on purpose.

Every unsure answer comes to review, of the sure ones a random part r.  A plain mean over the reviews would
thus tell of the unsure ones.  Each review is weighted with the inverse of its probability: of coming to the
queue (1 or r), times that of being decided by now (decided / enqueued, of its reason).  The estimate is
Hajek's ratio, sum(w y) / sum(w) (Sarndal, Swensson, Wretman, Model Assisted Survey Sampling, 1992, 5.7).

The interval is Wilson's score interval at 95 % with Kish's effective number of reviews,
(sum w)^2 / sum(w^2), in the place of n: near 1 and for few reviews it holds where a normal interval does not.

The calibration error is the expected calibration error with ten intervals of equal width, weighted likewise.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from store.ground_truth import ReviewedAnswer

LEAST_REVIEWS: Final = 30
LEAST_AUDITED: Final = 10
"""Our choice: fewer say too little, and with no review of a sure answer nothing is known of most answers."""
_Z: Final = 1.959964
_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Accuracy:
    """An estimate with its interval at 95 %; ``effective`` is how many plain reviews would say as much."""

    value: float
    low: float
    high: float
    effective: float
    calibration_error: float


@dataclass(frozen=True, slots=True)
class ReviewTruth:
    """What the reviews of a window say.

    ``accuracy`` is None if they are not enough, and ``lacking`` says what is missing.  ``confusion`` counts
    reviews, unweighted: predicted class, then class seen.
    """

    reviews: int
    audited: int
    rejected: int
    confusion: Mapping[str, Mapping[str, int]]
    accuracy: Accuracy | None
    lacking: str | None


def review_truth(
    reviewed: Sequence[ReviewedAnswer], enqueued: Mapping[str, int], sure_answers: int
) -> ReviewTruth:
    """What reviews say; ``enqueued``: items by reason, ``sure_answers``: those above the threshold."""
    telling = [one for one in reviewed if one.decision in {"confirmed", "corrected"} and one.sample_rate > 0]
    audited = sum(one.reason == "audit_sample" for one in telling)
    confusion: dict[str, Counter[str]] = {}
    for one in telling:
        confusion.setdefault(one.predicted, Counter())[_seen(one)] += 1
    lacking = _lacking(len(telling), audited, sure_answers)
    return ReviewTruth(
        reviews=len(telling),
        audited=audited,
        rejected=len(reviewed) - len(telling),
        confusion={name: dict(seen) for name, seen in sorted(confusion.items())},
        accuracy=None if lacking else _estimate(telling, _weights(telling, reviewed, enqueued)),
        lacking=lacking,
    )


def is_right(one: ReviewedAnswer) -> bool:
    """Whether the reviewer saw what was predicted, or a material that the predicted class stands for."""
    return _seen(one) == one.predicted


def wilson(share: float, n: float) -> tuple[float, float]:
    """The score interval at 95 % of a share found in ``n`` trials (E. B. Wilson, 1927)."""
    squared = _Z * _Z
    centre = (share + squared / (2 * n)) / (1 + squared / n)
    half = _Z / (1 + squared / n) * math.sqrt(share * (1 - share) / n + squared / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _seen(one: ReviewedAnswer) -> str:
    if one.decision == "confirmed" or one.seen is None or one.seen in one.covers:
        return one.predicted
    return one.seen


def _lacking(reviews: int, audited: int, sure_answers: int) -> str | None:
    if reviews < LEAST_REVIEWS:
        return f"{reviews} reviews of at least {LEAST_REVIEWS}"
    if sure_answers and audited < LEAST_AUDITED:
        return f"{audited} reviews of sure answers of at least {LEAST_AUDITED}"
    return None


def _weights(
    telling: Sequence[ReviewedAnswer], reviewed: Sequence[ReviewedAnswer], enqueued: Mapping[str, int]
) -> list[float]:
    decided = Counter(one.reason for one in reviewed)
    return [max(1.0, enqueued.get(one.reason, 0) / decided[one.reason]) / one.sample_rate for one in telling]


def _estimate(telling: Sequence[ReviewedAnswer], weights: Sequence[float]) -> Accuracy:
    total = math.fsum(weights)
    value = math.fsum(weight for one, weight in zip(telling, weights, strict=True) if is_right(one)) / total
    effective = total * total / math.fsum(weight * weight for weight in weights)
    low, high = wilson(value, effective)
    return Accuracy(value, low, high, effective, _calibration_error(telling, weights))


def _calibration_error(telling: Sequence[ReviewedAnswer], weights: Sequence[float]) -> float:
    """Sum over the intervals of their weight times the distance of mean confidence and accuracy."""
    gaps = [0.0] * _BINS
    for one, weight in zip(telling, weights, strict=True):
        gaps[min(int(one.confidence * _BINS), _BINS - 1)] += weight * (one.confidence - is_right(one))
    return math.fsum(map(abs, gaps)) / math.fsum(weights)
