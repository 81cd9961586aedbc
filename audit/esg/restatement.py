"""The same period reported again: what each cause moved, to the milligram and the last digit of a gram.

A period locks its factor set and its evidence, so another figure for it is a restatement, never a correction
in silence.  The difference of the supported figures is split in this order, material by material:

1. other factors: the old masses by the new factors, less what the earlier report stated; no mass moves;
2. late or additional deposits: what is reported more, by the new factors;
3. corrections: what compensating rows change more, by the new factors;
4. evidence: all other change of what is supported: predictions that came late, duplicates that were found.

The four sum to the difference, because the new report's CO2e is its mass times its factor, which is checked.
The new factors weigh the change of masses by our choice: the new report is what stays.  A material
that the new set has no factor for is weighed by the old one.

Where the CO2e of a material is not stated in one of the two, the difference in CO2e can't be stated either:
the lines say None, and their masses hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, DecimalException
from typing import Final, Protocol

from audit.esg.errors import NotRestatable
from audit.esg.units import EXACT, exact_sum
from audit.reporting.model import FactorSet, Figure, MaterialLine, Restatement, RestatementLine

FACTORS: Final = "other factors"
DEPOSITS: Final = "late or additional deposits"
CORRECTIONS: Final = "corrections"
EVIDENCE: Final = "evidence for or against deposits"
CAUSES: Final = (FACTORS, DEPOSITS, CORRECTIONS, EVIDENCE)
"""In the order of a restatement's lines; all are always there."""

_SCOPE: Final = ("operator", "boundary", "period_from", "period_to", "sites", "machines", "materials")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_G_PER_MG_AND_KG_PER_T: Final = Decimal("0.000001")


class Stated(Protocol):
    """What a restatement needs of a report; a ``Report`` is one."""

    @property
    def operator(self) -> str:
        """Who reports."""

    @property
    def boundary(self) -> str:
        """Whose waste it is."""

    @property
    def period_from(self) -> datetime:
        """The beginning."""

    @property
    def period_to(self) -> datetime:
        """The end."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Those that were asked for."""

    @property
    def machines(self) -> tuple[str, ...]:
        """Those that were asked for."""

    @property
    def materials(self) -> tuple[str, ...]:
        """Those that were asked for."""

    @property
    def factor_set(self) -> FactorSet:
        """What weighed the masses."""

    @property
    def by_material(self) -> tuple[MaterialLine, ...]:
        """The central table."""


def restate(earlier: Stated, earlier_digest: str, new: Stated) -> Restatement:
    """What changed between an earlier report, as it was parsed, and a new one of the same period and scope.

    ``earlier_digest``: SHA-256 of the earlier report's canonical JSON, in hexadecimal.

    Raises:
        NotRestatable: another period or scope; no digest; or a report that contradicts itself: a material
            twice, or CO2e in the new one that is not its mass times its factor.
    """
    if not _DIGEST.fullmatch(earlier_digest):
        raise NotRestatable(
            f"expected the earlier report's SHA-256 in hexadecimal, got {earlier_digest[:80]!r}"
        )
    for name in _SCOPE:
        was, now = getattr(earlier, name), getattr(new, name)
        if was != now:
            raise NotRestatable(
                f"the earlier report is of another {name.replace('_', ' ')}: expected {_said(now)}, "
                f"got {_said(was)}; only a report of the same period and scope is restated"
            )
    before, after = _lines(earlier, "earlier"), _lines(new, "new")
    try:
        changes = [
            _change(material, before.get(material), after.get(material), _factor(material, new, earlier))
            for material in sorted(before.keys() | after.keys())
        ]
        lines = tuple(_line(index, changes) for index in range(len(CAUSES)))
    except DecimalException as error:
        raise NotRestatable(
            f"expected finite figures of at most {EXACT.prec} digits in both reports, and there are others"
        ) from error
    was = earlier.factor_set
    return Restatement(earlier_digest, f"{was.name} {was.version} (sha256 {was.digest})", lines)


@dataclass(frozen=True, slots=True)
class _Change:
    """Of one material, by cause in the order of ``CAUSES``; no grams where they can't be stated."""

    mg: tuple[int, int, int, int]
    g: tuple[Decimal, Decimal, Decimal, Decimal] | None


def _lines(report: Stated, which: str) -> dict[str, MaterialLine]:
    lines = {line.material: line for line in report.by_material}
    if len(lines) < len(report.by_material):
        raise NotRestatable(f"the {which} report has a material twice in its table by material")
    return lines


def _factor(material: str, *reports: Stated) -> Decimal | None:
    """Kg CO2e per tonne, of the first report that has one."""
    for report in reports:
        for factor in report.factor_set.factors:
            if factor.material == material:
                return factor.avoided_kg_per_t
    return None


def _change(
    material: str, before: MaterialLine | None, after: MaterialLine | None, factor: Decimal | None
) -> _Change:
    deposits = _mg(after, "reported") - _mg(before, "reported")
    corrections = _mg(after, "corrections") - _mg(before, "corrections")
    was, now = _mg(before, "supported"), _mg(after, "supported")
    evidence = now - was - deposits - corrections
    mg = 0, deposits, corrections, evidence
    if not any((was, now, *mg)):
        return _Change(mg, (Decimal(0),) * 4)
    was_g, now_g = _g(before), _g(after)
    if factor is None or was_g is None or now_g is None:
        return _Change(mg, None)
    if now_g != _avoided_g(factor, now):
        raise NotRestatable(
            f"the new report states {now_g} g CO2e for {now} mg of {material!r}, which is not the mass times "
            f"its factor, {factor} kg/t"
        )
    by_factor = EXACT.subtract(_avoided_g(factor, was), was_g)
    return _Change(
        mg,
        (
            by_factor,
            _avoided_g(factor, deposits),
            _avoided_g(factor, corrections),
            _avoided_g(factor, evidence),
        ),
    )


def _line(index: int, changes: Iterable[_Change]) -> RestatementLine:
    grams: list[Decimal] | None = []
    mg = 0
    for change in changes:
        mg += change.mg[index]
        if change.g is None:
            grams = None
        elif grams is not None:
            grams.append(change.g[index])
    return RestatementLine(CAUSES[index], mg, None if grams is None else exact_sum(grams))


def _mg(line: MaterialLine | None, name: str) -> int:
    if line is None:
        return 0
    figure: Figure = getattr(line, name)
    return figure.mass.mg


def _g(line: MaterialLine | None) -> Decimal | None:
    """The supported CO2e; of no mass, none."""
    if line is None:
        return Decimal(0)
    grams = line.supported.co2e.g
    return Decimal(0) if grams is None and line.supported.mass.mg == 0 else grams


def _avoided_g(kg_per_t: Decimal, mg: int) -> Decimal:
    return EXACT.multiply(EXACT.multiply(Decimal(mg), kg_per_t), _G_PER_MG_AND_KG_PER_T)


def _said(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return ", ".join(map(str, value))[:120] or "all"
    return repr(value)[:120]
