"""A restatement says what each cause moved; what is no report of the same thing is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from audit.esg.errors import NotRestatable
from audit.esg.restatement import CAUSES, Stated, restate
from audit.reporting.model import Co2e, Factor, FactorSet, Figure, Mass, MaterialLine, Report, Restatement

DIGEST = "ab" * 32
OLD = {"pet": "1000", "glass": "300"}
NEW = {"pet": "1164.040744336", "glass": "300"}


@dataclass(frozen=True, slots=True)
class Stating:
    """The parts of a report that a restatement needs."""

    factor_set: FactorSet
    by_material: tuple[MaterialLine, ...]
    operator: str = "Acme"
    boundary: str = "deposits of consumers"
    period_from: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    period_to: datetime = datetime(2026, 2, 1, tzinfo=UTC)
    sites: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()


def a_report_can_be_restated(report: Report) -> Stated:
    """Checked by mypy: what a restatement needs is in every report."""
    return report


def factor_set(factors: Mapping[str, str]) -> FactorSet:
    return FactorSet(
        *("warm", "1" if factors is OLD else "2", "AR4", "d" * 64, "2019-01-01", "open"),
        tuple(
            Factor(name, "recycling", "", "landfill", "", "kgCO2e/tonne", Decimal(value), "yes", "")
            for name, value in factors.items()
        ),
    )


def line(material: str, reported: int, corrections: int, supported: int, factor: str | None) -> MaterialLine:
    def figure(mg: int) -> Figure:
        grams = None if factor is None else Decimal(mg) * Decimal(factor) / 1_000_000
        return Figure(Mass("", mg), Co2e("", grams))

    nothing = figure(0)
    return MaterialLine(
        *(material, 1, figure(reported), figure(corrections), nothing, nothing, nothing, figure(supported)),
        *(nothing, 0, 0),
    )


def report(factors: Mapping[str, str], masses: Mapping[str, tuple[int, int, int]], **other: Any) -> Stating:
    lines = tuple(line(name, *three, factors.get(name)) for name, three in masses.items())
    return Stating(factor_set(factors), lines, **other)


def told(restatement: Restatement) -> list[tuple[int, Decimal | None]]:
    assert [one.cause for one in restatement.lines] == list(CAUSES)
    return [(one.mass_mg, one.co2e_g) for one in restatement.lines]


def test_nothing_changed() -> None:
    one = report(OLD, {"pet": (5_000_000, -1_000_000, 4_000_000)})
    restatement = restate(one, DIGEST, one)
    assert told(restatement) == [(0, Decimal(0))] * 4
    assert restatement.earlier_digest == DIGEST
    assert restatement.earlier_factor_set == f"warm 1 (sha256 {'d' * 64})"


def test_other_factors_move_co2e_and_no_mass() -> None:
    masses = {"pet": (10_000_000, 0, 10_000_000)}
    assert told(restate(report(OLD, masses), DIGEST, report(NEW, masses))) == [
        (0, Decimal("1640.40744336")),  # 10 kg by 1164.040744336 - 1000
        *[(0, Decimal(0))] * 3,
    ]


def test_each_cause_is_told_apart() -> None:
    """By hand.  Old: 10 kg.  New: 3 kg more reported, 1 kg corrected away, 2 kg now in doubt: 10 kg still."""
    earlier = report(OLD, {"pet": (10_000_000, 0, 10_000_000), "glass": (1_000_000, 0, 1_000_000)})
    new = report(NEW, {"pet": (13_000_000, -1_000_000, 10_000_000), "glass": (1_000_000, 0, 1_000_000)})
    assert told(restate(earlier, DIGEST, new)) == [
        (0, Decimal("1640.40744336")),
        (3_000_000, Decimal("3492.122233008")),
        (-1_000_000, Decimal("-1164.040744336")),
        (-2_000_000, Decimal("-2328.081488672")),
    ]


def test_a_material_that_is_new_is_additional_data() -> None:
    earlier = report(OLD, {"pet": (1_000_000, 0, 1_000_000)})
    new = report(OLD, {"pet": (1_000_000, 0, 1_000_000), "glass": (2_000_000, 0, 2_000_000)})
    assert told(restate(earlier, DIGEST, new))[1] == (2_000_000, Decimal(600))


def test_a_material_that_is_gone_is_weighed_by_the_factor_that_it_had() -> None:
    earlier = report(OLD, {"pet": (1_000_000, 0, 1_000_000), "glass": (2_000_000, 0, 2_000_000)})
    new = report({"pet": "1000"}, {"pet": (1_000_000, 0, 1_000_000)})
    lines = told(restate(earlier, DIGEST, new))
    assert lines[:2] == [(0, Decimal(0)), (-2_000_000, Decimal(-600))]


def test_co2e_that_one_report_does_not_state_has_no_difference() -> None:
    earlier = report(OLD, {"pet": (1_000_000, 0, 1_000_000), "paper": (5, 0, 5)})
    new = report(OLD, {"pet": (2_000_000, 0, 2_000_000), "paper": (5, 0, 5)})
    assert told(restate(earlier, DIGEST, new)) == [(0, None), (1_000_000, None), (0, None), (0, None)]


def test_a_material_without_a_factor_and_without_mass_does_no_harm() -> None:
    earlier = report(OLD, {"pet": (1_000_000, 0, 1_000_000), "paper": (0, 0, 0)})
    assert told(restate(earlier, DIGEST, earlier)) == [(0, Decimal(0))] * 4


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"period_to": datetime(2026, 3, 1, tzinfo=UTC)},
            "another period to: expected 2026-02-01T.*, got 2026-03",
        ),
        ({"period_from": datetime(2025, 1, 1, tzinfo=UTC)}, "another period from"),
        ({"operator": "Other"}, "another operator: expected 'Acme', got 'Other'"),
        ({"boundary": "own waste"}, "another boundary"),
        ({"sites": ("oslo",)}, "another sites: expected all, got oslo"),
        ({"machines": ("m1",)}, "another machines"),
        ({"materials": ("pet",)}, "another materials"),
    ],
)
def test_a_report_of_another_period_or_scope_is_refused(other: dict[str, Any], said: str) -> None:
    masses = {"pet": (1, 0, 1)}
    with pytest.raises(NotRestatable, match=said):
        restate(report(OLD, masses, **other), DIGEST, report(OLD, masses))


@pytest.mark.parametrize("digest", ["", "ab" * 31, "AB" * 32, "sha256:" + "ab" * 32])
def test_an_earlier_report_without_its_digest_is_refused(digest: str) -> None:
    one = report(OLD, {})
    with pytest.raises(NotRestatable, match="expected the earlier report's SHA-256"):
        restate(one, digest, one)


def test_a_report_with_a_material_twice_is_refused() -> None:
    one = report(OLD, {"pet": (1, 0, 1)})
    twice = replace(one, by_material=one.by_material * 2)
    for earlier, new, which in (twice, one, "earlier"), (one, twice, "new"):
        with pytest.raises(NotRestatable, match=f"the {which} report has a material twice"):
            restate(earlier, DIGEST, new)


def test_a_new_report_whose_co2e_is_not_mass_times_factor_is_refused() -> None:
    one = report(OLD, {"pet": (1_000_000, 0, 1_000_000)})
    wrong = replace(one, factor_set=factor_set(NEW))
    with pytest.raises(NotRestatable, match="states 1000 g CO2e for 1000000 mg of 'pet', which is not"):
        restate(one, DIGEST, wrong)


def test_an_earlier_report_that_rounded_otherwise_is_restated_as_it_was_stated() -> None:
    one = report(OLD, {"pet": (1_000_000, 0, 1_000_000)})
    stated = replace(one.by_material[0], supported=Figure(Mass("", 1_000_000), Co2e("", Decimal("999.9"))))
    lines = told(restate(replace(one, by_material=(stated,)), DIGEST, one))
    assert lines[0] == (0, Decimal("0.1"))


def test_figures_that_no_report_can_have_are_refused() -> None:
    endless = report({"pet": "0." + "1" * 250}, {"pet": (10**9, 0, 10**9)})
    with pytest.raises(NotRestatable, match="at most 200 digits"):
        restate(endless, DIGEST, endless)
