"""The population stability index, by hand and against its meaning."""

from __future__ import annotations

import math
import random

import pytest

from inference.manifest import Histogram
from inference.monitoring.stability import (
    LEAST_ROWS,
    SHIFTED,
    bin_index,
    class_index,
    feature_index,
    stability_index,
)

QUARTERS = Histogram(edges=(1.0, 2.0, 3.0), shares=(0.25, 0.25, 0.25, 0.25))
WORDS = Histogram(names=("glass", "metal"), shares=(0.6, 0.3), missing=0.1)


def test_the_index_is_the_one_computed_by_hand() -> None:
    by_hand = (0.6 - 0.5) * math.log(0.6 / 0.5) + (0.4 - 0.5) * math.log(0.4 / 0.5)
    assert stability_index((0.5, 0.5), (60, 40)) == pytest.approx(by_hand)
    assert by_hand == pytest.approx(0.0405, abs=1e-4)


def test_the_same_shares_have_index_0_and_any_others_more() -> None:
    assert stability_index((0.2, 0.8), (20, 80)) == pytest.approx(0)
    assert stability_index((0.2, 0.8), (21, 79)) > 0


def test_an_empty_bin_makes_it_large_but_not_infinite() -> None:
    assert SHIFTED < stability_index((0.5, 0.5), (100, 0)) < 10
    assert SHIFTED < stability_index((1.0, 0.0), (50, 50)) < 10


def test_samples_of_one_distribution_are_stable_and_a_shifted_one_is_not() -> None:
    draw = random.Random(7)
    edges = tuple(-1.2 + 0.3 * number for number in range(9))
    cumulative = [0.5 * (1 + math.erf(edge / math.sqrt(2))) for edge in edges]
    shares = [b - a for a, b in zip([0.0, *cumulative], [*cumulative, 1.0], strict=True)]
    then = Histogram(edges=edges, shares=tuple(shares))
    same = feature_index(then, [draw.gauss(0, 1) for _ in range(5_000)])
    shifted = feature_index(then, [draw.gauss(0.8, 1) for _ in range(5_000)])
    assert same is not None
    assert shifted is not None
    assert same < 0.01
    assert shifted > SHIFTED


def test_a_value_falls_into_the_interval_from_its_edge_on() -> None:
    values = [0.5, 1.0, 2.0, 3.0] * 50
    assert feature_index(QUARTERS, values) == pytest.approx(0)
    assert feature_index(QUARTERS, [0.99, 1.99, 2.99, 9.0] * 50) == pytest.approx(0)


@pytest.mark.parametrize("value", [None, "glass", True, float("nan"), [1.0]])
def test_what_is_no_number_counts_as_missing(value: object) -> None:
    index = feature_index(QUARTERS, [value] * LEAST_ROWS)
    assert index is not None
    assert index > 5


def test_a_category_is_counted_by_its_names_and_unknown_words_are_missing() -> None:
    assert feature_index(WORDS, ["glass"] * 120 + ["metal"] * 60 + [None] * 20) == pytest.approx(0)
    assert feature_index(WORDS, ["glass"] * 120 + ["metal"] * 60 + ["wood"] * 20) == pytest.approx(0)


def test_classes_and_intervals_are_counted_before() -> None:
    assert class_index(WORDS, {"glass": 120, "metal": 60, "wood": 20}) == pytest.approx(0)
    assert bin_index(QUARTERS, {0: 50, 1: 50, 2: 50, 3: 50}) == pytest.approx(0)
    shifted = bin_index(QUARTERS, {3: 200})
    assert shifted is not None
    assert shifted > SHIFTED


def test_too_few_rows_say_nothing() -> None:
    assert feature_index(QUARTERS, [0.5] * (LEAST_ROWS - 1)) is None
    assert class_index(WORDS, {"glass": LEAST_ROWS - 1}) is None
    assert bin_index(QUARTERS, {0: LEAST_ROWS - 1}) is None
