"""The tables of ESRS E5-5 and GRI 306 that masses by material can fill, and what they can't.

Tally knows what machines took in for recycling.  It does not know what became of it: what the plant
rejected, what was burnt or landfilled, where.  Such a datapoint has no value, and its note says why; no
value is derived from the absence of evidence.  What is stated is stated within a boundary, which says whose
waste it is: what a consumer brings back is not by itself the operator's own waste.

Avoided emissions are a figure of their own, apart from scopes 1 to 3 (GHG Protocol, Scope 3 standard, 9.5);
nothing here adds or subtracts them.

Datapoints: E5-5_07 to _17 of EFRAG's list of ESRS datapoints (IG 3); 306-3 to 306-5 of GRI 306: Waste 2020.
Masses are in metric tons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from audit.esg.errors import EsgError
from audit.esg.units import EXACT, Mass, finite
from audit.reporting.model import Datapoint

ESRS: Final = "ESRS E5-5"
GRI: Final = "GRI 306"
GHG: Final = "GHG Protocol"
TONNES: Final = "t"

_RECOVERY: Final = ("preparation for reuse", "recycling", "other recovery operations")
_ESRS_DISPOSAL: Final = ("incineration", "landfill", "other disposal operations")
_GRI_DISPOSAL: Final = (
    "incineration with energy recovery",
    "incineration without energy recovery",
    "landfilling",
    "other disposal operations",
)
_AFTERWARDS: Final = "no evidence: Tally does not see what the plant rejects, burns or landfills"
_ELSEWHERE: Final = "no evidence: the machines take in material for recycling alone"
_UPPER: Final = "as taken in for recycling; what the plant rejects is not on record, so it is an upper bound"
_PLACE: Final = "no evidence: whether the plant lies on the operator's site is not on record"


@dataclass(frozen=True, slots=True)
class WasteMasses:
    """What a period's disclosures are made of.

    Args:
        by_material: supported mass in milligrams, by material; never negative.
        boundary: whose waste it is, as the report records it.
        hazardous_mg: the part of ``by_material`` that is hazardous, by material; empty states that none is.

    Raises:
        EsgError: no boundary, a negative mass, or more hazardous mass than there is.
    """

    by_material: Mapping[str, int]
    boundary: str
    hazardous_mg: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.boundary.strip():
            raise EsgError("disclosures need a boundary: say whose waste it is, as 'deposits of consumers'")
        for material, mg in self.by_material.items():
            if Mass(mg=mg).mg < 0:
                raise EsgError(f"expected a mass of {material!r} of 0 mg or more, got {mg}")
        for material, mg in self.hazardous_mg.items():
            if not 0 <= Mass(mg=mg).mg <= self.by_material.get(material, 0):
                whole = self.by_material.get(material, 0)
                raise EsgError(f"expected 0 to {whole} mg of {material!r} to be hazardous, got {mg}")

    @property
    def total_mg(self) -> int:
        """All of it."""
        return sum(self.by_material.values())

    @property
    def total_hazardous_mg(self) -> int:
        """What of it is hazardous."""
        return sum(self.hazardous_mg.values())

    @property
    def split(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Hazardous and non-hazardous."""
        hazardous = self.total_hazardous_mg
        return ("hazardous", hazardous), ("non-hazardous", self.total_mg - hazardous)


def disclose(masses: WasteMasses, avoided_g: Decimal | None) -> tuple[Datapoint, ...]:
    """All datapoints: ESRS, GRI, then avoided emissions on their own.

    ``avoided_g``: exact grams of CO2e, or None where a material has no factor.
    """
    return (*esrs_e5_5(masses), *gri_306(masses), avoided_emissions(avoided_g))


def esrs_e5_5(masses: WasteMasses) -> tuple[Datapoint, ...]:
    """E5-5_07 to E5-5_17, in this order."""
    return tuple(_esrs(masses))


def gri_306(masses: WasteMasses) -> tuple[Datapoint, ...]:
    """306-3 waste generated, 306-4 diverted from disposal, 306-5 directed to disposal, in this order."""
    return tuple(_gri(masses))


def avoided_emissions(avoided_g: Decimal | None) -> Datapoint:
    """What recycling avoided, in metric tons of CO2e, exact; apart from every inventory.

    Raises:
        NotAQuantity, OutOfRange: no Decimal, or no number.
    """
    note = "reported apart from scopes 1 to 3 and never netted with them"
    if avoided_g is None:
        value, note = None, f"a material has no factor that may be used; {note}"
    else:
        value = EXACT.scaleb(finite(avoided_g, "avoided CO2e"), -6)
    return Datapoint(GHG, "Scope 3, 9.5", "avoided emissions", "t CO2e", value, note)


