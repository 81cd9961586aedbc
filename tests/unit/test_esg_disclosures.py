"""The disclosure tables state what there is evidence for, and say why where there is none."""

from __future__ import annotations

from decimal import Decimal

import pytest

from audit.esg.disclosures import WasteMasses, avoided_emissions, disclose, esrs_e5_5, gri_306
from audit.esg.errors import EsgError, NotAQuantity
from audit.reporting.model import Datapoint

MASSES = WasteMasses({"pet": 2_500_000_001, "glass": 7_000_000_000, "": 1}, "deposits of consumers in Oslo")


def one(points: tuple[Datapoint, ...], datapoint: str, name: str) -> Datapoint:
    (found,) = (point for point in points if (point.datapoint, point.name) == (datapoint, name))
    return found


@pytest.mark.parametrize(
    ("datapoint", "name", "tonnes"),
    [
        ("E5-5_07", "total waste generated", "9.500000002"),
        ("E5-5_08", "waste diverted from disposal", "9.500000002"),
        ("E5-5_08", "non-hazardous waste diverted from disposal, recycling", "9.500000002"),
        ("E5-5_08", "hazardous waste diverted from disposal, recycling", "0E-9"),
        ("E5-5_12", "composition of the waste: pet", "2.500000001"),
        ("E5-5_12", "composition of the waste: no material declared", "1E-9"),
        ("E5-5_15", "total hazardous waste", "0E-9"),
        ("306-3-a", "total waste generated", "9.500000002"),
        ("306-4-a", "waste diverted from disposal: glass", "7.000000000"),
        ("306-4-b", "hazardous waste diverted from disposal", "0E-9"),
        ("306-4-c", "non-hazardous waste diverted from disposal, recycling", "9.500000002"),
    ],
)
def test_what_there_is_evidence_for_is_stated_in_exact_tonnes(datapoint: str, name: str, tonnes: str) -> None:
    point = one(disclose(MASSES, None), datapoint, name)
    assert (str(point.value), point.unit) == (tonnes, "t")


@pytest.mark.parametrize(
    ("datapoint", "name", "why"),
    [
        ("E5-5_09", "waste directed to disposal", "does not see what the plant rejects"),
        ("E5-5_09", "hazardous waste directed to disposal, landfill", "does not see what the plant rejects"),
        ("E5-5_10", "non-recycled waste", "does not see what the plant rejects"),
        ("E5-5_11", "percentage of non-recycled waste", "does not see what the plant rejects"),
        ("E5-5_08", "non-hazardous waste diverted from disposal, preparation for reuse", "recycling alone"),
        ("E5-5_16", "total radioactive waste", "records no radioactivity"),
        ("306-4-d", "waste diverted from disposal, onsite", "is not on record"),
        ("306-5-a", "total waste directed to disposal", "does not see what the plant rejects"),
        ("306-5-c", "non-hazardous waste directed to disposal, landfilling", "does not see what the plant"),
    ],
)
def test_what_there_is_no_evidence_for_has_no_value_and_a_reason(datapoint: str, name: str, why: str) -> None:
    point = one(disclose(MASSES, None), datapoint, name)
    assert point.value is None
    assert point.note.startswith("no evidence: ")
    assert why in point.note


def test_every_datapoint_of_the_standards_is_there_in_order() -> None:
    esrs = [point.datapoint for point in esrs_e5_5(MASSES)]
    assert sorted(set(esrs)) == [f"E5-5_{number:02}" for number in range(7, 18)]
    assert esrs == sorted(esrs)
    gri = [point.datapoint for point in gri_306(MASSES)]
    assert sorted(set(gri)) == [
        *("306-3-a", "306-4-a", "306-4-b", "306-4-c", "306-4-d", "306-5-a", "306-5-b", "306-5-c", "306-5-d")
    ]
    assert gri == sorted(gri)


def test_no_datapoint_is_stated_twice_and_none_is_without_a_note() -> None:
    points = disclose(MASSES, Decimal(1))
    assert len({(p.standard, p.datapoint, p.name) for p in points}) == len(points)
    assert all(point.note for point in points)


def test_the_boundary_says_whose_waste_it_is() -> None:
    for datapoint in "E5-5_07", "306-3-a":
        note = one(disclose(MASSES, None), datapoint, "total waste generated").note
        assert note.endswith("within the boundary: deposits of consumers in Oslo")
    with pytest.raises(EsgError, match="disclosures need a boundary"):
        WasteMasses({"pet": 1}, " ")


def test_that_nothing_is_hazardous_is_a_statement_and_no_measurement() -> None:
    point = one(esrs_e5_5(MASSES), "E5-5_15", "total hazardous waste")
    assert point.note == "stated, not measured: none of the materials is stated to be hazardous"


def test_hazardous_mass_is_split_off() -> None:
    masses = WasteMasses({"pet": 5_000_000_000}, "own waste", {"pet": 2_000_000_000})
    points = disclose(masses, None)
    hazardous = one(points, "E5-5_08", "hazardous waste diverted from disposal, recycling")
    rest = one(points, "E5-5_08", "non-hazardous waste diverted from disposal, recycling")
    assert (hazardous.value, rest.value) == (Decimal(2), Decimal(3))
    assert one(points, "E5-5_15", "total hazardous waste").value == 2
    assert one(points, "E5-5_08", "waste diverted from disposal").value == 5


@pytest.mark.parametrize(
    ("by_material", "hazardous"),
    [({"pet": -1}, {}), ({"pet": 1}, {"pet": 2}), ({"pet": 1}, {"glass": 1}), ({"pet": 1}, {"pet": -1})],
)
def test_masses_that_can_not_be_are_refused(by_material: dict[str, int], hazardous: dict[str, int]) -> None:
    with pytest.raises(EsgError, match="expected"):
        WasteMasses(by_material, "own waste", hazardous)


def test_a_float_is_no_mass() -> None:
    with pytest.raises(NotAQuantity):
        WasteMasses({"pet": 1.5}, "own waste")  # type: ignore[dict-item]


def test_avoided_emissions_stand_alone_and_change_no_other_figure() -> None:
    grams = Decimal("1234567.890123456789012")
    point = avoided_emissions(grams)
    assert (str(point.value), point.unit) == ("1.234567890123456789012", "t CO2e")
    assert "never netted" in point.note
    with_it, without = disclose(MASSES, grams), disclose(MASSES, None)
    assert with_it[:-1] == without[:-1]
    assert without[-1].value is None
    assert "has no factor" in without[-1].note


def test_avoided_emissions_are_exact_however_large() -> None:
    grams = Decimal("123456789012345678901234567890.123456789012345")
    assert str(avoided_emissions(grams).value) == "123456789012345678901234.567890123456789012345"


def test_avoided_emissions_are_no_float() -> None:
    with pytest.raises(NotAQuantity):
        avoided_emissions(1.5)  # type: ignore[arg-type]
