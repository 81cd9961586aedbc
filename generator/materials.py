"""What people bring: materials with their item masses, volumes and shares.

Masses are log-normal around a median and cut at 2.5 sigma, so an honest deposit always lies within
``min_g`` to ``max_g`` per item.  The medians are ordinary trade figures for beverage and food packaging:
PET bottles 10-25 g (0.5 l) to 35-50 g (1.5-2 l), aluminium cans 12.5-15 g (330 ml), tinplate food cans
30-60 g, glass bottles 190-210 g (330 ml, light-weighted) to 350-550 g (750 ml), HDPE milk bottles 30-45 g,
PP cups and trays 8-20 g.  Spread and bounds are our choice: wide enough to hold those ranges.

Shares.  Of the beverage containers that people buy, a share comes back: South Australia's container deposit
scheme, return rates of 2018-19 (Environment Protection Authority South Australia, "Container Deposit
Legislation - Return Rates and Compliance", CC BY 4.0).  How sales divide over materials is not in that
source; ``_SOLD`` is our assumption, as is one item in ten being paper or board.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_RETURN_RATE: Final = {"glass": 0.834, "aluminium_cans": 0.829, "pet": 0.680, "hdpe": 0.641}
_RETURN_RATE_ALL_CONTAINERS: Final = 0.764  # for materials that the scheme does not list apart
_SOLD: Final = {
    "pet": 0.34,
    "hdpe": 0.06,
    "pp": 0.04,
    "aluminium_cans": 0.36,
    "steel_cans": 0.04,
    "glass": 0.16,
}
_PAPER_SHARE: Final = {"corrugated": 0.035, "mixed_paper": 0.065}

MASS_CUT_SIGMA: Final = 2.5


@dataclass(frozen=True, slots=True)
class Material:
    """One kind of item.

    ``share`` is its part of all deposits (all shares sum to 1); ``median_g`` and ``sigma`` describe the
    log-normal mass of one item; an honest item weighs ``min_g`` to ``max_g``; ``volume_l`` is the room that
    an item takes in the bin after the machine has compacted it (our choice).
    """

    id: str
    share: float
    median_g: float
    sigma: float
    min_g: float
    max_g: float
    volume_l: float


def _share(material: str) -> float:
    if material in _PAPER_SHARE:
        return _PAPER_SHARE[material]
    returned = {m: s * _RETURN_RATE.get(m, _RETURN_RATE_ALL_CONTAINERS) for m, s in _SOLD.items()}
    return (1 - math.fsum(_PAPER_SHARE.values())) * returned[material] / math.fsum(returned.values())


def _material(
    name: str, median_g: float, sigma: float, bounds_g: tuple[float, float], volume_l: float
) -> Material:
    low, high = bounds_g
    spread = math.exp(MASS_CUT_SIGMA * sigma)
    if not low < median_g / spread < median_g * spread < high:
        raise AssertionError(
            f"{name}: bounds {bounds_g} do not hold the distribution that is cut at 2.5 sigma"
        )
    return Material(name, _share(name), median_g, sigma, low, high, volume_l)


MATERIALS: Final = (
    _material("pet", 22.0, 0.35, (8.0, 60.0), 0.28),
    _material("hdpe", 38.0, 0.35, (14.0, 110.0), 0.55),
    _material("pp", 12.0, 0.40, (4.0, 36.0), 0.20),
    _material("aluminium_cans", 13.6, 0.08, (10.0, 20.0), 0.08),
    _material("steel_cans", 42.0, 0.30, (18.0, 100.0), 0.15),
    _material("glass", 270.0, 0.30, (120.0, 620.0), 0.45),
    _material("corrugated", 180.0, 0.55, (40.0, 900.0), 2.20),
    _material("mixed_paper", 45.0, 0.65, (8.0, 260.0), 0.25),
)
"""In the order that columns of numbers use: index into this tuple."""

MATERIAL_IDS: Final = tuple(material.id for material in MATERIALS)

COUNT_SHARES: Final = (0.80, 0.12, 0.05, 0.03)
"""Shares of deposits of 1, 2, 3 and 4 items of one material (our choice)."""

IMPLAUSIBLE_FACTOR: Final = 4
"""A faulty mass is above this many times, or below this part of, what the items could weigh."""


def mean_deposit_volume_l() -> float:
    """Litres that one deposit fills on average, after compaction."""
    items = math.fsum((i + 1) * share for i, share in enumerate(COUNT_SHARES))
    return items * math.fsum(material.share * material.volume_l for material in MATERIALS)
