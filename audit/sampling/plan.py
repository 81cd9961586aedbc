"""From parameters and a population to a sample: its size, its interval, its items."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from audit.sampling.errors import BadPlan, BadPopulation
from audit.sampling.items import Item, Totals, totals
from audit.sampling.selection import attribute_selection, monetary_selection, monetary_start, seed_bytes
from audit.sampling.sizes import MOST_ERRORS, attribute_size, monetary_size, percent, share

MOST_ITEMS: Final = 100_000
"""Items of a sample: a sheet that people fill in is much shorter, and spreadsheets end at a million rows."""
_COUNT: Final = re.compile(r"[0-9]{1,3}", re.ASCII)


class Method(StrEnum):
    """What is asked: how many items are wrong, or by how much mass the book is wrong."""

    ATTRIBUTE = "attribute"
    MONETARY = "mus"


class SeedFrom(StrEnum):
    """Where a seed came from: a digest of the ledger, or somebody who may have tried several."""

    LEDGER = "ledger"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Scope:
    """What the population is, in words: times as ISO 8601, empty where nothing limits it."""

    since: str = ""
    until: str = ""
    site: str = ""
    machine: str = ""
    material: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a sample, in percent.

    ``expected``: wrong items in the sample (attribute), or percent of the book value (monetary).
    """

    method: Method
    confidence: Decimal
    tolerable: Decimal
    expected: Decimal
    seed: str
    seed_from: SeedFrom
    scope: Scope


@dataclass(frozen=True, slots=True)
class Extent:
    """The size of a sample; ``interval_mg`` and ``start_mg`` are 0 where items and not units are drawn."""

    size: int
    interval_mg: int = 0
    start_mg: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """What was drawn, ``items`` in order of place."""

    plan: Plan
    totals: Totals
    extent: Extent
    items: tuple[Item, ...]

    def always(self, item: Item) -> bool:
        """Whether it is taken whatever the seed: it is as large as the interval."""
        return 0 < self.extent.interval_mg <= item.book_mg

    @property
    def complete(self) -> bool:
        """Whether all that can be drawn was drawn, so that nothing is left to infer."""
        monetary = self.plan.method is Method.MONETARY
        return len(self.items) == (self.totals.positive_items if monetary else self.totals.items)


def plan_of(
    method: Method,
    *,
    confidence: str,
    tolerable: str,
    expected: str,
    seed: str,
    seed_from: SeedFrom,
    scope: Scope,
) -> Plan:
    """A plan from what was typed, each value in its one form.

    Raises:
        BadPlan: a value is none; the message says what was expected.
    """
    if method is Method.MONETARY:
        foreseen = percent(expected, "expected misstatement", "0")
    elif _COUNT.fullmatch(expected) and int(expected) <= MOST_ERRORS:
        foreseen = Decimal(int(expected))
    else:
        raise BadPlan(f"expected errors: expected a whole number from 0 to {MOST_ERRORS}, got {expected!r}")
    return Plan(
        method,
        percent(confidence, "confidence", "50"),
        percent(tolerable, "tolerable"),
        foreseen,
        seed_bytes(seed).hex(),
        seed_from,
        scope,
    )


def tolerable_mg(plan: Plan, population: Totals) -> Fraction:
    """The misstatement that is tolerable, of the book value above zero."""
    return share(plan.tolerable) * population.positive_mg


def extent_of(plan: Plan, population: Totals) -> Extent:
    """How large the sample is to be.

    Raises:
        BadPlan: nothing fits the parameters, or so much would have to be examined that no sheet holds it.
        BadPopulation: there is nothing to draw from.
    """
    if population.items == 0:
        raise BadPopulation("no items in that period and place, so there is nothing to sample")
    confidence = share(plan.confidence)
    if plan.method is Method.ATTRIBUTE:
        size = attribute_size(confidence, share(plan.tolerable), int(plan.expected), population.items)
        extent = Extent(size)
    else:
        if population.positive_mg == 0:
            raise BadPopulation("no item has a mass above zero, so there are no units to sample")
        book = population.positive_mg
        units = monetary_size(confidence, book, tolerable_mg(plan, population), share(plan.expected) * book)
        start = monetary_start(seed_bytes(plan.seed), units.interval)
        extent = Extent(units.size, units.interval, start)
        size = min(units.size, population.positive_items)
    if size > MOST_ITEMS:
        raise BadPlan(
            f"the sample would have {size} items, more than the {MOST_ITEMS} of a sheet; tolerate more"
        )
    return extent


def draw(plan: Plan, items: Iterable[Item]) -> Sample:
    """Draw the sample.  Reads ``items`` twice; an iterator, which can't be, is kept in memory.

    Raises:
        BadPlan, BadPopulation: as for ``extent_of``, or the items are not in order, or changed meanwhile.
    """
    population = list(items) if isinstance(items, Iterator) else items
    counted = totals(population)
    extent = extent_of(plan, counted)
    seed = seed_bytes(plan.seed)
    again = _unchanged(population, counted)
    if plan.method is Method.ATTRIBUTE:
        taken = attribute_selection(again, seed, extent.size)
    else:
        taken = list(monetary_selection(again, seed, extent.interval_mg))
    return Sample(plan, counted, extent, tuple(taken))


def _unchanged(items: Iterable[Item], before: Totals) -> Iterator[Item]:
    """The items once more, as many and as heavy as before."""
    count = book = 0
    for item in items:
        count += 1
        book += item.book_mg
        yield item
    if (count, book) != (before.items, before.book_mg):
        raise BadPopulation("the items changed while they were read; draw again")