def _esrs(masses: WasteMasses) -> Iterator[Datapoint]:
    def t(number: str, name: str, mg: int | None, note: str) -> Datapoint:
        return Datapoint(ESRS, f"E5-5_{number}", name, TONNES, _tonnes(mg), note)

    yield t("07", "total waste generated", masses.total_mg, _within(masses))
    yield t("08", "waste diverted from disposal", masses.total_mg, _UPPER)
    for hazard, mg in masses.split:
        for operation in _RECOVERY:
            recycled = operation == "recycling"
            yield t(
                "08",
                f"{hazard} waste diverted from disposal, {operation}",
                mg if recycled else None,
                (_hazard(masses) if mg == 0 else _UPPER) if recycled else _ELSEWHERE,
            )
    yield t("09", "waste directed to disposal", None, _AFTERWARDS)
    for hazard, _ in masses.split:
        for operation in _ESRS_DISPOSAL:
            yield t("09", f"{hazard} waste directed to disposal, {operation}", None, _AFTERWARDS)
    yield t("10", "non-recycled waste", None, _AFTERWARDS)
    yield Datapoint(ESRS, "E5-5_11", "percentage of non-recycled waste", "%", None, _AFTERWARDS)
    for material, mg in sorted(masses.by_material.items()):
        yield t("12", f"composition of the waste: {_named(material)}", mg, _within(masses))
    yield Datapoint(
        ESRS,
        "E5-5_13",
        "waste streams relevant to the sector",
        "",
        None,
        "no evidence: which streams are relevant to the sector is for the undertaking to say",
    )
    yield Datapoint(
        ESRS, "E5-5_14", "materials present in the waste", "", None, "see E5-5_12, by declared material"
    )
    yield t("15", "total hazardous waste", masses.total_hazardous_mg, _hazard(masses))
    yield t("16", "total radioactive waste", None, "no evidence: Tally records no radioactivity")
    yield Datapoint(
        ESRS,
        "E5-5_17",
        "methodology",
        "",
        None,
        "net masses of single deposits, as machines recorded them in a hash-chained ledger, reconciled with "
        f"predictions and scale tickets; stated is what the evidence supports; {_within(masses)}",
    )


def _gri(masses: WasteMasses) -> Iterator[Datapoint]:
    def t(datapoint: str, name: str, mg: int | None, note: str) -> Datapoint:
        return Datapoint(GRI, datapoint, name, TONNES, _tonnes(mg), note)

    composition = sorted(masses.by_material.items())
    yield t("306-3-a", "total waste generated", masses.total_mg, _within(masses))
    for material, mg in composition:
        yield t("306-3-a", f"waste generated: {_named(material)}", mg, _within(masses))
    yield t("306-4-a", "total waste diverted from disposal", masses.total_mg, _UPPER)
    for material, mg in composition:
        yield t("306-4-a", f"waste diverted from disposal: {_named(material)}", mg, _UPPER)
    for paragraph, (hazard, mg) in zip(("306-4-b", "306-4-c"), masses.split, strict=True):
        yield t(
            paragraph,
            f"{hazard} waste diverted from disposal",
            mg,
            _hazard(masses) if mg == 0 else _UPPER,
        )
        for operation in _RECOVERY:
            recycled = operation == "recycling"
            yield t(
                paragraph,
                f"{hazard} waste diverted from disposal, {operation}",
                mg if recycled else None,
                (_hazard(masses) if mg == 0 else _UPPER) if recycled else _ELSEWHERE,
            )
    for place in "onsite", "offsite":
        yield t("306-4-d", f"waste diverted from disposal, {place}", None, _PLACE)
    yield t("306-5-a", "total waste directed to disposal", None, _AFTERWARDS)
    for paragraph, (hazard, _) in zip(("306-5-b", "306-5-c"), masses.split, strict=True):
        yield t(paragraph, f"{hazard} waste directed to disposal", None, _AFTERWARDS)
        for operation in _GRI_DISPOSAL:
            yield t(paragraph, f"{hazard} waste directed to disposal, {operation}", None, _AFTERWARDS)
    for place in "onsite", "offsite":
        yield t("306-5-d", f"waste directed to disposal, {place}", None, f"{_AFTERWARDS}; {_PLACE}")


def _tonnes(mg: int | None) -> Decimal | None:
    return None if mg is None else Mass(mg=mg).tonnes


def _named(material: str) -> str:
    return material or "no material declared"


def _within(masses: WasteMasses) -> str:
    return f"what the machines took in, within the boundary: {masses.boundary.strip()}"


def _hazard(masses: WasteMasses) -> str:
    if masses.total_hazardous_mg:
        return "as stated by the operator; the machines do not test for hazard"
    return "stated, not measured: none of the materials is stated to be hazardous"
