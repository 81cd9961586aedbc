"""Deposits of one machine on one day: when people come, and what they bring.

Arrivals are an inhomogeneous Poisson process by thinning.  The shape over the week follows the fill of
street bins in Wyndham City, Victoria ("Smart Bins", 2018-2021: mean rise per weekday over the mean of all);
the shape over the day is our choice (shopping hours).  Lengths are given per deposit; arrays are columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from generator.clock import DAY_NS, MILLISECOND_NS, SECOND_NS
from generator.fleet import Machine
from generator.materials import COUNT_SHARES, MASS_CUT_SIGMA, MATERIALS
from generator.randomness import Purpose, generator
from generator.spec import FleetSpec

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_WEEKDAY: Final = np.array([0.935, 1.036, 1.035, 1.135, 1.067, 0.776, 1.011])  # Monday first
_MORNING: Final = (0.05, 0.02, 0.02, 0.02, 0.05, 0.15, 0.45, 0.95, 1.35, 1.60, 1.80, 1.85)
_EVENING: Final = (1.75, 1.60, 1.60, 1.75, 1.95, 2.00, 1.70, 1.25, 0.85, 0.55, 0.30, 0.15)
_HOUR: Final = np.array((*_MORNING, *_EVENING))
_HOUR_MEAN: Final = float(_HOUR.mean())
_PEAK: Final = float(_WEEKDAY.max() * _HOUR.max()) / _HOUR_MEAN

_MEDIAN: Final = np.array([m.median_g for m in MATERIALS])
_SIGMA: Final = np.array([m.sigma for m in MATERIALS])
_VOLUME: Final = np.array([m.volume_l for m in MATERIALS])
_MATERIAL_EDGES: Final = np.cumsum([m.share for m in MATERIALS])[:-1]
_COUNT_EDGES: Final = np.cumsum(COUNT_SHARES)[:-1]

_ACCEPT, _MATERIAL, _COUNT, _CONFIDENCE, _LOW, _LEAD = range(6)

CONFIDENCE_THRESHOLD_E4: Final = 7_500
"""Below it a human decides; in 1/10,000."""


@dataclass(frozen=True, slots=True)
class Visits:
    """What people would do at a machine on one day, before the machine has its say.

    ``time_ns`` rises strictly.  ``mass_dg`` is the true net mass in tenths of a gram; ``confidence_e4`` the
    classifier's confidence in 1/10,000; ``lead_ms`` how long before the deposit it answered.
    """

    time_ns: Ints
    material: Ints
    count: Ints
    mass_dg: Ints
    volume_l: Floats
    confidence_e4: Ints
    low_confidence: Flags
    lead_ms: Ints

    def __len__(self) -> int:
        return len(self.time_ns)

    def keep(self, where: Flags) -> Visits:
        """Only those."""
        return Visits(
            self.time_ns[where],
            self.material[where],
            self.count[where],
            self.mass_dg[where],
            self.volume_l[where],
            self.confidence_e4[where],
            self.low_confidence[where],
            self.lead_ms[where],
        )


def relative_rate(time_ns: Ints, utc_offset_h: float) -> Floats:
    """Rate of visits at a time relative to the mean of a week (1.0)."""
    local_h = time_ns / (3_600 * SECOND_NS) + utc_offset_h
    hour = np.mod(local_h, 24.0)
    weekday = np.mod(np.floor(local_h / 24.0).astype(np.int64) + 3, 7)  # 1970-01-01 was a Thursday
    by_hour = np.interp(hour, np.arange(-0.5, 25.0), np.concatenate((_HOUR[-1:], _HOUR, _HOUR[:1])))
    rate: Floats = _WEEKDAY[weekday] * by_hour / _HOUR_MEAN
    return rate


def visits(spec: FleetSpec, machine: Machine, day: int) -> Visits:
    """The visits of day number ``day`` (24 hours from the start of the run), up to the end of the run."""
    begin_ns = spec.start_ns + day * DAY_NS
    expected = spec.deposits_per_day * machine.activity * _PEAK
    rng = generator(spec.seed, machine.number, Purpose.ARRIVALS, day)
    candidates = int(expected + 8 * expected**0.5 + 16)
    at_day = np.cumsum(rng.standard_exponential(candidates)) / max(expected, 1e-9)
    u = rng.random((candidates, 6))
    z = np.clip(rng.standard_normal(candidates), -MASS_CUT_SIGMA, MASS_CUT_SIGMA)

    time_ns = begin_ns + (np.minimum(at_day, 2.0) * 86_400_000).astype(np.int64) * MILLISECOND_NS
    # No deposit in the first second, so that its prediction, up to 0.9 s earlier, lies in the run too.
    inside = (time_ns >= spec.start_ns + SECOND_NS) & (time_ns < min(begin_ns + DAY_NS, spec.end_ns))
    accepted = u[:, _ACCEPT] * _PEAK < relative_rate(time_ns, machine.site.utc_offset_h)
    distinct = np.concatenate(([True], np.diff(time_ns) > 0))
    chosen = inside & accepted & distinct

    time_ns, u, z = time_ns[chosen], u[chosen], z[chosen]
    material = np.searchsorted(_MATERIAL_EDGES, u[:, _MATERIAL], side="right").astype(np.int64)
    count = np.searchsorted(_COUNT_EDGES, u[:, _COUNT], side="right").astype(np.int64) + 1
    item_g = _MEDIAN[material] * np.exp(_SIGMA[material] * z / np.sqrt(count))
    low = u[:, _LOW] < spec.low_confidence_share
    # Above the threshold most answers are sure: 0.80 to 0.9995, crowded at the top; below it 0.45 to 0.7499.
    sure = 8_000 + (1_995 * np.sqrt(u[:, _CONFIDENCE])).astype(np.int64)
    unsure = 4_500 + (2_999 * u[:, _CONFIDENCE]).astype(np.int64)
    return Visits(
        time_ns=time_ns,
        material=material,
        count=count,
        mass_dg=np.rint(item_g * count * 10).astype(np.int64),
        volume_l=_VOLUME[material] * count,
        confidence_e4=np.where(low, unsure, sure),
        low_confidence=low,
        lead_ms=200 + (700 * u[:, _LEAD]).astype(np.int64),
    )
