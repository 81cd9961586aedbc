"""What a biased sample of reviews says of accuracy, and when it says nothing."""

from __future__ import annotations

import random

import pytest

from inference.monitoring.accuracy import ReviewTruth, is_right, review_truth, wilson
from inference.monitoring.tickets import ticket_truth
from store.ground_truth import LotPart, ReviewedAnswer


def unsure(right: bool, confidence: float = 0.6) -> ReviewedAnswer:
    return reviewed(right, confidence, "low_confidence", 1.0)


def sure(right: bool, rate: float = 0.1, confidence: float = 0.95) -> ReviewedAnswer:
    return reviewed(right, confidence, "audit_sample", rate)


def reviewed(right: bool, confidence: float, reason: str, rate: float) -> ReviewedAnswer:
    decision, seen = ("confirmed", "glass") if right else ("corrected", "metal")
    return ReviewedAnswer("glass", confidence, (), decision, seen, reason, rate)


def all_decided(found: list[ReviewedAnswer]) -> ReviewTruth:
    enqueued = {"low_confidence": 0, "audit_sample": 0}
    for one in found:
        enqueued[one.reason] += 1
    return review_truth(found, enqueued, 1_000)


def test_each_review_counts_for_all_that_it_stands_for() -> None:
    """50 unsure answers, half of them right; 20 of 200 sure ones, 19 right: (25 + 190) of 250."""
    found = [unsure(number % 2 == 0) for number in range(50)] + [sure(number > 0) for number in range(20)]
    truth = all_decided(found)
    assert truth.accuracy is not None
    assert truth.accuracy.value == pytest.approx(215 / 250)
    assert truth.accuracy.effective == pytest.approx(250**2 / (50 + 20 * 100))
    assert truth.accuracy.low < 215 / 250 < truth.accuracy.high
    assert (truth.reviews, truth.audited) == (70, 20)
    assert truth.confusion == {"glass": {"glass": 44, "metal": 26}}, "counted, not weighted"


def test_what_is_not_decided_yet_counts_through_what_is() -> None:
    """Of 100 unsure answers 50 are decided: each stands for two."""
    found = [unsure(number % 2 == 0) for number in range(50)] + [sure(number > 0) for number in range(20)]
    truth = review_truth(found, {"low_confidence": 100, "audit_sample": 20}, 1_000)
    assert truth.accuracy is not None
    assert truth.accuracy.value == pytest.approx((50 + 190) / 300)


def test_the_estimate_meets_the_truth_where_a_plain_mean_does_not() -> None:
    draw = random.Random(3)
    answers = [(confidence := draw.uniform(0.4, 1), draw.random() < confidence) for _ in range(40_000)]
    truth = sum(right for _, right in answers) / len(answers)
    found = [
        unsure(right, confidence) if confidence < 0.75 else sure(right, 0.05, confidence)
        for confidence, right in answers
        if confidence < 0.75 or draw.random() < 0.05
    ]
    estimate = all_decided(found).accuracy
    assert estimate is not None
    assert estimate.low <= truth <= estimate.high
    assert abs(estimate.value - truth) < 0.02
    assert estimate.calibration_error < 0.03
    assert abs(sum(map(is_right, found)) / len(found) - truth) > 0.08


def test_confidence_that_promises_too_much_shows_as_calibration_error() -> None:
    found = [sure(number % 2 == 0, 0.5, 0.95) for number in range(60)]
    estimate = all_decided(found).accuracy
    assert estimate is not None
    assert estimate.calibration_error == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("found", "lacking"),
    [
        ([], "0 reviews of at least 30"),
        ([unsure(right=True)] * 29, "29 reviews"),
        ([unsure(right=True)] * 200, "0 reviews of sure answers"),
        ([unsure(right=True)] * 200 + [sure(right=True)] * 9, "9 reviews of sure answers"),
    ],
)
def test_too_few_reviews_say_nothing_and_never_that_all_is_right(
    found: list[ReviewedAnswer], lacking: str
) -> None:
    truth = all_decided(found)
    assert truth.accuracy is None
    assert truth.lacking is not None
    assert lacking in truth.lacking


def test_where_no_answer_was_sure_the_unsure_ones_are_enough() -> None:
    truth = review_truth([unsure(right=True)] * 40, {"low_confidence": 40}, 0)
    assert truth.accuracy is not None
    assert truth.accuracy.value == 1.0
    assert truth.accuracy.low < 0.95


def test_a_rejected_item_says_nothing_of_the_class() -> None:
    rejected = ReviewedAnswer("glass", 0.5, (), "rejected", None, "low_confidence", 1.0)
    truth = review_truth([unsure(right=True)] * 40 + [rejected] * 10, {"low_confidence": 50}, 0)
    assert (truth.reviews, truth.rejected) == (40, 10)


def test_a_material_that_the_class_stands_for_is_right() -> None:
    covered = ReviewedAnswer("plastic", 0.5, ("pet", "hdpe"), "corrected", "pet", "low_confidence", 1.0)
    other = ReviewedAnswer("plastic", 0.5, ("pet", "hdpe"), "corrected", "glass", "low_confidence", 1.0)
    assert is_right(covered)
    assert not is_right(other)


def test_the_interval_is_wilsons() -> None:
    assert wilson(0.9, 100) == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert wilson(1.0, 30)[1] == 1.0
    assert wilson(1.0, 30)[0] == pytest.approx(0.8865, abs=1e-4)


def part(
    lot: str, version: str | None, predicted: str | None, mass_mg: int, ticket_mg: int = 1_000
) -> LotPart:
    return LotPart(lot, ticket_mg, {"pet": 0.5, "hdpe": 0.2, "glass": 0.3}, version, predicted, mass_mg)


def test_a_lot_agrees_as_far_as_both_put_its_mass_into_the_same_class() -> None:
    covers = {"plastic": ("pet", "hdpe")}
    parts = [part("lot-1", "v1", "plastic", 600), part("lot-1", "v1", "glass", 400)]
    truth = ticket_truth(parts, "v1", covers)
    assert (truth.lots, truth.mass_mg) == (1, 1_000)
    assert truth.agreement == pytest.approx(0.9)
    perfect = [part("lot-1", "v1", "plastic", 700), part("lot-1", "v1", "glass", 300)]
    assert ticket_truth(perfect, "v1", covers).agreement == pytest.approx(1.0)
    nothing = [part("lot-1", "v1", "metal", 700)]
    assert ticket_truth(nothing, "v1", covers).agreement == pytest.approx(0.0)


def test_heavier_lots_count_for_more() -> None:
    parts = [
        part("lot-1", "v1", "metal", 100, ticket_mg=3_000),
        *(part("lot-2", "v1", name, mass_mg) for name, mass_mg in (("pet", 50), ("hdpe", 20), ("glass", 30))),
    ]
    assert ticket_truth(parts, "v1", {}).agreement == pytest.approx(0.25)


def test_a_lot_that_a_version_did_not_answer_alone_says_nothing_of_it() -> None:
    mixed = [part("lot-1", "v1", "glass", 800), part("lot-1", "v2", "glass", 200)]
    unanswered = [part("lot-2", "v1", "glass", 800), part("lot-2", None, None, 200)]
    truth = ticket_truth([*mixed, *unanswered], "v1", {})
    assert (truth.lots, truth.agreement) == (0, None)


def test_a_ticket_without_composition_says_nothing() -> None:
    assert ticket_truth([LotPart("lot-1", 100, {}, "v1", "glass", 100)], "v1", {}).agreement is None
