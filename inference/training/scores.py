"""Metrics of answers on rows that the model has not seen, by names that specifications use.

Of two classes, precision, recall, F1, ROC-AUC and average precision are about the second.  Values are rounded
to six digits after the point, so that they are the same text everywhere.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from inference.training.calibration import Floats, Ints, answers, expected_calibration_error, log_loss

_OF_ONE_CLASS: Final = frozenset({"accuracy", "log_loss", "ece", "sure_share", "sure_accuracy"})
SMALLER_IS_BETTER: Final = frozenset({"log_loss", "ece", "ece_uncalibrated", "rmse", "mae"})


def classification(
    probabilities: Floats, target: Ints, cut: float | None, review_below: float
) -> dict[str, float]:
    """What a classifier's answers are worth; a metric that the rows do not determine is left out."""
    answered = answers(probabilities, cut)
    right = answered == target
    confidence = probabilities[np.arange(len(target)), answered]
    sure = confidence >= review_below
    found = {
        "accuracy": float(right.mean()),
        "macro_f1": float(sk.f1_score(target, answered, average="macro", zero_division=0)),
        "log_loss": log_loss(probabilities, target),
        "ece": expected_calibration_error(confidence, right),
        "sure_share": float(sure.mean()),
    }
    if sure.any():
        found["sure_accuracy"] = float(right[sure].mean())
    if probabilities.shape[1] == 2:
        found |= _of_two(probabilities[:, 1], target, answered)
    return _rounded(found)


def regression(values: Floats, target: Floats) -> dict[str, float]:
    """What a regression's values are worth, in the target's unit."""
    error = values - target
    spread = float(((target - target.mean()) ** 2).sum())
    found = {"rmse": float(np.sqrt((error**2).mean())), "mae": float(np.abs(error).mean())}
    if spread > 0:
        found["r2"] = 1 - float((error**2).sum()) / spread
    return _rounded(found)


def grouped(
    probabilities: Floats,
    target: Ints,
    groups: NDArray[np.object_],
    cut: float | None,
    review_below: float,
) -> dict[str, dict[str, float]]:
    """The metrics of each group, and its rows; of a group with one class only those that have a meaning."""
    found = {}
    for group in sorted(set(groups)):
        where = groups == group
        metrics = classification(probabilities[where], target[where], cut, review_below)
        if len(set(target[where].tolist())) == 1:
            metrics = {name: value for name, value in metrics.items() if name in _OF_ONE_CLASS}
        found[str(group)] = metrics | {"rows": float(where.sum())}
    return found


def class_metrics(target: Ints, answered: Ints, classes: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Precision and recall, and rows, of each class."""
    precision, recall, _, rows = sk.precision_recall_fscore_support(
        target, answered, labels=range(len(classes)), zero_division=0
    )
    return {
        name: _rounded(
            {"precision": float(precision[at]), "recall": float(recall[at]), "rows": float(rows[at])}
        )
        for at, name in enumerate(classes)
    }


def confusion(target: Ints, answered: Ints, classes: int) -> NDArray[np.int64]:
    """Rows by true class (down) and answer (across)."""
    return np.bincount(target * classes + answered, minlength=classes * classes).reshape(classes, classes)


def _of_two(probability: Floats, target: Ints, answered: Ints) -> dict[str, float]:
    found = {}
    if (answered == 1).any():
        found["precision"] = float(sk.precision_score(target, answered, zero_division=0))
    if (target == 1).any():
        found["recall"] = float(sk.recall_score(target, answered, zero_division=0))
        found["f1"] = float(sk.f1_score(target, answered, zero_division=0))
    if 0 < (target == 1).sum() < len(target):
        found["roc_auc"] = float(sk.roc_auc_score(target, probability))
        found["average_precision"] = float(sk.average_precision_score(target, probability))
    return found


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in found.items()}
