"""Temperature, calibration error and cut, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from inference.spec import Cut
from inference.training import scores
from inference.training.calibration import (
    answers,
    chosen_cut,
    expected_calibration_error,
    fitted_temperature,
    logits_of,
    softmax,
)


def test_the_temperature_that_overstated_logits_were_multiplied_by_is_found_again() -> None:
    rng = np.random.default_rng(1)
    true = softmax(rng.normal(scale=2.0, size=(20_000, 4)))
    target = np.array([rng.choice(4, p=row) for row in true])
    assert fitted_temperature(logits_of(true) * 3, target) == pytest.approx(3, rel=0.05)
    assert fitted_temperature(logits_of(true), target) == pytest.approx(1, rel=0.05)


def test_temperature_keeps_the_order_of_classes_and_changes_confidence() -> None:
    logits = np.array([[2.0, 1.0, -1.0]])
    hot, cold = softmax(logits, 4.0), softmax(logits, 0.5)
    assert hot.argmax() == cold.argmax() == 0
    assert hot.max() < softmax(logits).max() < cold.max()


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    confidence = np.full(10, 0.9)
    right = np.array([True] * 9 + [False])
    assert expected_calibration_error(confidence, right) == pytest.approx(0)
    assert expected_calibration_error(confidence, ~right) == pytest.approx(0.8)
    assert expected_calibration_error(np.ones(4), np.ones(4, dtype=bool)) == pytest.approx(0)
    two = np.array([0.1, 0.1, 0.9, 0.9])
    assert expected_calibration_error(two, np.array([False, True, True, True])) == pytest.approx(0.25)


PROBABILITY = np.array([0.9, 0.8, 0.7, 0.6, 0.4, 0.2])
TARGET = np.array([1, 1, 0, 1, 0, 0])


def test_the_cut_for_a_precision_gives_the_most_recall_that_has_it() -> None:
    assert chosen_cut(Cut.model_validate({"precision": 1.0}), PROBABILITY, TARGET) == pytest.approx(0.75)
    assert chosen_cut(Cut.model_validate({"precision": 0.7}), PROBABILITY, TARGET) == pytest.approx(0.5)


def test_without_a_cut_of_that_precision_the_most_precise_is_taken() -> None:
    none = np.array([0, 1, 0, 1, 0, 0])
    assert chosen_cut(Cut.model_validate({"precision": 0.99}), PROBABILITY, none) in {0.75, 0.5}


def test_the_cut_for_a_metric_maximises_it() -> None:
    for name in ("f1", "accuracy"):
        cut = chosen_cut(Cut.model_validate({"maximise": name}), PROBABILITY, TARGET)
        both = np.column_stack([1 - PROBABILITY, PROBABILITY])
        best = scores.classification(both, TARGET, cut, 0.75)[name]
        others = [scores.classification(both, TARGET, other, 0.75).get(name, 0) for other in PROBABILITY]
        assert best >= max(others)


def test_answers_follow_the_cut() -> None:
    both = np.array([[0.6, 0.4], [0.2, 0.8]])
    assert answers(both, None).tolist() == [0, 1]
    assert answers(both, 0.3).tolist() == [1, 1]


def test_metrics_are_those_computed_by_hand() -> None:
    both = np.column_stack([1 - PROBABILITY, PROBABILITY])
    found = scores.classification(both, TARGET, 0.5, 0.75)
    assert found["accuracy"] == pytest.approx(5 / 6)
    assert found["precision"] == pytest.approx(3 / 4)
    assert found["recall"] == 1
    assert found["f1"] == pytest.approx(6 / 7, abs=1e-6)
    assert found["roc_auc"] == pytest.approx(8 / 9, abs=1e-6)
    assert found["sure_share"] == 0.5
    assert found["sure_accuracy"] == 1
    assert scores.regression(np.array([1.0, 3.0]), np.array([1.0, 1.0])) == {"rmse": 1.414214, "mae": 1.0}


def test_a_group_of_one_class_has_only_metrics_that_mean_something() -> None:
    both = np.column_stack([1 - PROBABILITY, PROBABILITY])
    groups = np.array(["a", "a", "b", "b", "b", "b"], dtype=object)
    found = scores.grouped(both, TARGET, groups, 0.5, 0.75)
    assert found["a"]["rows"] == 2
    assert "f1" not in found["a"]
    assert found["b"]["f1"] == pytest.approx(2 / 3, abs=1e-6)
