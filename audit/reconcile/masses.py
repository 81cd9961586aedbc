"""What one item of a material can weigh: versioned data, by which an implausible mass is told."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

MOST_ITEMS: Final = 1_000
"""More items than these in one deposit bear out no more mass; the published SQL says the same."""

_FILE: Final = Path(__file__).with_name("item_masses.csv")


@dataclass(frozen=True, slots=True)
class ItemMass:
    """One item of ``material`` weighs ``least_mg`` to ``most_mg`` milligrams."""

    material: str
    least_mg: int
    most_mg: int

    def plausible(self, mass_mg: int, item_count: int) -> bool:
        """Whether so many items can weigh that much."""
        items = min(item_count, MOST_ITEMS)
        return self.least_mg * items <= mass_mg <= self.most_mg * items


@dataclass(frozen=True, slots=True)
class ItemMasses:
    """The bounds of all materials that have any, and the digest of the file that they come from."""

    bounds: tuple[ItemMass, ...]
    digest: str

    def of(self, material: str | None) -> ItemMass | None:
        """The bounds of a material; None: any mass will do."""
        return next((bound for bound in self.bounds if bound.material == material), None)

    @property
    def sql(self) -> str:
        """The relation ``bounds``."""
        return " UNION ALL ".join(
            f"SELECT CAST({literal(b.material)} AS text) AS material, "
            f"CAST({b.least_mg} AS bigint) AS least_mg, CAST({b.most_mg} AS bigint) AS most_mg"
            for b in self.bounds
        )


def literal(text: str) -> str:
    """A text as SQL writes it."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'"


@cache
def item_masses() -> ItemMasses:
    """The packaged bounds."""
    content = _FILE.read_bytes()
    rows = csv.DictReader(content.decode().splitlines())
    bounds = tuple(
        ItemMass(row["material"], int(row["least_g"]) * 1000, int(row["most_g"]) * 1000) for row in rows
    )
    return ItemMasses(bounds, hashlib.sha256(content).hexdigest())
