"""How well the answers for a lot agree with what the plant weighed.

Of each lot the shares of mass by class, as answered deposit by deposit, are compared with the ticket's
composition:

    agreement = 1 - 1/2 sum over the classes of |answered - weighed|

one minus the total variation distance: the part of the mass that both put into the same class.  A lot counts
for a version that answered at least nine tenths of its mass.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from store.ground_truth import LotPart

LEAST_COVERED: Final = 0.9
"""Our choice: what a version did not answer may agree or not, so it may be a tenth at most."""


@dataclass(frozen=True, slots=True)
class TicketTruth:
    """Lots that tell of a version, the mass on their tickets, and the mean agreement by that mass."""

    lots: int
    mass_mg: int
    agreement: float | None


def ticket_truth(
    parts: Iterable[LotPart], version: str, covers: Mapping[str, tuple[str, ...]]
) -> TicketTruth:
    """What the tickets say of a version; ``covers``: the materials that each class stands for."""
    lots: dict[str, list[LotPart]] = defaultdict(list)
    for part in parts:
        lots[part.lot_id].append(part)
    class_of = {material: name for name, materials in covers.items() for material in materials}
    found = [
        (lot[0].ticket_mg, agreement)
        for lot in lots.values()
        if (agreement := _agreement(lot, version, class_of)) is not None and lot[0].ticket_mg > 0
    ]
    mass_mg = sum(ticket_mg for ticket_mg, _ in found)
    mean = math.fsum(ticket_mg * agreement for ticket_mg, agreement in found) / mass_mg if found else None
    return TicketTruth(len(found), mass_mg, mean)


def _agreement(lot: list[LotPart], version: str, class_of: Mapping[str, str]) -> float | None:
    """Of one lot; None if the ticket has no composition, or the version answered too little of it."""
    total = sum(part.mass_mg for part in lot)
    answered: dict[str, int] = defaultdict(int)
    for part in lot:
        if part.version == version and part.predicted is not None:
            answered[part.predicted] += part.mass_mg
    by_version = sum(answered.values())
    if not lot[0].composition or by_version <= 0 or by_version < LEAST_COVERED * total:
        return None
    weighed: dict[str, float] = defaultdict(float)
    for material, share in lot[0].composition.items():
        weighed[class_of.get(material, material)] += share
    distance = math.fsum(
        abs(answered.get(name, 0) / by_version - weighed.get(name, 0.0)) for name in {*answered, *weighed}
    )
    return 1 - distance / 2
