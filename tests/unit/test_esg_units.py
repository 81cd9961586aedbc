"""A unit can't be mistaken: not by arithmetic, not by a number without a unit, not by a float."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from decimal import Decimal, getcontext, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from mypy import api as mypy_api

from audit.errors import AuditError
from audit.esg.errors import EsgError, NotAQuantity, OutOfRange
from audit.esg.units import (
    EXACT,
    MAX_FACTOR_KG_PER_TONNE,
    MAX_MASS_MG,
    AvoidedCo2e,
    AvoidedFactor,
    EmissionFactor,
    Mass,
    exact_sum,
)

ROOT = Path(__file__).resolve().parents[2]


def warm(value: str) -> EmissionFactor:
    return EmissionFactor(Decimal(value), "MTCO2e/short_ton")


PET = AvoidedFactor(warm("0.020"), warm("-1.036"))
CANS = AvoidedFactor(warm("0.020"), warm("-9.127"))

# By hand, with `bc -l`: 1056 / .90718474 = 1164.04074433615..., 9147 / .90718474 = 10082.84156102537...


@pytest.mark.parametrize(
    ("factor", "rounded", "used"),
    [(PET, 1164, "1164.040744336"), (CANS, 10083, "10082.841561025")],
)
def test_a_factor_per_short_ton_is_one_per_tonne_as_worked_out_by_hand(
    factor: AvoidedFactor, rounded: int, used: str
) -> None:
    assert round(factor.exact_kg_per_tonne) == rounded
    assert str(factor.kg_per_tonne) == used


def test_a_short_ton_taken_for_a_tonne_would_be_9_3_percent_less() -> None:
    mistaken = AvoidedFactor(
        EmissionFactor(Decimal(20), "kgCO2e/tonne"), EmissionFactor(Decimal(-1036), "kgCO2e/tonne")
    )
    assert 1 - mistaken.exact_kg_per_tonne / PET.exact_kg_per_tonne == 1 - Fraction("0.90718474")


def test_a_kilogram_per_tonne_is_what_it_says() -> None:
    assert EmissionFactor(Decimal("1164.49"), "kgCO2e/tonne").kg_per_tonne == Fraction("1164.49")


def test_a_tonne_of_pet_avoids_the_factor_in_kilograms() -> None:
    assert PET.co2e(Mass.of(Decimal(1), "tonne")).g == PET.kg_per_tonne * 1000


def test_what_is_shown_multiplied_is_what_is_shown() -> None:
    """An auditor with the mass and the factor of the report gets its CO2e, to the last digit."""
    grams = PET.co2e(Mass(mg=22_000)).g
    assert grams == EXACT.multiply(EXACT.multiply(Decimal(22_000), PET.kg_per_tonne), Decimal("0.000001"))


def test_a_factor_is_rounded_to_the_nearest_and_alike_both_ways() -> None:
    nothing = EmissionFactor(Decimal(0), "kgCO2e/tonne")
    one = EmissionFactor(Decimal("0.000000001"), "MTCO2e/short_ton")  # 0.0000011023..., so 1102 of 1e-9
    assert AvoidedFactor(one, nothing).ug_per_tonne == 1102
    assert AvoidedFactor(nothing, one).ug_per_tonne == -1102


@pytest.mark.parametrize(
    ("value", "unit", "mg"),
    [
        ("22.5", "g", 22_500),
        ("1", "kg", 1_000_000),
        ("0.001", "tonne", 1_000_000),
        ("1", "short_ton", 907_184_740),
        ("7", "mg", 7),
    ],
)
def test_a_mass_is_made_of_a_number_and_its_unit(value: str, unit: Any, mg: int) -> None:
    assert Mass.of(Decimal(value), unit) == Mass(mg=mg)


def test_a_mass_that_is_no_whole_milligram_is_refused() -> None:
    with pytest.raises(OutOfRange, match=r"whole number of milligrams, got 0\.0001 g"):
        Mass.of(Decimal("0.0001"), "g")


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: Mass(mg=22.5),  # type: ignore[arg-type]
        lambda: Mass(mg=Decimal(22)),  # type: ignore[arg-type]
        lambda: Mass(mg=True),
        lambda: Mass(22),  # type: ignore[call-arg]
        lambda: Mass.of(22.5, "g"),  # type: ignore[arg-type]
        lambda: Mass.of(Decimal(1), "lb"),  # type: ignore[arg-type]
        lambda: Mass.of(Decimal(1), []),  # type: ignore[arg-type]
        lambda: AvoidedCo2e(fg=1.0),  # type: ignore[arg-type]
        lambda: EmissionFactor(1.056, "MTCO2e/short_ton"),  # type: ignore[arg-type]
        lambda: EmissionFactor("1.056", "MTCO2e/short_ton"),  # type: ignore[arg-type]
        lambda: EmissionFactor(Decimal(1), "MTCO2e/tonne"),  # type: ignore[arg-type]
        lambda: EmissionFactor(Decimal(1)),  # type: ignore[call-arg]
        lambda: AvoidedFactor(Decimal(1), Decimal(2)),  # type: ignore[arg-type]
        lambda: PET.co2e(22_000),  # type: ignore[arg-type]
        lambda: PET.co2e(PET.co2e(Mass(mg=1))),  # type: ignore[arg-type]
        lambda: Mass(mg=1) + 1,  # type: ignore[operator]
        lambda: 1 + Mass(mg=1),  # type: ignore[operator]
        lambda: Mass(mg=1) + AvoidedCo2e(fg=1),  # type: ignore[operator]
        lambda: Mass(mg=1) - AvoidedCo2e(fg=1),  # type: ignore[operator]
        lambda: AvoidedCo2e(fg=1) + Mass(mg=1),  # type: ignore[operator]
        lambda: AvoidedCo2e(fg=1) - Mass(mg=1),  # type: ignore[operator]
        lambda: Mass(mg=1) * 2.0,  # type: ignore[operator]
        lambda: Mass(mg=1) < AvoidedCo2e(fg=1),  # type: ignore[operator]
        lambda: Mass.total([Mass(mg=1), AvoidedCo2e(fg=1)]),  # type: ignore[list-item]
        lambda: AvoidedCo2e.total([Mass(mg=1)]),  # type: ignore[list-item]
    ],
)
def test_what_is_of_another_kind_is_refused(attempt: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        attempt()


def test_the_refusal_is_an_error_of_the_package() -> None:
    with pytest.raises(NotAQuantity, match="expected Mass, got AvoidedCo2e") as refused:
        _ = Mass(mg=1) + AvoidedCo2e(fg=1)  # type: ignore[operator]
    assert isinstance(refused.value, EsgError)
    assert isinstance(refused.value, AuditError)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: Mass(mg=MAX_MASS_MG + 1),
        lambda: Mass(mg=-MAX_MASS_MG) - Mass(mg=1),
        lambda: Mass(mg=1 << 100_000),
        lambda: Mass.of(Decimal("1E+9999"), "tonne"),
        lambda: Mass.of(Decimal("1E-9999"), "tonne"),
        lambda: Mass.of(Decimal("NaN"), "tonne"),
        lambda: EmissionFactor(Decimal("Infinity"), "kgCO2e/tonne"),
        lambda: EmissionFactor(Decimal(MAX_FACTOR_KG_PER_TONNE + 1), "kgCO2e/tonne"),
        lambda: EmissionFactor(Decimal("1164.0"), "MTCO2e/short_ton"),
        lambda: EmissionFactor(Decimal("0.0000000001"), "kgCO2e/tonne"),
        lambda: EmissionFactor(Decimal("1E+3"), "kgCO2e/tonne"),
    ],
)
def test_what_can_not_be_is_refused(attempt: Callable[[], object]) -> None:
    with pytest.raises(OutOfRange):
        attempt()


def test_the_callers_decimal_context_has_no_say() -> None:
    expected = PET.co2e(Mass(mg=123_456_789_012_345)).g, PET.kg_per_tonne, Mass(mg=123_456_789).tonnes
    with localcontext() as context:
        context.prec = 3
        assert (PET.co2e(Mass(mg=123_456_789_012_345)).g, PET.kg_per_tonne, Mass(mg=123_456_789).tonnes) == (
            expected
        )


def test_an_exact_sum_keeps_what_python_would_round_away() -> None:
    parts = [Decimal("1e20"), Decimal("1e-15")]
    assert sum(parts) == Decimal("1e20"), getcontext()
    assert str(exact_sum(parts)) == "100000000000000000000.000000000000001"


def test_mypy_refuses_what_the_running_program_refuses(tmp_path: Path) -> None:
    module = tmp_path / "mistakes.py"
    mistakes = [
        "Mass(mg=1) + AvoidedCo2e(fg=1)",
        "AvoidedCo2e(fg=1) - Mass(mg=1)",
        "Mass(mg=1) + 1",
        "Mass(mg=1.5)",
        "Mass(1)",
        "EmissionFactor(Decimal(1))",
        "EmissionFactor(1.0, 'kgCO2e/tonne')",
        "EmissionFactor(Decimal(1), 'MTCO2e/tonne')",
        "Mass.of(Decimal(1), 'ton')",
    ]
    head = textwrap.dedent(
        """\
        from decimal import Decimal
        from audit.esg.units import AvoidedCo2e, EmissionFactor, Mass
        Mass(mg=1) + Mass(mg=2)
        """
    )
    module.write_text(head + "\n".join(mistakes) + "\n")
    said, trouble, _ = mypy_api.run(
        [
            *("--strict", "--no-error-summary", "--config-file", str(ROOT / "pyproject.toml")),
            *("--cache-dir", str(tmp_path / "cache"), str(module)),
        ]
    )
    assert not trouble
    assert {int(line.split(":")[1]) for line in said.splitlines() if ": error: " in line} == set(
        range(4, 4 + len(mistakes))
    ), said
