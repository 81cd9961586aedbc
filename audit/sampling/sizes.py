"""How many items, or how many units of mass, must be examined to be as sure as asked.

Attribute sampling asks how many items are wrong: n is the smallest size at which a population that is wrong
at the tolerable rate shows no more than the expected errors with a probability of at most 1 - confidence
(AICPA Audit Guide "Audit Sampling"; the population wrong at the rate itself is excluded, too).

Monetary-unit sampling asks by how much the book value is wrong; our unit is the milligram, or the gram of
CO2e.  n = reliability factor x book value / tolerable misstatement, the factors being Poisson's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final

from audit.sampling.errors import BadPlan
from audit.sampling.tails import binomial_within, hypergeometric_within, poisson_factor

MOST_ERRORS: Final = 100
"""Expected errors: who expects more should improve the population, not enlarge the sample (our choice)."""
_PERCENT: Final = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,2})?", re.ASCII)


def percent(text: str, what: str, lowest: str = "0.01") -> Decimal:
    """A percentage as people write it, below 100, with at most two decimals, in its shortest form.

    Two decimals, because exact arithmetic gets slow with rates of one in a million.

    Raises:
        BadPlan: it is no such number.
    """
    if not _PERCENT.fullmatch(text) or Decimal(text) < Decimal(lowest):
        raise BadPlan(
            f"{what}: expected a percentage from {lowest} to 99.99 with at most two decimals, got {text!r}"
        )
    return shortest(Decimal(text))


def shortest(number: Decimal) -> Decimal:
    """The number without zeros behind the point, and without an exponent."""
    return number.quantize(Decimal(1)) if number == number.to_integral_value() else number.normalize()


def share(percentage: Decimal) -> Fraction:
    """A percentage as a fraction: 5 is 1/20."""
    return Fraction(percentage) / 100


@dataclass(frozen=True, slots=True)
class MonetarySize:
    """A monetary-unit sample: ``size`` points, one in every ``interval`` units.

    ``errors``: the expected misstatement as wholly wrong units among those points; ``factor``: the
    reliability factor for so many.
    """

    size: int
    interval: int
    errors: int
    factor: Fraction


def attribute_size(
    confidence: Fraction, tolerable: Fraction, errors: int = 0, population: int | None = None
) -> int:
    """Items to examine; ``population`` None if it is as good as infinite.

    A finite population of N counts as wrong at the tolerable rate if ``ceil(N x tolerable)`` are wrong.

    Raises:
        BadPlan: no size will do, or ``confidence``, ``tolerable`` or ``errors`` is out of its range.
    """
    _check(confidence, tolerable)
    if not 0 <= errors <= MOST_ERRORS:
        raise BadPlan(f"expected errors: expected 0 to {MOST_ERRORS}, got {errors}; raise the tolerable rate")
    bound = 1 - confidence
    if population is None:
        return _first(errors + 1, lambda size: binomial_within(errors, size, tolerable, bound))
    wrong = ceil(population * tolerable)
    if errors >= wrong:
        raise BadPlan(
            f"{errors} expected errors are not fewer than the {wrong} that are tolerable among {population} "
            "items, so even examining all would show nothing; raise the tolerable rate or expect fewer"
        )
    return _first(
        errors + 1,
        lambda size: size >= population or hypergeometric_within(errors, population, wrong, size, bound),
    )


def monetary_size(
    confidence: Fraction, book: int, tolerable: Fraction, expected: Fraction = Fraction(0)
) -> MonetarySize:
    """Points to place in ``book`` units; ``tolerable`` and ``expected`` are misstatements in units.

    The expected misstatement is taken as wholly wrong units among the points, e = n x expected / book,
    rounded up, and the factor is the one for e errors; n and e are the smallest that fit each other.  This is
    how the AICPA guide's table of confidence factors plans (Poisson, 100 % taintings), except that the guide
    interpolates between whole e; rounded up, n is never smaller and stays exact.  The other custom, an
    expansion factor (1.6 at 95 %), is tabulated for some confidences only.

    Raises:
        BadPlan: the expected misstatement is too near to the tolerable one, or a value is out of its range.
    """
    if book <= 0:
        raise BadPlan(f"the book value must be above 0 for a monetary-unit sample, got {book}")
    _check(confidence, tolerable / book)
    if not 0 <= expected < tolerable:
        raise BadPlan("the expected misstatement must be 0 or more and less than the tolerable one")
    for errors in range(MOST_ERRORS + 1):
        factor = poisson_factor(errors, confidence)
        size = ceil(factor * book / tolerable)
        if size * expected <= errors * book:
            return MonetarySize(size, max(book // size, 1), errors, factor)
    raise BadPlan(
        "the expected misstatement is too near to the tolerable one for a sample; raise the tolerable one "
        "or examine everything"
    )


def _check(confidence: Fraction, tolerable: Fraction) -> None:
    if not Fraction(1, 2) <= confidence < 1:
        raise BadPlan(f"the confidence must be from 50 % to below 100 %, got {float(confidence):.4%}")
    if not 0 < tolerable < 1:
        raise BadPlan(f"what is tolerable must be above 0 % and below 100 %, got {float(tolerable):.4%}")


def _first(low: int, enough: Callable[[int], bool]) -> int:
    """The smallest number from ``low`` on that is enough; all after it are, too."""
    high = low
    while not enough(high):
        low, high = high + 1, high * 2
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return low
