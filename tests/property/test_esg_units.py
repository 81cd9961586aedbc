"""Whatever the masses and factors: figures of parts sum to the whole, and nothing depends on the order."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.esg.errors import EsgError, NotAQuantity
from audit.esg.units import (
    EXACT,
    AvoidedCo2e,
    AvoidedFactor,
    EmissionFactor,
    FactorUnit,
    Mass,
    exact_sum,
    scaled,
)

MG = st.integers(-(10**17), 10**17)
MASSES = MG.map(lambda mg: Mass(mg=mg))
UNITS: st.SearchStrategy[FactorUnit] = st.sampled_from(["MTCO2e/short_ton", "kgCO2e/tonne"])
VALUES = st.integers(-(10**10), 10**10).map(lambda whole: scaled(whole, 9))
FACTORS = st.builds(EmissionFactor, VALUES, UNITS)
AVOIDED = st.builds(AvoidedFactor, FACTORS, FACTORS)
JUNK = st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=3), st.fractions(), st.decimals())


@given(AVOIDED, st.lists(MASSES, max_size=20))
def test_the_parts_sum_to_the_whole(factor: AvoidedFactor, parts: list[Mass]) -> None:
    whole = factor.co2e(Mass.total(parts))
    assert AvoidedCo2e.total(factor.co2e(part) for part in parts) == whole
    assert exact_sum(factor.co2e(part).g for part in parts) == whole.g


@given(AVOIDED, MASSES, MASSES)
def test_co2e_is_linear_in_the_mass(factor: AvoidedFactor, one: Mass, other: Mass) -> None:
    assert factor.co2e(one + other) == factor.co2e(one) + factor.co2e(other)
    assert factor.co2e(one - other) == factor.co2e(one) - factor.co2e(other)
    assert factor.co2e(-one) == -factor.co2e(one)


@given(AVOIDED, MASSES)
def test_the_shown_factor_times_the_shown_mass_is_the_shown_figure(factor: AvoidedFactor, mass: Mass) -> None:
    by_hand = EXACT.multiply(EXACT.multiply(Decimal(mass.mg), factor.kg_per_tonne), Decimal("0.000001"))
    assert factor.co2e(mass).g == by_hand


@given(AVOIDED)
def test_the_one_rounding_is_within_half_a_microgram_per_tonne(factor: AvoidedFactor) -> None:
    off = abs(Fraction(factor.kg_per_tonne) - factor.exact_kg_per_tonne)
    assert off <= Fraction(1, 2 * 10**9)


@given(FACTORS, FACTORS)
def test_what_one_way_avoids_the_other_way_round_causes(one: EmissionFactor, other: EmissionFactor) -> None:
    assert AvoidedFactor(one, other).ug_per_tonne == -AvoidedFactor(other, one).ug_per_tonne
    assert AvoidedFactor(one, one).ug_per_tonne == 0


@given(MASSES)
def test_a_mass_comes_back_from_its_tonnes(mass: Mass) -> None:
    assert Mass.of(mass.tonnes, "tonne") == mass


@given(FACTORS)
def test_a_factor_comes_back_from_its_text(factor: EmissionFactor) -> None:
    assert EmissionFactor(Decimal(factor.text), factor.unit) == factor


@given(JUNK)
def test_only_an_int_is_milligrams(junk: object) -> None:
    with pytest.raises(NotAQuantity):
        Mass(mg=junk)  # type: ignore[arg-type]
    with pytest.raises(NotAQuantity):
        AvoidedCo2e(fg=junk)  # type: ignore[arg-type]


@given(st.one_of(JUNK, st.integers()), st.one_of(UNITS, JUNK))
def test_a_factor_is_made_or_refused_by_an_error_of_the_package(value: object, unit: object) -> None:
    try:
        factor = EmissionFactor(value, unit)  # type: ignore[arg-type]
    except EsgError:
        return
    assert type(factor.value) is Decimal
    assert round(factor.kg_per_tonne) == pytest.approx(float(factor.kg_per_tonne), abs=1)


@given(
    st.one_of(JUNK, st.integers()), st.one_of(st.sampled_from(["mg", "g", "kg", "tonne", "short_ton"]), JUNK)
)
def test_a_mass_is_made_or_refused_by_an_error_of_the_package(value: object, unit: object) -> None:
    try:
        mass = Mass.of(value, unit)  # type: ignore[arg-type]
    except EsgError:
        return
    assert type(mass.mg) is int
