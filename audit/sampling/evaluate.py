"""What follows from a filled sheet: an upper limit of what is wrong, and whether that is tolerable.

Attribute sampling: an item is wrong if it is misstated or not found.  The limit is the largest number of
wrong items in the population with which so few among the drawn ones are likelier than 1 - confidence
(hypergeometric, exact); Clopper and Pearson's limit of the rate is told as well, for a process that goes on.

Monetary-unit sampling, as in the AICPA guide "Audit Sampling" (Stringer's bound): the tainting of a drawn
item is t = misstatement / book value, its projection t x interval.  Items as large as the interval were
certain to be taken: their misstatements count as they are.  With factors F(0), F(1)... and taintings from the
largest down, upper limit = certain misstatements + projections + basic precision, F(0) x interval, +
incremental allowance, the sum of (F(j) - F(j-1) - 1) x t(j) x interval.  Overstatement and understatement
have a limit each, never set off.  If everything was taken, nothing is left to infer and the last two are 0.

Basic precision supposes that a unit is at most wholly wrong.  An understatement can be larger than the book
value; then the largest tainting found takes the place of 1 (our choice, the careful side).  And a point
seldom falls on what is booked too low: this limit says nothing of deposits that are not booked at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from audit.sampling.errors import SheetIncomplete
from audit.sampling.plan import Method, Sample, tolerable_mg
from audit.sampling.sheet import Answer, FilledSheet, Finding, grams
from audit.sampling.sizes import share
from audit.sampling.tails import binomial_within, hypergeometric_within, poisson_factor

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class AttributeResult:
    """``upper_items`` of the population are wrong at most; ``upper_rate`` is the limit for a process.

    ``upper_rate`` is rounded up to a millionth.
    """

    examined: int
    errors: int
    population: int
    upper_items: int
    upper_rate: Fraction
    tolerable_rate: Fraction
    supported: bool
    conclusion: str

    def to_json(self) -> dict[str, object]:
        """For --json: rates in percent."""
        return {
            "method": Method.ATTRIBUTE.value,
            "examined": self.examined,
            "errors": self.errors,
            "population_items": self.population,
            "upper_limit_items": self.upper_items,
            "upper_limit_percent": _percent(Fraction(self.upper_items, self.population)),
            "upper_limit_process_percent": _percent(self.upper_rate),
            "tolerable_percent": _percent(self.tolerable_rate),
            "supported": self.supported,
            "conclusion": self.conclusion,
        }


@dataclass(frozen=True, slots=True)
class Misstatement:
    """One direction, in milligrams: what was found, what follows, and the limit, rounded up."""

    items: int
    certain_mg: Fraction
    projected_mg: Fraction
    basic_mg: Fraction
    incremental_mg: Fraction

    @property
    def likely_mg(self) -> Fraction:
        """The projection of the sample with what is certain: the best single guess."""
        return self.certain_mg + self.projected_mg

    @property
    def upper_mg(self) -> int:
        """The upper misstatement limit."""
        return ceil(self.likely_mg + self.basic_mg + self.incremental_mg)

    def to_json(self) -> dict[str, object]:
        """For --json: grams; all but the limit rounded to milligrams."""
        return {
            "items": self.items,
            "certain_g": grams(round(self.certain_mg)),
            "projected_g": grams(round(self.projected_mg)),
            "basic_precision_g": grams(round(self.basic_mg)),
            "incremental_allowance_g": grams(round(self.incremental_mg)),
            "upper_limit_g": grams(self.upper_mg),
        }


@dataclass(frozen=True, slots=True)
class MonetaryResult:
    """Over- and understatement of the book value above zero, each against ``tolerable_mg``."""

    examined: int
    book_mg: int
    over: Misstatement
    under: Misstatement
    tolerable_mg: Fraction
    supported: bool
    conclusion: str

    def to_json(self) -> dict[str, object]:
        """For --json: masses in grams."""
        return {
            "method": Method.MONETARY.value,
            "examined": self.examined,
            "book_g": grams(self.book_mg),
            "overstatement": self.over.to_json(),
            "understatement": self.under.to_json(),
            "tolerable_g": grams(int(self.tolerable_mg)),
            "supported": self.supported,
            "conclusion": self.conclusion,
        }


Result = AttributeResult | MonetaryResult


def evaluate(sheet: FilledSheet) -> Result:
    """Evaluate a filled sheet.

    Raises:
        SheetIncomplete: an item has no finding, or one that contradicts its audited mass.
    """
    if sheet.sample.plan.method is Method.ATTRIBUTE:
        return _attribute(sheet)
    return _monetary(sheet)


def upper_items(errors: int, size: int, population: int, confidence: Fraction) -> int:
    """The most wrong items that ``population`` may have, if ``errors`` of the ``size`` drawn are wrong."""
    low, high = errors, population - (size - errors)
    while low < high:
        middle = (low + high + 1) // 2
        if hypergeometric_within(errors, population, middle, size, 1 - confidence):
            high = middle - 1
        else:
            low = middle
    return low


def upper_rate(errors: int, size: int, confidence: Fraction) -> Fraction:
    """Clopper and Pearson's one-sided upper limit, rounded up to a millionth; ``size`` is above 0."""
    low, high = 1, _MILLION
    while low < high:
        middle = (low + high) // 2
        if binomial_within(errors, size, Fraction(middle, _MILLION), 1 - confidence):
            high = middle
        else:
            low = middle + 1
    return Fraction(low, _MILLION)


