"""Exact probabilities that a sample shows at most so many errors, compared with a bound.

A size or a limit is the place where such a comparison turns over, so a tie must be decided exactly: the
comparisons are of integers.  Where the numbers get long, 60 decimal digits decide first, unless it is close.
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from math import comb
from typing import Final

_DIGITS: Final = Context(prec=60, Emax=10**17, Emin=-(10**17))
_CLOSE: Final = Decimal("1e-40")
"""Relative: far above the error of some operations with 60 digits."""


def binomial_within(errors: int, size: int, rate: Fraction, bound: Fraction) -> bool:
    """Whether P(X <= ``errors``) <= ``bound`` where X is binomial: ``size`` draws, each wrong at ``rate``.

    ``0 <= errors``, ``0 <= size``, ``0 < rate < 1``, ``0 < bound < 1``.
    """
    if errors >= size:
        return False  # certain, so above any bound
    wrong, of = rate.numerator, rate.denominator
    right = of - wrong
    # What is compared is the probability times of**size; right**(size - errors) comes last.
    terms = sum(comb(size, i) * wrong**i * right ** (errors - i) for i in range(errors + 1))
    left = _DIGITS.multiply(Decimal(terms), _DIGITS.power(Decimal(right), size - errors))
    limit = _DIGITS.multiply(_decimal(bound), _DIGITS.power(Decimal(of), size))
    if _DIGITS.abs(_DIGITS.subtract(left, limit)) > _DIGITS.multiply(limit, _CLOSE):
        return left < limit
    return bool(terms * right ** (size - errors) * bound.denominator <= bound.numerator * of**size)


def hypergeometric_within(errors: int, population: int, wrong: int, size: int, bound: Fraction) -> bool:
    """Whether P(X <= ``errors``) <= ``bound`` where X are the wrong ones among ``size`` of ``population``.

    Draws are without replacement and ``wrong`` of the population are wrong; ``0 < bound < 1``.
    """
    # Drawing is symmetric: how many of the drawn are wrong, or how many of the wrong are drawn.
    few, many = min(size, wrong), max(size, wrong)
    ways = sum(comb(many, i) * comb(population - many, few - i) for i in range(min(errors, few) + 1))
    return ways * bound.denominator <= bound.numerator * comb(population, few)


@lru_cache(maxsize=512)
def poisson_factor(errors: int, confidence: Fraction) -> Fraction:
    """The reliability factor: the mean at which P(X <= ``errors``) = 1 - ``confidence``, X Poisson.

    ``confidence`` is 1/2 or more.  The result is above the true value by less than 1e-40.  That value is
    transcendental (Lindemann-Weierstrass), so no product of it with a fraction is ever a whole number, and
    rounding such a product up is safe.
    """
    bound = _decimal(1 - confidence)
    mean = Decimal(errors)  # at or below the median, so below the root; to its right the tail is convex,
    while True:  # so Newton's steps go up to the root and never past it
        tail, slope = _poisson(errors, mean)
        step = _DIGITS.divide(_DIGITS.subtract(tail, bound), slope)
        mean = _DIGITS.add(mean, step)
        if step < _CLOSE / 4:
            return Fraction(_DIGITS.add(mean, _CLOSE / 2))


def _poisson(errors: int, mean: Decimal) -> tuple[Decimal, Decimal]:
    """P(X <= ``errors``), and by how much it falls for a little more of ``mean``: P(X = ``errors``)."""
    term = total = _DIGITS.exp(_DIGITS.minus(mean))
    for i in range(1, errors + 1):
        term = _DIGITS.divide(_DIGITS.multiply(term, mean), Decimal(i))
        total = _DIGITS.add(total, term)
    return total, term


def _decimal(value: Fraction) -> Decimal:
    return _DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))
