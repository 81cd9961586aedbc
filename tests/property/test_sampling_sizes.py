"""Sizes and factors: monotone, and the same as scipy's where a tie is not at stake."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.sampling.sizes import attribute_size, monetary_size
from audit.sampling.tails import binomial_within, hypergeometric_within, poisson_factor

stats = pytest.importorskip("scipy.stats")

PERCENT = st.integers(50, 1500).map(lambda hundredths: Fraction(hundredths, 10_000))
SURENESS = st.integers(5_000, 9_990).map(lambda hundredths: Fraction(hundredths, 10_000))
ERRORS = st.integers(0, 6)
FUZZ = 1e-9


@given(SURENESS, SURENESS, PERCENT, PERCENT, ERRORS)
def test_more_confidence_or_less_tolerance_never_makes_a_sample_smaller(
    one: Fraction, other: Fraction, low: Fraction, high: Fraction, errors: int
) -> None:
    (less, more), (low, high) = sorted((one, other)), sorted((low, high))
    assert attribute_size(less, high, errors) <= attribute_size(more, high, errors)
    assert attribute_size(more, high, errors) <= attribute_size(more, low, errors)
    assert attribute_size(more, low, errors) < attribute_size(more, low, errors + 1)
    book = 10**9
    assert (
        monetary_size(less, book, high * book).size
        <= monetary_size(more, book, high * book).size
        <= monetary_size(more, book, low * book).size
        <= monetary_size(more, book, low * book, low * book / 4).size
    )


@given(SURENESS, PERCENT, ERRORS, st.integers(1000, 100_000))
def test_a_finite_population_needs_no_more_than_an_infinite_one(
    confidence: Fraction, tolerable: Fraction, errors: int, population: int
) -> None:
    if errors < population * tolerable / 2:
        size = attribute_size(confidence, tolerable, errors, population)
        assert size <= min(population, attribute_size(confidence, tolerable, errors))


@given(SURENESS, PERCENT, ERRORS)
def test_a_size_is_the_first_that_is_enough_by_scipy(
    confidence: Fraction, tolerable: Fraction, errors: int
) -> None:
    size = attribute_size(confidence, tolerable, errors)
    assert stats.binom.cdf(errors, size, float(tolerable)) <= float(1 - confidence) + FUZZ
    assert stats.binom.cdf(errors, size - 1, float(tolerable)) > float(1 - confidence) - FUZZ


@given(st.integers(1, 400), st.data())
def test_hypergeometric_comparisons_are_scipys(population: int, data: st.DataObject) -> None:
    wrong = data.draw(st.integers(0, population))
    size = data.draw(st.integers(0, population))
    errors = data.draw(st.integers(0, 10))
    probability = float(stats.hypergeom.cdf(errors, population, wrong, size))
    for bound in (Fraction(1, 20), Fraction(1, 2), Fraction(99, 100)):
        if abs(probability - float(bound)) > FUZZ:
            assert hypergeometric_within(errors, population, wrong, size, bound) == (
                probability < float(bound)
            )


@given(st.integers(1, 400), ERRORS, PERCENT)
def test_binomial_comparisons_are_scipys(size: int, errors: int, rate: Fraction) -> None:
    probability = float(stats.binom.cdf(errors, size, float(rate)))
    for bound in (Fraction(1, 20), Fraction(1, 2)):
        if abs(probability - float(bound)) > FUZZ:
            assert binomial_within(errors, size, rate, bound) == (probability < float(bound))


@given(st.integers(0, 30), SURENESS)
def test_factors_are_the_quantiles_of_gamma(errors: int, confidence: Fraction) -> None:
    assert float(poisson_factor(errors, confidence)) == pytest.approx(
        stats.gamma.ppf(float(confidence), errors + 1), rel=1e-9
    )


@given(SURENESS, PERCENT, st.integers(0, 50))
def test_an_expected_misstatement_is_covered_as_the_guide_would(
    confidence: Fraction, tolerable: Fraction, part: int
) -> None:
    """The guide's interpolated upper limit, at the expected misstatement, is within the tolerable one."""
    book = 10**9
    expected = tolerable * part / 100
    size = monetary_size(confidence, book, tolerable * book, expected * book).size
    limit = stats.gamma.ppf(float(confidence), 1 + size * float(expected)) / size
    assert limit <= float(tolerable) * (1 + FUZZ)