def misstatement(
    taintings: list[Fraction],
    certain_mg: list[int],
    interval_mg: int,
    confidence: Fraction,
    *,
    complete: bool,
) -> Misstatement:
    """One direction: taintings of drawn items and misstatements of certain ones, all above 0.

    ``complete``: every item was taken.
    """
    ordered = sorted(taintings, reverse=True)
    projected = sum(ordered, Fraction(0)) * interval_mg
    basic = incremental = Fraction(0)
    if not complete:
        factors = [poisson_factor(errors, confidence) for errors in range(len(ordered) + 1)]
        basic = factors[0] * interval_mg * max([Fraction(1), *ordered[:1]])
        incremental = sum(
            ((factors[j + 1] - factors[j] - 1) * t * interval_mg for j, t in enumerate(ordered)),
            Fraction(0),
        )
    certain = Fraction(sum(certain_mg))
    return Misstatement(len(ordered) + len(certain_mg), certain, projected, basic, incremental)


def _attribute(sheet: FilledSheet) -> AttributeResult:
    plan, sample = sheet.sample.plan, sheet.sample
    population, examined = sample.totals.items, len(sample.items)
    confidence, tolerable = share(plan.confidence), share(plan.tolerable)
    errors = sum(_wrong(sample, index, answer) for index, answer in enumerate(sheet.answers))
    most = upper_items(errors, examined, population, confidence)
    supported = most < population * tolerable
    where = f"{errors} of {examined} examined items are wrong: at {plan.confidence} % confidence"
    limit = f"at most {most:,} of {population:,} items ({_percent(Fraction(most, population))} %) are"
    if supported:
        conclusion = f"{where} {limit}, below the tolerable {plan.tolerable} %."
    else:
        conclusion = f"{where} {limit}, so a rate below the tolerable {plan.tolerable} % is not supported."
    rate = upper_rate(errors, examined, confidence)
    return AttributeResult(examined, errors, population, most, rate, tolerable, supported, conclusion)


def _wrong(sample: Sample, index: int, answer: Answer) -> bool:
    book = sample.items[index].book_mg
    if answer.finding is None:
        raise SheetIncomplete(f"item {index + 1} has no finding; every item needs one, if only not_found")
    differs = answer.audited_mg is not None and answer.audited_mg != book
    if answer.finding is Finding.CORRECT and differs:
        raise SheetIncomplete(
            f"item {index + 1} is called correct, but its audited mass is not its book mass"
        )
    return answer.finding is not Finding.CORRECT


def _monetary(sheet: FilledSheet) -> MonetaryResult:
    sample, plan = sheet.sample, sheet.sample.plan
    confidence, tolerable = share(plan.confidence), tolerable_mg(plan, sample.totals)
    over, under = _direction(sheet, confidence, 1), _direction(sheet, confidence, -1)
    book, most = sample.totals.positive_mg, max(over.upper_mg, under.upper_mg)
    supported = most <= tolerable
    found = (
        f"At {plan.confidence} % confidence {grams(book)} g are overstated by at most "
        f"{grams(over.upper_mg)} g and understated by at most {grams(under.upper_mg)} g"
    )
    limit = f"the tolerable {grams(int(tolerable))} g ({plan.tolerable} %)"
    if supported:
        conclusion = f"{found}, within {limit}."
    elif max(over.likely_mg, under.likely_mg) > tolerable:
        conclusion = f"{found}; the likely misstatement alone is above {limit}."
    else:
        conclusion = f"{found}, so a misstatement within {limit} is not supported."
    examined = len(sample.items)
    return MonetaryResult(examined, book, over, under, tolerable, supported, conclusion)


def _direction(sheet: FilledSheet, confidence: Fraction, sign: int) -> Misstatement:
    """``sign``: 1 for what is booked too high, -1 for what is booked too low."""
    sample = sheet.sample
    taintings: list[Fraction] = []
    certain: list[int] = []
    for index, (item, answer) in enumerate(zip(sample.items, sheet.answers, strict=True)):
        wrong = sign * (item.book_mg - _audited_mg(index, item.book_mg, answer))
        if wrong > 0 and (sample.always(item) or sample.complete):
            certain.append(wrong)
        elif wrong > 0:
            taintings.append(Fraction(wrong, item.book_mg))
    interval = sample.extent.interval_mg
    return misstatement(taintings, certain, interval, confidence, complete=sample.complete)


def _audited_mg(index: int, book_mg: int, answer: Answer) -> int:
    finding, audited = answer.finding, answer.audited_mg
    if finding is Finding.NOT_FOUND:
        expected: int | None = 0
    elif finding is Finding.CORRECT:
        expected = book_mg
    else:
        expected = audited
    if expected is None:
        raise SheetIncomplete(f"item {index + 1} has no audited mass; it needs one, or correct or not_found")
    if finding is Finding.MISSTATED and expected == book_mg:
        raise SheetIncomplete(f"item {index + 1} is called misstated, but its audited mass is its book mass")
    if audited is not None and audited != expected:
        raise SheetIncomplete(f"item {index + 1} is called {finding}, but its audited mass says otherwise")
    return expected


def _percent(rate: Fraction) -> str:
    """In percent with four decimals, rounded up."""
    whole = ceil(rate * _MILLION)
    return f"{whole // 10_000}.{whole % 10_000:04}"
