"""What compensating rows do to the figures: they put an error right, and support nothing by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from audit.invariants.rule import Counted
from audit.reconcile.figures import Figures, figures
from audit.reconcile.masses import ItemMass, ItemMasses
from audit.reconcile.results import Results

MASSES = ItemMasses((ItemMass("pet", 8_000, 60_000), ItemMass("glass", 120_000, 620_000)), "")


def found(corrections: list[tuple[str, int]], **deposit: Any) -> Figures:
    """The figures of one deposit of 20 g of PET, and of its corrections (material, milligrams)."""
    row: dict[str, Any] = {
        "class": "matched",
        "declared": "pet",
        "accepted": "pet",
        "claimed": 1,
        "mass_problem": "",
        "mass_mg": 20_000,
        "item_count": 1,
    } | deposit
    exception = row["class"] != "matched" or row["mass_problem"]
    return figures(
        Results(
            counted=Counted(deposits=1),
            claims=[
                {
                    "site_id": "s",
                    "machine_id": "m",
                    "material": "pet",
                    "deposits": 1,
                    "items": 1,
                    "mass_mg": row["mass_mg"],
                    "squares": row["mass_mg"] ** 2,
                }
            ],
            exception_sums=[row | {"deposits": 1, "predictions": 1, "records": 1}] if exception else [],
            gap_sums=[],
            presence=[],
            lots=[],
            calibrations={},
            corrections=[
                row
                | {
                    "corrects_machine_id": "m",
                    "corrects_seq": 1,
                    "deposit_seq": 1,
                    "same_row": 1,
                    "reason": "r",
                    "actor": "a",
                    "material": material,
                    "mass_delta_mg": mg,
                }
                for material, mg in corrections
            ],
            exceptions=[],
            exception_count=0,
            gaps=[],
            answers={},
            evidence=(),
        ),
        MASSES,
        lambda material: material in {"pet", "glass"},
    )


@pytest.mark.parametrize(
    ("deposit", "corrections", "supported"),
    [
        ({}, [], {"pet": 20_000}),
        ({}, [("pet", -5_000)], {"pet": 15_000}),
        ({}, [("pet", 30_000)], {"pet": 20_000}),
        ({}, [("pet", -30_000)], {"pet": 0}),
        ({}, [("glass", 500_000)], {"pet": 20_000, "glass": 0}),
        ({"class": "duplicate"}, [("pet", -20_000)], {"pet": 0}),
        ({"class": "duplicate"}, [("pet", -5_000)], {"pet": 0}),
        ({"class": "duplicate"}, [("pet", 5_000)], {"pet": 0}),
        ({"class": "missing_prediction"}, [("pet", 5_000)], {"pet": 0}),
        ({"class": "material_mismatch", "accepted": "glass"}, [], {"pet": 0, "glass": 20_000}),
        (
            {"class": "material_mismatch", "accepted": "glass"},
            [("pet", -20_000), ("glass", 20_000)],
            {"pet": 0, "glass": 20_000},
        ),
        (
            {"class": "material_mismatch", "accepted": "glass"},
            [("pet", -20_000), ("glass", 70_000)],
            {"pet": 0, "glass": 20_000},
        ),
        ({"mass_problem": "implausible", "mass_mg": 900_000}, [], {"pet": 0}),
        ({"mass_problem": "implausible", "mass_mg": 900_000}, [("pet", -870_000)], {"pet": 30_000}),
        ({"mass_problem": "implausible", "mass_mg": 900_000}, [("pet", -100_000)], {"pet": 0}),
    ],
)
def test_a_correction_never_raises_what_the_evidence_supports(
    deposit: dict[str, Any], corrections: list[tuple[str, int]], supported: dict[str, int]
) -> None:
    result = found(corrections, **deposit)
    assert {material: sums.supported for material, sums in result.by_material.items()} == supported
    for sums in result.by_material.values():
        assert min(sums.overstated, sums.understated, sums.in_doubt) >= 0
