"""The lots of one machine: what truly went in, what was reported, and what the plant's scale says later.

A closed lot is weighed two to ten hours after it was emptied.  The scale's error is normal with a standard
deviation of 0.3 %, cut at 0.9 %, and its resolution is 10 g; the composition is sorted and weighed with 0.4 %
per material (our choice: a legal-for-trade platform scale, and careful sorting).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from generator import events
from generator.clock import SECOND_NS, rfc3339, whole_ms
from generator.deposits import Ints
from generator.fleet import Machine
from generator.lots import Emptying
from generator.materials import MATERIAL_IDS
from generator.otlp import Event

MG_PER_DG: Final = 100
_TICKET_DELAY_S: Final = (7_200, 36_000)
_SCALE_SD: Final = 0.003
_SORTING_SD: Final = 0.004
_CUT_SIGMA: Final = 3.0
_SCALE_STEP_DG: Final = 100
_CONTAINER_DG: Final = 18_000


class LotBook:
    """Sums up deposits until a lot is closed; ``closed`` has the manifest's lines."""

    def __init__(self, machine: Machine, run: str, plant: str) -> None:
        self.closed: list[dict[str, Any]] = []
        self._machine, self._run, self._plant = machine, run, plant
        self._truth_dg = np.zeros(len(MATERIAL_IDS), dtype=np.int64)
        self._reported_dg = 0
        self._deposits = 0

    def lot_id(self, lot: int) -> str:
        """Identity of the machine's lot number ``lot``, from 1."""
        return f"lot-{self._machine.id}-{self._run}-{lot:04d}"

    def add(self, material: Ints, mass_dg: Ints, reported_dg: Ints) -> None:
        """Deposits went into the open lot; ``reported_dg`` is the sum over the records sent for each."""
        np.add.at(self._truth_dg, material, mass_dg)
        self._reported_dg += int(reported_dg.sum())
        self._deposits += len(material)

    def close(self, emptying: Emptying, rng: np.random.Generator) -> Event | None:
        """The lot was emptied: the plant's ticket for it, or None if nothing was in it to weigh."""
        lot_id, truth_dg = self.lot_id(emptying.lot), int(self._truth_dg.sum())
        low_s, high_s = _TICKET_DELAY_S
        at_ns = whole_ms(emptying.time_ns + (low_s + (high_s - low_s) * rng.random()) * SECOND_NS)
        noise = np.clip(rng.standard_normal(1 + len(MATERIAL_IDS)), -_CUT_SIGMA, _CUT_SIGMA)
        steps = round(truth_dg * (1 + _SCALE_SD * float(noise[0])) / _SCALE_STEP_DG)
        mass_dg = steps * _SCALE_STEP_DG
        weights = np.rint(self._truth_dg * (1 + _SORTING_SD * noise[1:])).astype(np.int64)
        parts = zip(MATERIAL_IDS, parts_e4(weights.tolist()), strict=True)
        ticket = None
        if mass_dg > 0:
            ticket = events.scale_ticket(
                at_ns,
                order=(self._machine.number, emptying.lot),
                plant=self._plant,
                site_id=self._machine.site.id,
                lot_id=lot_id,
                mass_dg=mass_dg,
                tare_dg=_CONTAINER_DG,
                composition_e4=tuple((material, part) for material, part in parts if part),
            )
        self.closed.append(
            {
                "lot_id": lot_id,
                "machine": self._machine.id,
                "site": self._machine.site.id,
                "emptied": rfc3339(emptying.time_ns),
                "deposits": self._deposits,
                "truth_mg": truth_dg * MG_PER_DG,
                "truth_by_material_mg": by_material(self._truth_dg * MG_PER_DG),
                "reported_mg": self._reported_dg * MG_PER_DG,
                "ticket_id": None if ticket is None else f"ticket-{lot_id}",
                "ticket_mg": mass_dg * MG_PER_DG,
                "ticket_time": rfc3339(at_ns),
            }
        )
        self._truth_dg[:] = 0
        self._reported_dg = self._deposits = 0
        return ticket

    def open_lot(self, lot: int) -> dict[str, Any]:
        """The lot that nobody emptied before the run ended."""
        return {
            "lot_id": self.lot_id(lot),
            "deposits": self._deposits,
            "truth_mg": int(self._truth_dg.sum()) * MG_PER_DG,
            "reported_mg": self._reported_dg * MG_PER_DG,
        }


def parts_e4(weights: list[int]) -> list[int]:
    """Weights as parts of 10,000 that sum to exactly that (largest remainders); all 0 if all are."""
    total = sum(weights)
    if total <= 0:
        return [0] * len(weights)
    parts = [weight * 10_000 // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(weights[i] * 10_000 % total), i))
    for index in by_remainder[: 10_000 - sum(parts)]:
        parts[index] += 1
    return parts


def by_material(mass_mg: Ints) -> dict[str, int]:
    """A column of masses, by name."""
    return dict(zip(MATERIAL_IDS, mass_mg.tolist(), strict=True))
