"""Sample sizes: the published numbers, exact at ties, and refusals that say what to change."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest

from audit.sampling.errors import BadPlan
from audit.sampling.sizes import attribute_size, monetary_size, percent, share
from audit.sampling.tails import binomial_within, poisson_factor

SURE = Fraction(95, 100)


@pytest.mark.parametrize(("errors", "size"), [(0, 59), (1, 93), (2, 124), (3, 153)])
def test_the_published_sizes_for_five_percent_tolerable(errors: int, size: int) -> None:
    assert attribute_size(SURE, Fraction(5, 100), errors) == size


@pytest.mark.parametrize(("tolerable", "size"), [(10, 29), (3, 99), (1, 299)])
def test_the_published_sizes_for_no_error(tolerable: int, size: int) -> None:
    assert attribute_size(SURE, Fraction(tolerable, 100)) == size


@pytest.mark.parametrize(("population", "size"), [(100, 45), (500, 56), (1000, 57), (10_000_000, 59)])
def test_the_published_sizes_for_finite_populations(population: int, size: int) -> None:
    assert attribute_size(SURE, Fraction(5, 100), 0, population) == size


def test_a_tie_suffices_and_is_decided_exactly() -> None:
    """0.1 of a population wrong: seven draws without error have a probability of exactly 0.9 ** 7."""
    assert attribute_size(1 - Fraction(9, 10) ** 7, Fraction(1, 10)) == 7
    hair = Fraction(1, 10**80)
    assert attribute_size(1 - Fraction(9, 10) ** 7 + hair, Fraction(1, 10)) == 8
    assert binomial_within(0, 7, Fraction(1, 10), Fraction(9, 10) ** 7)
    assert not binomial_within(0, 7, Fraction(1, 10), Fraction(9, 10) ** 7 - hair)


def test_a_finite_tie_suffices() -> None:
    """One of two is wrong: one draw misses it in exactly half of the cases."""
    assert attribute_size(Fraction(1, 2), Fraction(1, 2), 0, 2) == 1
    assert attribute_size(Fraction(51, 100), Fraction(1, 2), 0, 2) == 2


def test_when_hardly_any_may_be_wrong_all_are_examined() -> None:
    assert attribute_size(SURE, Fraction(1, 100), 0, 10) == 10  # even one is too many


def test_the_reliability_factors_are_the_published_ones() -> None:
    factors = [round(float(poisson_factor(errors, SURE)), 2) for errors in range(4)]
    assert factors == [3.00, 4.74, 6.30, 7.75]
    assert [round(float(poisson_factor(errors, Fraction(9, 10))), 2) for errors in range(4)] == [
        *(2.30, 3.89, 5.32, 6.68)
    ]


def test_a_factor_is_right_to_forty_digits() -> None:
    """ln 20, from the decimal module."""
    true = Fraction(Decimal("2.9957322735539909934352235761425407756766016229890282"))
    assert 0 <= poisson_factor(0, SURE) - true < Fraction(1, 10**40)


def test_a_monetary_sample_without_expected_misstatement() -> None:
    """2.9957 x 100 000 000 / 5 000 000 = 59.9, so 60 points, one in 1 666 666 mg."""
    size = monetary_size(SURE, 100_000_000, Fraction(5_000_000))
    assert (size.size, size.interval, size.errors) == (60, 1_666_666, 0)


def test_an_expected_misstatement_enlarges_the_sample() -> None:
    """1 % expected, 5 % tolerable: of 60 points 0.6 would be wrong, so one is allowed for: 4.744 / 0.05."""
    size = monetary_size(SURE, 100_000_000, Fraction(5_000_000), Fraction(1_000_000))
    assert (size.size, size.errors) == (95, 1)
    assert size.size >= ceil(Fraction("4.63") / Fraction("0.05"))  # the guide's interpolated factor


def test_an_interval_is_never_nothing() -> None:
    assert monetary_size(SURE, 7, Fraction(1)).interval == 1


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "100", "5%", "5.001", "1e1", "nan", "\u0665", " 5", "05.", "0.00"]
)
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(BadPlan, match="percentage"):
        percent(text, "--tolerable")


def test_a_percentage_has_one_form() -> None:
    assert [str(percent(text, "x")) for text in ("5", "5.0", "05.00", "10", "2.50")] == [
        *("5", "5", "5", "10", "2.5")
    ]
    assert share(Decimal("2.5")) == Fraction(1, 40)


def test_plans_that_cannot_work_are_refused() -> None:
    five = Fraction(5, 100)
    with pytest.raises(BadPlan, match="even examining all"):
        attribute_size(SURE, five, 5, 100)
    with pytest.raises(BadPlan, match="expected errors"):
        attribute_size(SURE, five, 101)
    with pytest.raises(BadPlan, match="confidence"):
        attribute_size(Fraction(1), five)
    with pytest.raises(BadPlan, match="tolerable"):
        attribute_size(SURE, Fraction(0))
    with pytest.raises(BadPlan, match="book value"):
        monetary_size(SURE, 0, Fraction(1))
    with pytest.raises(BadPlan, match="less than the tolerable"):
        monetary_size(SURE, 100, Fraction(5), Fraction(5))
    with pytest.raises(BadPlan, match="too near"):
        monetary_size(SURE, 10**6, Fraction(50_000), Fraction(49_999))
