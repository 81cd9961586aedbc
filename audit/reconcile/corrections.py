"""Compensating rows: what a correction of a deposit must say.

A correction is an event ``audit.correction``.  It names the row that it corrects by chain, position and hash,
the change of mass of one material, the reason and the actor.  The corrected row stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from audit.reconcile.errors import BadRequest
from store.analysis import deposit_row

_MOST_MG: Final = 10**15
_NAME: Final = re.compile(r"\S.{0,199}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DepositRow:
    """The row that is corrected."""

    machine_id: str
    seq: int
    row_hash: str
    transaction_id: str
    material: str
    mass_mg: int


def deposit_at(url: str, machine: str, seq: int) -> DepositRow:
    """The deposit at that place.

    Raises:
        BadRequest: there is none.
        store.errors.StoreError: the database can't be read.
    """
    found = deposit_row(url, machine, seq)
    if found is None:
        raise BadRequest(f"transactions/{machine}/{seq}: there is no such row")
    return DepositRow(machine, seq, *found)


def correction(
    row: DepositRow, mass_g: str, material: str | None, reason: str, actor: str
) -> dict[str, str | int]:
    """The attributes of the compensating row.

    Raises:
        BadRequest: the mass is no number of whole milligrams, or a text is empty or too long.
    """
    try:
        mg = Decimal(mass_g) * 1000
        if mg != int(mg) or mg == 0 or abs(mg) > _MOST_MG:
            raise BadRequest(f"mass: expected a change in whole milligrams, not zero, got {mass_g} g")
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise BadRequest(f"mass: expected grams like -120.5, got {mass_g!r}") from error
    for name, text in (("reason", reason), ("actor", actor)):
        if _NAME.fullmatch(text) is None:
            raise BadRequest(f"{name}: expected 1 to 200 characters, got {text[:40]!r}")
    return {
        "correction.stream": "transactions",
        "correction.machine_id": row.machine_id,
        "correction.seq": row.seq,
        "correction.row_hash": row.row_hash,
        "correction.transaction_id": row.transaction_id,
        "correction.mass_delta_mg": int(mg),
        "correction.material": material or row.material,
        "correction.reason": reason,
        "correction.actor": actor,
    }
