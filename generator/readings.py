"""What a machine without a camera senses of a deposit: mass, near-infrared bands, coils, plates and light.

The bands are where the materials differ in absorption physics (overtones and combinations of molecular
vibrations; Burns and Ciurczak, "Handbook of Near-Infrared Analysis"; Workman and Weyer, "Practical Guide to
Interpretive Near-Infrared Spectroscopy"):

- 1120 nm: second overtone of the aromatic C-H stretch: PET.
- 1210 nm: second overtone of the CH2 and CH3 stretch: HDPE and PP deepest.
- 1420 nm: first overtone of the O-H stretch: cellulose, and water on anything wet; a C-H combination of
  polyolefins lies beside it.
- 1660 nm: first overtone of the aromatic C-H stretch: PET; weakly the lignin of brown board.
- 1730 nm: first overtone of the CH2 stretch: HDPE deepest, PP less (its CH3 lies near 1700 nm).
- 2130 nm: combination of C-H and C=O: PET; cellulose has its O-H and C-O combination at 2100 nm.

Glass and metals have no such bands: glass is nearly flat and mostly transmits, metals are flat mirrors.

Coils: the eddy-current response is negative for a good conductor (aluminium) and positive for a ferromagnetic
one (tinplate), as in every metal detector.  Plates: what an item adds to a capacitor grows with its relative
permittivity (polyolefins 2.3, PET 3.3, paper 2 to 4 and more when moist, glass 6 to 8) and with its bulk; a
metal closes the field.  Light: the share that passes through.

The numbers below are our choice, made to have those orders and to overlap as items do in use: items are
soiled and wet, bottles wear sleeves of another polymer, some plastics are black (carbon black absorbs in all
bands, which blinds a near-infrared sorter), cans are crushed, and papers have fillers and lignin in all
shares.  A good classifier therefore reaches about 0.975, and not 1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from generator.materials import COUNT_SHARES, MASS_CUT_SIGMA, MATERIAL_IDS, MATERIALS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BANDS_NM: Final = (1120, 1210, 1420, 1660, 1730, 2130)
BAND_NAMES: Final = tuple(f"nir_{band}" for band in BANDS_NM)
READING_NAMES: Final = ("mass_g", *BAND_NAMES, "inductive", "capacitive", "optical")

# Rows: reflectance of a clean, dry item in each band, then coil, plates, light; columns as BANDS_NM.
_CLEAN: Final = {
    "pet": (0.52, 0.57, 0.55, 0.36, 0.50, 0.30, 0.00, 0.22, 0.70),
    "hdpe": (0.64, 0.38, 0.53, 0.60, 0.24, 0.44, 0.00, 0.20, 0.30),
    "pp": (0.63, 0.45, 0.52, 0.59, 0.32, 0.46, 0.00, 0.14, 0.38),
    "aluminium_cans": (0.80, 0.80, 0.80, 0.80, 0.80, 0.80, -0.62, 0.72, 0.01),
    "steel_cans": (0.66, 0.66, 0.67, 0.67, 0.67, 0.67, 0.58, 0.76, 0.01),
    "glass": (0.22, 0.22, 0.21, 0.20, 0.20, 0.17, 0.00, 0.60, 0.52),
    "corrugated": (0.62, 0.57, 0.43, 0.49, 0.48, 0.29, 0.00, 0.38, 0.03),
    "mixed_paper": (0.72, 0.67, 0.50, 0.60, 0.59, 0.35, 0.00, 0.30, 0.07),
}
# How much single items of a material differ from that: all bands together, coil, plates, light.
_SPREAD: Final = {
    "pet": (0.07, 0.010, 0.04, 0.14),
    "hdpe": (0.06, 0.010, 0.04, 0.12),
    "pp": (0.06, 0.010, 0.03, 0.15),
    "aluminium_cans": (0.07, 0.11, 0.06, 0.01),
    "steel_cans": (0.08, 0.12, 0.06, 0.01),
    "glass": (0.05, 0.010, 0.09, 0.20),
    "corrugated": (0.05, 0.010, 0.07, 0.02),
    "mixed_paper": (0.07, 0.012, 0.07, 0.04),
}
_BLACK_SHARE: Final = {"hdpe": 0.040, "pp": 0.080, "pet": 0.010}
"""Of a material's items, those that carbon black colours."""
_SLEEVED_SHARE: Final = {"pet": 0.10, "hdpe": 0.05}
"""Of a material's items, those in a polypropylene sleeve that hides up to two thirds of the item."""
_SOILED_SHARE: Final = 0.18

_BLACK: Final = 0.045
_WATER: Final = np.array([0.04, 0.06, 0.50, 0.16, 0.16, 0.34])
"""How much of the light of each band a wet film takes at most: strongest near 1450 and 1940 nm."""
_BAND_NOISE: Final = 0.024
_COIL_NOISE: Final = 0.012
_PLATE_NOISE: Final = 0.02
_LIGHT_NOISE: Final = 0.012
_SCALE_NOISE_G: Final = 0.3

