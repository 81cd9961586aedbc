"""The opinion, at and around each of its borders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from audit.reconcile.conclusion import conclude
from audit.reconcile.figures import Figures, Sums
from audit.reporting.model import (
    CLASSES,
    Co2e,
    Conclusion,
    Figure,
    InvariantResult,
    LedgerState,
    Mass,
    Opinion,
    Status,
)
from tests.evidence import PERIOD

FACTORS = {"pet": Decimal("1.1"), "glass": Decimal("0.3"), "aluminium_cans": Decimal(10)}
KG = 1_000_000
INTACT = LedgerState(intact=True, breaks=(), break_count=0, streams=(), evidence_digest="")

AT_MOST = (
    "No material misstatement was found: {} of the reported mass is misstated, in doubt or lost, "
    "below the performance materiality of 3.75 %."
)
FOUND = (
    "Found: 1 transaction recorded again (+0.075 kg, +0.088 kg CO2e); 2 late deposits; 2 impossible masses. "
    "Signs: + overstates, - understates the reported figure."
)
BROKEN = (
    "The ledger is broken in 3 places. No conclusion is possible; the figures below say what the rows say, "
    "which is not what was recorded."
)


def co2e_of(mass: Mapping[str, int]) -> Decimal | None:
    if any(material not in FACTORS for material, mg in mass.items() if mg):
        return None
    return sum((FACTORS[material] * mg / 1_000 for material, mg in mass.items() if mg), Decimal(0))


def rule(name: str, status: Status = "PASSED", exceptions: int = 0) -> InvariantResult:
    effect = Figure(Mass(f"mass.rule.{name}", exceptions * KG), Co2e(f"co2e.rule.{name}", None))
    return InvariantResult(
        name, f"Title of {name}", "accuracy", status, 1, exceptions, "", effect, "", "", (), ""
    )


def said(
    of: Mapping[str, Sums],
    *invariants: InvariantResult,
    ledger: LedgerState = INTACT,
    counts: Mapping[str, int] | None = None,
    **parameters: Any,
) -> Conclusion:
    nothing = Figure(Mass("", 0), Co2e("", Decimal(0)))
    found = Figures(of, {}, counts or {}, {}, {}, {}, 0, {})
    effects = dict.fromkeys(CLASSES, nothing)
    if counts:
        effects["duplicate"] = Figure(Mass("", 75_000), Co2e("", Decimal("87.5")))
    return conclude(
        replace(PERIOD, **parameters),
        ledger,
        found,
        effects,
        co2e_of,
        invariants=invariants or (rule("one"),),
    )


def pet(**values: Any) -> dict[str, Sums]:
    return {"pet": Sums(deposits=1, reported=100 * KG, **values)}


@pytest.mark.parametrize(
    ("values", "opinion"),
    [
        ({}, "no_material_misstatement"),
        ({"overstated": 3_750_000}, "no_material_misstatement"),
        ({"overstated": 3_750_001}, "review_required"),
        ({"overstated": 5_000_000}, "review_required"),
        ({"overstated": 5_000_001}, "material_misstatement"),
        ({"understated": 5_000_001}, "material_misstatement"),
        ({"overstated": 2_600_000, "understated": 2_600_000}, "material_misstatement"),
        ({"in_doubt": 3_750_000}, "no_material_misstatement"),
        ({"in_doubt": 90_000_000}, "review_required"),
        ({"lost": Fraction(3_750_001)}, "review_required"),
        (
            {"overstated": 1_250_000, "in_doubt": 1_250_000, "lost": Fraction(1_250_000)},
            "no_material_misstatement",
        ),
        ({"overstated": 1_250_001, "in_doubt": 1_250_000, "lost": Fraction(1_250_000)}, "review_required"),
    ],
)
def test_the_opinion_follows_from_materiality(values: dict[str, Any], opinion: Opinion) -> None:
    assert said(pet(**values)).opinion == opinion


def test_a_broken_ledger_allows_no_conclusion() -> None:
    broken = replace(INTACT, intact=False, break_count=3)
    found = said(pet(overstated=50 * KG), ledger=broken)
    assert found.opinion == "no_conclusion"
    assert found.sentences[0] == BROKEN


def test_a_ledger_that_nobody_verified_is_to_be_reviewed() -> None:
    found = said(pet(), ledger=replace(INTACT, intact=None))
    assert found.opinion == "review_required"
    assert found.sentences[-1] == "The ledger was not verified for this report."
    assert (
        said(pet(overstated=6 * KG), ledger=replace(INTACT, intact=None)).opinion == "material_misstatement"
    )


@pytest.mark.parametrize(
    ("name", "status", "opinion"),
    [
        ("model_approved", "FAILED", "review_required"),
        ("calibration_valid", "FAILED", "review_required"),
        ("calibration_valid", "REVIEW_REQUIRED", "no_material_misstatement"),
        ("lots_balance", "FAILED", "no_material_misstatement"),
    ],
)
def test_a_model_or_a_scale_that_is_not_in_order_is_to_be_reviewed(
    name: str, status: Status, opinion: Opinion
) -> None:
    assert said(pet(), rule(name, status)).opinion == opinion


@pytest.mark.parametrize("name", ["lots_balance", "machine_up", "calibration_valid"])
def test_what_another_witness_does_not_bear_out_is_to_be_reviewed_by_its_mass(name: str) -> None:
    def of(mg: int) -> Conclusion:
        figures = Figures(pet(), {}, {}, {}, {}, {}, 0, {})
        effects = dict.fromkeys(CLASSES, Figure(Mass("", 0), Co2e("", Decimal(0))))
        return conclude(
            PERIOD, INTACT, figures, effects, co2e_of, invariants=(rule("one"),), unwitnessed={name: mg}
        )

    border = sum(sums.reported for sums in pet().values()) * PERIOD.performance_materiality_ppm // 1_000_000
    assert of(border).opinion == "no_material_misstatement"
    found = of(border + 1)
    assert found.opinion == "review_required"
    assert f" {border / 1_000_000:,.3f} kg" in found.sentences[0]


def test_a_classification_error_that_leaves_the_mass_alone_counts_by_its_co2e() -> None:
    of = {
        "pet": Sums(reported=100 * KG, understated=2 * KG),
        "aluminium_cans": Sums(reported=1 * KG, overstated=2 * KG),
    }
    found = said(of)
    assert found.basis == "co2e"
    # reported 110 + 10 kg; overstated 20 kg, understated 2.2 kg
    assert (found.known_ppm, found.net_ppm) == (185_000, 148_334)
    assert "avoided CO2e is materially misstated" in found.sentences[0]
    assert found.sentences[-1].startswith("Net of each other, certain misstatements come to 14.8334 %")


def test_mass_is_the_basis_where_it_says_as_much() -> None:
    found = said(pet(overstated=1 * KG))
    assert (found.basis, found.known_ppm, found.net_ppm, found.doubt_ppm) == ("mass", 10_000, 10_000, 0)


def test_parts_are_rounded_up_never_down() -> None:
    found = said(pet(overstated=1, understated=2, in_doubt=1))
    assert (found.known_ppm, found.net_ppm, found.doubt_ppm) == (1, -1, 1)


def test_anything_is_more_than_nothing_reported() -> None:
    assert said({"pet": Sums(understated=1)}).opinion == "material_misstatement"
    assert said({}).opinion == "no_material_misstatement"


def test_a_material_without_a_factor_counts_by_its_mass() -> None:
    of = {"": Sums(reported=50 * KG, overstated=10 * KG), "pet": Sums(reported=50 * KG)}
    found = said(of)
    assert (found.opinion, found.basis, found.known_ppm) == ("material_misstatement", "mass", 100_000)


def test_sentences_name_what_was_found_and_which_rules_hold() -> None:
    found = said(
        pet(overstated=1 * KG),
        rule("one"),
        rule("two", "FAILED"),
        rule("three", "REVIEW_REQUIRED"),
        rule("mass_plausible", "FAILED", 2),
        counts={"duplicate": 1, "late": 2, "matched": 9},
    )
    assert found.sentences == (
        AT_MOST.format("1 %"),
        "100.000 kg were reported; the evidence supports 99.000 kg, 1.000 kg less.",
        FOUND,
        "1 of 4 rules hold; not: Title of two; Title of mass_plausible; to be reviewed: Title of three.",
        "Net of each other, certain misstatements come to 1 % of the reported mass.",
    )


def test_a_clean_report_says_so_shortly() -> None:
    assert said(pet()).sentences == (
        AT_MOST.format("0 %"),
        "100.000 kg were reported; the evidence supports 100.000 kg, as much.",
        "Every deposit is matched by exactly one prediction of its material.",
        "1 of 1 rules hold.",
    )


def test_other_materialities_move_the_borders() -> None:
    of = pet(overstated=6 * KG)
    assert (
        said(of, materiality_ppm=60_000, performance_materiality_ppm=60_000).opinion
        == "no_material_misstatement"
    )
    assert said(of, materiality_ppm=59_999, performance_materiality_ppm=1).opinion == "material_misstatement"
