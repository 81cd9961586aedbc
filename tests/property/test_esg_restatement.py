"""Whatever changed between two reports: the lines of the restatement sum to the difference, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from audit.esg.restatement import restate
from audit.esg.units import EXACT, exact_sum, scaled
from audit.reporting.model import Co2e, Factor, FactorSet, Figure, Mass, MaterialLine

MG = st.integers(-(10**15), 10**15)
FACTORS = st.dictionaries(
    st.sampled_from(["pet", "glass", "hdpe"]), st.integers(-(10**14), 10**14).map(lambda n: scaled(n, 9))
)


@dataclass(frozen=True, slots=True)
class Stating:
    factor_set: FactorSet
    by_material: tuple[MaterialLine, ...]
    operator: str = "Acme"
    boundary: str = "deposits of consumers"
    period_from: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    period_to: datetime = datetime(2026, 2, 1, tzinfo=UTC)
    sites: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()


@st.composite
def reports(draw: st.DrawFn) -> Stating:
    factors = draw(FACTORS)

    def figure(material: str, mg: int) -> Figure:
        factor = factors.get(material)
        grams = EXACT.multiply(Decimal(mg), factor).scaleb(-6, EXACT) if factor is not None else None
        return Figure(Mass("", mg), Co2e("", grams))

    def line(material: str) -> MaterialLine:
        reported, corrections, supported = (figure(material, draw(MG)) for _ in range(3))
        nothing = figure(material, 0)
        return MaterialLine(
            *(material, 1, reported, corrections, nothing, nothing, nothing, supported, nothing, 0, 0)
        )

    materials = draw(st.lists(st.sampled_from(["pet", "glass", "hdpe"]), unique=True))
    named = tuple(
        Factor(name, "recycling", "", "landfill", "", "kgCO2e/tonne", value, "yes", "")
        for name, value in factors.items()
    )
    return Stating(
        FactorSet("own", "1", "AR5", "d" * 64, "2019-01-01", "open", named), tuple(map(line, materials))
    )


def supported(report: Stating) -> tuple[int, Decimal | None]:
    grams = [line.supported.co2e.g for line in report.by_material]
    stated = [g for g in grams if g is not None]
    return (
        sum(line.supported.mass.mg for line in report.by_material),
        exact_sum(stated) if len(stated) == len(grams) else None,
    )


@given(reports(), reports())
def test_the_lines_sum_to_the_difference(earlier: Stating, new: Stating) -> None:
    lines = restate(earlier, "ab" * 32, new).lines
    (was_mg, was_g), (now_mg, now_g) = supported(earlier), supported(new)
    assert sum(line.mass_mg for line in lines) == now_mg - was_mg
    grams = [line.co2e_g for line in lines]
    stated = [g for g in grams if g is not None]
    assert len(stated) in {0, len(grams)}
    if was_g is not None and now_g is not None:
        assert len(stated) == len(grams)
        assert exact_sum(stated) == EXACT.subtract(now_g, was_g)


@given(reports(), reports())
def test_there_and_back_moves_as_much_mass(one: Stating, other: Stating) -> None:
    there, back = restate(one, "ab" * 32, other).lines, restate(other, "ab" * 32, one).lines
    assert [line.mass_mg for line in there] == [-line.mass_mg for line in back]