_CLEAN_TABLE: Final = np.array([_CLEAN[name] for name in MATERIAL_IDS])
_SPREAD_TABLE: Final = np.array([_SPREAD[name] for name in MATERIAL_IDS])
_BLACK_TABLE: Final = np.array([_BLACK_SHARE.get(name, 0.0) for name in MATERIAL_IDS])
_SLEEVED_TABLE: Final = np.array([_SLEEVED_SHARE.get(name, 0.0) for name in MATERIAL_IDS])
_SLEEVE_BANDS: Final = np.array(_CLEAN["pp"][: len(BANDS_NM)])
_MEDIAN_G: Final = np.array([material.median_g for material in MATERIALS])
_SIGMA: Final = np.array([material.sigma for material in MATERIALS])


def readings(material_id: str, mass_g: float, rng: np.random.Generator) -> dict[str, float]:
    """What the sensors say of one deposit of ``material_id`` that weighs ``mass_g`` grams net.

    Raises:
        KeyError: there is no such material.
    """
    if material_id not in _CLEAN:
        raise KeyError(material_id)
    material = np.array([MATERIAL_IDS.index(material_id)])
    sensed, _ = _sense(material, np.array([mass_g]), rng)
    return dict(zip(READING_NAMES, sensed[0].tolist(), strict=True))


def table(rows: int, seed: int) -> pd.DataFrame:
    """Labelled deposits to train on: the readings, ``material``, and ``condition`` (clean or soiled).

    Each material is equally frequent, since a classifier should know the rare ones as well; masses and item
    counts are distributed as in the fleet's own deposits.  The same arguments give the same table.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    material = rng.integers(0, len(MATERIALS), rows)
    count = np.searchsorted(np.cumsum(COUNT_SHARES)[:-1], rng.random(rows), side="right") + 1
    z = np.clip(rng.standard_normal(rows), -MASS_CUT_SIGMA, MASS_CUT_SIGMA)
    mass_g: Floats = _MEDIAN_G[material] * np.exp(_SIGMA[material] * z / np.sqrt(count)) * count
    sensed, soiled = _sense(material, mass_g, rng)
    frame = pd.DataFrame(sensed, columns=list(READING_NAMES))
    frame["material"] = np.array(MATERIAL_IDS, dtype=object)[material]
    frame["condition"] = np.where(soiled > 0, "soiled", "clean")
    return frame


def _sense(material: Ints, mass_g: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Readings [n, 10] of items, in the order of ``READING_NAMES``, and how soiled each is, 0 to 1."""
    rows = len(material)
    u = rng.random((rows, 5))
    z = rng.standard_normal((rows, 4))
    noise = rng.standard_normal((rows, len(BANDS_NM) + 4))
    clean, spread = _CLEAN_TABLE[material], _SPREAD_TABLE[material]

    soiled: Floats = np.where(u[:, 0] < _SOILED_SHARE, 0.15 + 0.85 * u[:, 1], 0.0)
    hidden = np.where(u[:, 2] < _SLEEVED_TABLE[material], 0.65 * u[:, 3], 0.0)[:, None]
    black = (u[:, 4] < _BLACK_TABLE[material])[:, None]

    bands = clean[:, : len(BANDS_NM)] * (1 - hidden) + _SLEEVE_BANDS * hidden
    bands = np.where(black, _BLACK, bands * (1 + spread[:, :1] / 0.5 * z[:, :1]))
    bands = bands * (1 - 0.55 * soiled[:, None] * _WATER) * (1 - 0.12 * soiled[:, None])
    bands = bands + _BAND_NOISE * noise[:, : len(BANDS_NM)]

    inductive = clean[:, 6] + spread[:, 1] * z[:, 1] + _COIL_NOISE * noise[:, -4]
    capacitive = clean[:, 7] + spread[:, 2] * z[:, 2] + 0.10 * soiled + _PLATE_NOISE * noise[:, -3]
    light = np.where(black[:, 0], 0.01, clean[:, 8] + spread[:, 3] * z[:, 3])
    optical = np.maximum(light, 0) * (1 - 0.4 * soiled) + _LIGHT_NOISE * noise[:, -2]
    # Dirt and liquid weigh too: up to a tenth.
    weighed = np.maximum(mass_g * (1 + 0.10 * soiled) + _SCALE_NOISE_G * noise[:, -1], 0.0)

    columns = (
        np.round(weighed, 1),
        *np.round(np.clip(bands, 0.0, 1.0), 4).T,
        np.round(np.clip(inductive, -1.0, 1.0), 4),
        np.round(np.clip(capacitive, 0.0, 1.0), 4),
        np.round(np.clip(optical, 0.0, 1.0), 4),
    )
    return np.column_stack(columns), soiled
