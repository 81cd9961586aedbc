"""What is sampled: rows of the ledger with a mass, and where they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from audit.sampling.errors import BadPopulation


@dataclass(frozen=True, slots=True)
class Item:
    """A row that may be taken.  ``book_mg``: the net mass that the ledger states, in milligrams."""

    stream: str
    chain: str
    seq: int
    transaction_id: str
    material: str
    book_mg: int


Place = tuple[bytes, bytes, int]
"""Stream and chain as UTF-8, and seq: the order of a population."""


def place_of(item: Item) -> Place:
    """Where an item stands.

    Raises:
        BadPopulation: its stream or chain is no text that PostgreSQL could hold, so it was tampered with.
    """
    try:
        stream, chain = item.stream.encode(), item.chain.encode()
    except UnicodeEncodeError as error:
        raise BadPopulation(f"{item.stream} {item.chain!a} is no UTF-8; run `tally verify` first") from error
    if b"\0" in stream or b"\0" in chain:
        raise BadPopulation(f"{item.stream!r} {item.chain!r} holds a NUL; run `tally verify` first")
    return stream, chain, item.seq


@dataclass(frozen=True, slots=True)
class Totals:
    """The size of a population.  Masses in milligrams.

    ``positive_items`` are those above zero, ``negative_items`` those below; the rest are zero.
    """

    items: int
    book_mg: int
    positive_items: int
    positive_mg: int
    negative_items: int

    @property
    def zero_items(self) -> int:
        """Items without mass."""
        return self.items - self.positive_items - self.negative_items

    @property
    def negative_mg(self) -> int:
        """The mass of the items below zero, as a number below zero."""
        return self.book_mg - self.positive_mg


def totals(items: Iterable[Item]) -> Totals:
    """Count a population, in one pass."""
    count = book = positive = positive_mg = negative = 0
    for item in items:
        mass = item.book_mg
        count += 1
        book += mass
        if mass > 0:
            positive += 1
            positive_mg += mass
        elif mass < 0:
            negative += 1
    return Totals(count, book, positive, positive_mg, negative)


class Population(Protocol):
    """Gives the items of a period with the seed that goes with them."""

    def __call__(
        self,
        since: datetime | None,
        until: datetime | None,
        *,
        site: str | None,
        machine: str | None,
        material: str | None,
    ) -> tuple[Iterable[Item], str]:
        """The items with an event time from ``since`` to before ``until``, and the seed.

        The items are read twice: an iterable that can be read again, and gives the same items again, keeps
        memory bounded; a generator is kept in memory.  For a monetary-unit sample they must come in order of
        place (``place_of``).  The seed is a digest of the ledger as 64 hexadecimal digits, fixed before
        anybody can know what it selects: that of the checkpoint which covers the period.
        """
        ...
