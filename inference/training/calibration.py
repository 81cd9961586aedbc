"""Confidence that means something: temperature, expected calibration error, and the cut between two classes.

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017): one number divides all
logits, chosen by log-likelihood on answers that were not trained on; the error is the mean gap, weighted by
rows, between confidence and accuracy in 15 bins of equal width.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.spec import Cut

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS: Final = 15
TINY: Final = 1e-12
"""Probabilities below it count as that: their logarithm stays finite.  Serving does the same."""
_COLDEST: Final = 0.05
_HOTTEST: Final = 20.0
_GOLDEN: Final = (math.sqrt(5) - 1) / 2


def logits_of(probabilities: NDArray[np.floating]) -> Floats:
    """Logits whose softmax are these probabilities."""
    return np.asarray(np.log(np.maximum(probabilities.astype(np.float64), TINY)))


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Probabilities [n, classes] of logits [n, classes]."""
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_loss(probabilities: Floats, target: Ints) -> float:
    """Mean negative logarithm of what the true class was given."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(target)), target], TINY)).mean())


def fitted_temperature(logits: Floats, target: Ints) -> float:
    """The temperature with the least log-loss, from 0.05 to 20, to four digits."""

    def loss(power: float) -> float:
        return log_loss(softmax(logits, math.exp(power)), target)

    # Golden section: the loss is convex in the inverse of the temperature, so it has one valley.
    low, high = math.log(_COLDEST), math.log(_HOTTEST)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    while high - low > 1e-5:
        if loss_left <= loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - _GOLDEN * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + _GOLDEN * (high - low)
            loss_right = loss(right)
    return round(math.exp((low + high) / 2), 4)


def expected_calibration_error(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """The error of answers' confidence, 0 to 1, where ``right`` says which answers were."""
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    believed = np.bincount(bins, weights=confidence, minlength=BINS)
    true = np.bincount(bins, weights=right.astype(np.float64), minlength=BINS)
    return float(np.abs(believed - true)[rows > 0].sum() / max(len(confidence), 1))


def answers(probabilities: Floats, cut: float | None) -> Ints:
    """The class that is answered for each row: as serving does it."""
    if cut is None:
        return np.asarray(probabilities.argmax(axis=1))
    return np.asarray(probabilities[:, 1] >= cut, dtype=np.int64)


def chosen_cut(wish: Cut, probability: Floats, target: Ints) -> float:
    """The cut that does what a specification wishes, for the second class's ``probability`` [n].

    Candidates lie halfway between neighbouring probabilities; of equally good ones the middle is taken.  If
    no cut has the precision that is asked, the one with the greatest is taken.
    """
    order = np.argsort(-probability, kind="stable")
    sorted_probability, true = probability[order], target[order] == 1
    hits = np.cumsum(true)
    answered = np.arange(1, len(true) + 1)
    ends = np.append(np.nonzero(np.diff(sorted_probability))[0], len(true) - 1)
    hits, answered = hits[ends], answered[ends]
    if wish.precision is not None:
        precision = hits / answered
        enough = precision >= wish.precision
        score = np.where(enough, hits, precision - 2) if enough.any() else precision
    elif wish.maximise == "f1":
        score = 2 * hits / (answered + true.sum())
    else:
        score = hits + (len(true) - true.sum()) - (answered - hits)
    best = np.nonzero(score >= score.max() - TINY)[0]
    end = int(ends[best[len(best) // 2]])
    below = sorted_probability[end + 1] if end + 1 < len(sorted_probability) else 0.0
    return round(float((sorted_probability[end] + below) / 2), 6)
