"""The arithmetic between counted rows and figures, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

import pytest

from audit.invariants.rule import Counted
from audit.reconcile.figures import (
    MOST_LOST_MG,
    Effect,
    Figures,
    Part,
    Sums,
    effect_of,
    figures,
    lost_share,
    problem_of,
)
from audit.reconcile.masses import item_masses
from audit.reconcile.results import Results

KNOWN: Final = {"pet", "glass"}
Row = dict[str, Any]


def known(material: str) -> bool:
    return material in KNOWN


def claim(machine: str, material: str, deposits: int, mass_mg: int, squares: int = 0) -> Row:
    return {
        "site_id": "hall",
        "machine_id": machine,
        "material": material,
        "deposits": deposits,
        "mass_mg": mass_mg,
        "squares": squares,
    }


def exceptions(name: str, declared: str, accepted: str, mass_mg: int, **values: Any) -> Row:
    row = {
        "class": name,
        "declared": declared,
        "accepted": accepted,
        "claimed": 1,
        "mass_problem": "",
        "deposits": 1,
        "predictions": 1,
        "records": 1,
        "mass_mg": mass_mg,
    }
    return row | values


def correction(delta_mg: int | None, **values: Any) -> Row:
    """Of a deposit of 75 g of PET at M1/3 that is a duplicate."""
    row = {
        "machine_id": "desk",
        "seq": 1,
        "corrects_machine_id": "M1",
        "corrects_seq": 3,
        "mass_delta_mg": delta_mg,
        "material": "",
        "reason": "sent twice",
        "actor": "ann",
        "deposit_seq": 3,
        "declared": "pet",
        "mass_mg": 75_000,
        "item_count": 3,
        "same_row": 1,
        "claimed": 1,
        "class": "duplicate",
        "accepted": "",
        "mass_problem": "",
    }
    return row | values


def added(
    claims: list[Row],
    of: list[Row] | None = None,
    gaps: Mapping[str, int] | None = None,
    corrections: list[Row] | None = None,
    materials: tuple[str, ...] = (),
) -> Figures:
    found = Results(
        counted=Counted(),
        claims=claims,
        exception_sums=of or [],
        gap_sums=[{"machine_id": machine, "gaps": 1, "lost": lost} for machine, lost in (gaps or {}).items()],
        presence=[],
        lots=[],
        calibrations={},
        corrections=corrections or [],
        exceptions=[],
        exception_count=0,
        gaps=[],
        answers={},
        evidence=(),
    )
    return figures(found, item_masses(), known, materials)


def values(sums: Sums) -> tuple[int, int, int, int, int, int]:
    return (
        sums.reported,
        sums.corrections,
        sums.overstated,
        sums.understated,
        sums.in_doubt,
        sums.supported,
    )


@pytest.mark.parametrize(
    ("name", "declared", "accepted", "problem", "parts"),
    [
        ("matched", "pet", "pet", "", ()),
        ("late", "pet", "pet", "", ()),
        ("duplicate", "pet", "", "", (("overstated", "pet", 7),)),
        ("conflict", "pet", "", "", (("overstated", "pet", 7),)),
        ("out_of_period", "pet", "pet", "", (("overstated", "pet", 7),)),
        ("missing_prediction", "pet", "", "", (("in_doubt", "pet", 7),)),
        ("low_confidence", "pet", "glass", "", (("in_doubt", "pet", 7),)),
        ("material_mismatch", "pet", "glass", "", (("overstated", "pet", 7), ("understated", "glass", 7))),
        ("material_mismatch", "pet", "trash", "", (("overstated", "pet", 7),)),
        ("material_mismatch", "", "pet", "", (("overstated", "", 7), ("understated", "pet", 7))),
        ("material_mismatch", "pet", "", "", (("in_doubt", "pet", 7),)),
        ("matched", "pet", "pet", "implausible", (("in_doubt", "pet", 7),)),
        ("late", "pet", "pet", "net", (("in_doubt", "pet", 7),)),
        ("material_mismatch", "pet", "glass", "net", (("in_doubt", "pet", 7),)),
        ("duplicate", "pet", "", "net", (("overstated", "pet", 7),)),
    ],
)
def test_what_a_deposit_of_each_class_does(
    name: str, declared: str, accepted: str, problem: str, parts: tuple[tuple[Part, str, int], ...]
) -> None:
    def effect(mass_mg: int = 7, *, claimed: bool = True) -> Effect:
        return effect_of(
            name, declared, accepted, mass_mg, claimed=claimed, mass_problem=problem, known=known
        )

    assert effect() == Effect(parts)
    assert effect(claimed=False) == effect(0) == Effect(())


def test_understatement_is_a_negative_effect() -> None:
    assert Effect((("overstated", "pet", 7), ("understated", "glass", 7))).by_material == {
        "pet": 7,
        "glass": -7,
    }
    assert Effect((("overstated", "pet", 7), ("understated", "pet", 7))).by_material == {"pet": 0}


def test_every_class_takes_its_part_of_the_reported_figure() -> None:
    found = added(
        [claim("M1", "pet", 10, 1_000), claim("M1", "glass", 4, 2_000)],
        [
            exceptions("duplicate", "pet", "", 100),
            exceptions("material_mismatch", "pet", "glass", 200, records=2, deposits=2),
            exceptions("missing_prediction", "glass", "", 500, predictions=0),
            exceptions("late", "pet", "pet", 50),
            exceptions("orphan_prediction", "", "pet", 0, claimed=0, deposits=0),
        ],
    )
    assert values(found.by_material["pet"]) == (1_000, 0, 300, 0, 0, 700)
    assert values(found.by_material["glass"]) == (2_000, 0, 0, 200, 500, 1_700)
    assert found.class_counts == {
        "matched": 9,
        "duplicate": 1,
        "material_mismatch": 2,
        "missing_prediction": 1,
        "late": 1,
        "orphan_prediction": 1,
        "lost": 0,
    }
    assert found.class_masses["matched"] == 3_000 - 850
    assert found.class_effects["material_mismatch"] == {"pet": 200, "glass": -200}
    assert found.cells["matched", "pet"] == (6, 650)
    assert found.confusion == {
        ("glass", "glass"): (3, 1_500),
        ("pet", "glass"): (2, 200),
        ("pet", "pet"): (7, 700),
    }


def test_only_the_materials_that_were_asked_for_are_added_up() -> None:
    claims = [claim("M1", "pet", 10, 1_000), claim("M1", "glass", 4, 2_000)]
    mismatch = [exceptions("material_mismatch", "pet", "glass", 200)]
    found = added(claims, mismatch, materials=("glass",))
    assert set(found.by_material) == {"glass"}
    assert values(found.by_material["glass"]) == (2_000, 0, 0, 200, 0, 2_200)
    assert found.class_effects["material_mismatch"] == {"glass": -200}


# --- corrections ---


def test_a_correction_that_takes_a_duplicate_back_takes_its_effect_away() -> None:
    claims, duplicate = [claim("M1", "pet", 4, 300_000)], [exceptions("duplicate", "pet", "", 75_000)]
    before = added(claims, duplicate)
    after = added(claims, duplicate, corrections=[correction(-75_000)])
    assert values(before.by_material["pet"]) == (300_000, 0, 75_000, 0, 0, 225_000)
    assert values(after.by_material["pet"]) == (300_000, -75_000, 0, 0, 0, 225_000)
    assert after.class_effects["duplicate"] == {"pet": 0}
    assert after.corrected == {("M1", 3): Effect(())}


def test_half_a_correction_takes_half_of_the_effect_away() -> None:
    claims, duplicate = [claim("M1", "pet", 4, 300_000)], [exceptions("duplicate", "pet", "", 75_000)]
    after = added(claims, duplicate, corrections=[correction(-25_000), correction(-10_000)])
    assert values(after.by_material["pet"]) == (300_000, -35_000, 40_000, 0, 0, 225_000)


def test_a_correction_beyond_the_claim_understates() -> None:
    claims, duplicate = [claim("M1", "pet", 4, 300_000)], [exceptions("duplicate", "pet", "", 75_000)]
    after = added(claims, duplicate, corrections=[correction(-80_000)])
    assert values(after.by_material["pet"]) == (300_000, -80_000, 0, 5_000, 0, 225_000)


def test_two_rows_move_a_deposit_to_the_material_that_was_accepted() -> None:
    claims = [claim("M1", "pet", 4, 300_000), claim("M1", "glass", 1, 10)]
    mismatch = [exceptions("material_mismatch", "pet", "glass", 75_000)]
    moved = {"class": "material_mismatch", "accepted": "glass"}
    after = added(
        claims,
        mismatch,
        corrections=[correction(-75_000, **moved), correction(75_000, material="glass", **moved)],
    )
    assert values(after.by_material["pet"]) == (300_000, -75_000, 0, 0, 0, 225_000)
    assert values(after.by_material["glass"]) == (10, 75_000, 0, 0, 0, 75_010)


def test_a_mass_that_is_corrected_to_a_plausible_one_is_in_doubt_no_longer() -> None:
    claims = [claim("M1", "pet", 4, 1_225_000)]
    heavy = [exceptions("matched", "pet", "pet", 1_000_000, mass_problem="implausible")]
    of = {"class": "matched", "accepted": "pet", "mass_mg": 1_000_000, "mass_problem": "implausible"}
    assert values(added(claims, heavy).by_material["pet"])[4:] == (1_000_000, 225_000)
    after = added(claims, heavy, corrections=[correction(-925_000, **of)])
    assert values(after.by_material["pet"]) == (1_225_000, -925_000, 0, 0, 0, 300_000)
    still = added(claims, heavy, corrections=[correction(-1_000, **of)])
    assert values(still.by_material["pet"]) == (1_225_000, -1_000, 0, 0, 999_000, 225_000)


@pytest.mark.parametrize(
    ("values_of", "problem"),
    [
        ({"mass_delta_mg": None}, "names no row, or no mass"),
        ({"corrects_seq": None}, "names no row, or no mass"),
        ({"deposit_seq": None}, "names a deposit that is not in sight of this period"),
        ({"same_row": 0}, "names a row with another hash"),
        ({"claimed": 0}, "corrects a deposit of another period"),
        ({"reason": ""}, "has no reason or no actor"),
        ({"actor": ""}, "has no reason or no actor"),
    ],
)
def test_a_correction_with_a_problem_corrects_nothing(values_of: Row, problem: str) -> None:
    row = correction(-75_000) | values_of
    assert problem_of(row) == problem
    assert problem_of(correction(-75_000)) == ""
    found = added([claim("M1", "pet", 4, 300_000)], corrections=[row])
    assert values(found.by_material["pet"]) == (300_000, 0, 0, 0, 0, 300_000)
    assert found.corrected == {}


# --- what was lost ---


def test_lost_deposits_are_estimated_from_the_same_machine() -> None:
    # M1: masses 10, 20 and 30 g of PET and 60 g of glass; two are lost.  M2 lost none.
    grams = 1_000
    squares = (10**2 + 20**2 + 30**2) * grams**2
    found = added(
        [
            claim("M1", "pet", 3, 60 * grams, squares),
            claim("M1", "glass", 1, 60 * grams, (60 * grams) ** 2),
            claim("M2", "pet", 100, 10**9),
        ],
        gaps={"M1": 2},
    )
    assert found.lost == found.class_counts["lost"] == 2
    pet, glass = found.by_material["pet"], found.by_material["glass"]
    # A lost deposit is PET of 10, 20 or 30 g or something else: on average 15 g of PET, and 15 g of glass.
    assert (pet.lost_mg, glass.lost_mg) == (30 * grams, 30 * grams)
    variance = Fraction(squares, 4) - (15 * grams) ** 2
    assert pet.lost_variance == variance * (2 + Fraction(4, 4))
    assert pet.lost_margin_mg == int((float(pet.lost_variance) ** 0.5) * 1.96)
    assert found.class_effects["lost"] == {"pet": -30 * grams, "glass": -30 * grams}
    assert pet.supported == 10**9 + 60 * grams, "the estimate is in no other sum"


def test_a_counter_that_leaps_is_no_estimate_without_end() -> None:
    found = added([claim("M1", "pet", 3, 60_000)], gaps={"M1": 2**62})
    assert found.by_material["pet"].lost_mg == MOST_LOST_MG
    assert lost_share(2**62, 60_000, 3) == MOST_LOST_MG
    assert lost_share(2, 60_001, 3) == 40_001


def test_without_gaps_nothing_was_lost() -> None:
    found = added([claim("M1", "pet", 3, 60_000)])
    assert (found.lost, found.by_material["pet"].lost_mg, found.by_material["pet"].lost_margin_mg) == (
        0,
        0,
        0,
    )
    assert "lost" not in found.class_effects
