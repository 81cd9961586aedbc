"""The opinion: what was found, against materiality.

Misstatements count by size, singly and added up.  Over- and understatement are added gross, since they may
hide each other; the net is shown beside it.  Both mass and CO2e are tried, and the worse is the basis:
classification errors leave the mass alone and move the CO2e.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final, Literal

from audit.esg.units import EXACT, exact_sum
from audit.invariants.rule import plural
from audit.reconcile.figures import Figures, Sums
from audit.reconcile.parameters import Parameters, percent
from audit.reporting.model import Conclusion, Figure, InvariantResult, LedgerState, Opinion

_WORDS = {
    "duplicate": ("transaction recorded again", "transactions recorded again"),
    "conflict": ("contradicting record", "contradicting records"),
    "material_mismatch": ("deposit declared as another material", "deposits declared as another material"),
    "missing_prediction": ("deposit without a prediction", "deposits without a prediction"),
    "low_confidence": ("unsure deposit", "unsure deposits"),
    "orphan_prediction": ("prediction without a deposit", "predictions without a deposit"),
    "lost": ("lost deposit", "lost deposits"),
    "late": ("late deposit", "late deposits"),
    "out_of_period": ("deposit across the border", "deposits across the border"),
}

_IN_ORDER: Final = frozenset({"model_approved", "calibration_valid"})
_UNWITNESSED: Final = {
    "lots_balance": "lots weigh {} more or less than was recorded into them",
    "machine_up": "{} were recorded while machines gave no sign of life",
    "calibration_valid": "{} were weighed by machines without a valid calibration throughout",
}
"""Rules with another witness than deposits and predictions, and what to say of mass it doesn't confirm."""


@dataclass(frozen=True, slots=True)
class _Measures:
    """Certain misstatements (gross and net), doubt and estimate: ppm of the reported figure, rounded up."""

    known: int
    net: int
    doubt: int
    estimated: int

    @property
    def in_all(self) -> int:
        """What could be wrong in all."""
        return self.known + self.doubt + self.estimated


def conclude(
    parameters: Parameters,
    ledger: LedgerState,
    figures: Figures,
    effects: Mapping[str, Figure],
    co2e_of: Callable[[Mapping[str, int]], Decimal | None],
    *,
    invariants: tuple[InvariantResult, ...],
    unwitnessed: Mapping[str, int] = MappingProxyType({}),
) -> Conclusion:
    """What the figures amount to.

    ``unwitnessed``: masses (mg) that deposits and predictions support and another witness does not, by rule.
    """

    def co2e_mg(mass: Mapping[str, int]) -> list[Decimal]:
        """Of each material, milligrams; 0 for one without a factor."""
        return [EXACT.scaleb(co2e_of({material: mg}) or Decimal(0), 3) for material, mg in mass.items()]

    by_mass = _measures(figures.by_material, lambda mass: list(map(Decimal, mass.values())))
    by_co2e = _measures(figures.by_material, co2e_mg)
    basis: Literal["mass", "co2e"] = "mass" if by_mass.in_all >= by_co2e.in_all else "co2e"
    measures = by_mass if basis == "mass" else by_co2e
    reported = sum(of.reported for of in figures.by_material.values())
    reasons = _reasons(parameters, ledger, invariants, unwitnessed, reported)
    opinion = _opinion(parameters, ledger, measures, reasons)
    unit = "mass" if basis == "mass" else "avoided CO2e"
    said = [
        _headline(parameters, ledger, measures, opinion, unit, reasons=reasons),
        _amounts(figures),
        _findings(figures, effects, invariants),
        _rules(invariants),
    ]
    if measures.net:
        said.append(
            f"Net of each other, certain misstatements come to {percent(measures.net)} of the reported "
            f"{unit}."
        )
    if ledger.intact is None:
        said.append("The ledger was not verified for this report.")
    return Conclusion(
        opinion=opinion,
        sentences=tuple(said),
        materiality_ppm=parameters.materiality_ppm,
        performance_materiality_ppm=parameters.performance_materiality_ppm,
        known_ppm=measures.known,
        net_ppm=measures.net,
        doubt_ppm=measures.doubt,
        estimated_ppm=measures.estimated,
        basis=basis,
    )


def _measures(
    by_material: Mapping[str, Sums], values: Callable[[Mapping[str, int]], list[Decimal]]
) -> _Measures:
    """``values``: from masses by material to what is measured, a value each."""
    sums = by_material.items()
    over = values({material: of.overstated for material, of in sums})
    under = values({material: of.understated for material, of in sums})
    doubt = values({material: of.in_doubt for material, of in sums})
    lost = values({material: of.lost_mg for material, of in sums})
    reported = abs(int(exact_sum(values({material: of.reported for material, of in sums}))))

    def gross(*parts: list[Decimal]) -> int:
        return int(exact_sum(value.copy_abs() for part in parts for value in part))

    def ppm(value: int) -> int:
        if reported == 0:
            return 0 if value == 0 else 1_000_000
        size = -(-abs(value) * 1_000_000 // reported)
        return size if value >= 0 else -size

    return _Measures(
        known=ppm(gross(over, under)),
        net=ppm(int(exact_sum([*over, *(value.copy_negate() for value in under)]))),
        doubt=ppm(gross(doubt)),
        estimated=ppm(gross(lost)),
    )


def _opinion(
    parameters: Parameters,
    ledger: LedgerState,
    measures: _Measures,
    reasons: tuple[str, ...],
) -> Opinion:
    if ledger.intact is False:
        return "no_conclusion"
    if measures.known > parameters.materiality_ppm:
        return "material_misstatement"
    if reasons or measures.in_all > parameters.performance_materiality_ppm:
        return "review_required"
    return "no_material_misstatement"


def _reasons(
    parameters: Parameters,
    ledger: LedgerState,
    invariants: tuple[InvariantResult, ...],
    unwitnessed: Mapping[str, int],
    reported: int,
) -> tuple[str, ...]:
    """Why a figure can't be confirmed, however small what is known to be wrong."""
    failed = {rule.name for rule in invariants if rule.status == "FAILED"}
    reasons = ["the ledger was not verified"] if ledger.intact is None else []
    if failed & _IN_ORDER:
        reasons.append("a model or a scale was not in order")
    for name, words in _UNWITNESSED.items():
        mg = unwitnessed.get(name, 0)
        if (
            name not in failed & _IN_ORDER
            and mg * 1_000_000 > reported * parameters.performance_materiality_ppm
        ):
            reasons.append(words.format(f"{mg / 1_000_000:,.3f} kg"))
    return tuple(reasons)


def _headline(
    parameters: Parameters,
    ledger: LedgerState,
    measures: _Measures,
    opinion: Opinion,
    unit: str,
    *,
    reasons: tuple[str, ...],
) -> str:
    known, in_all = percent(measures.known), percent(measures.in_all)
    performance = percent(parameters.performance_materiality_ppm)
    if opinion == "no_conclusion":
        return (
            f"The ledger is broken in {plural(ledger.break_count, 'place')}. No conclusion is possible; the "
            "figures below say what the rows say, which is not what was recorded."
        )
    if opinion == "material_misstatement":
        return (
            f"The reported {unit} is materially misstated: certain misstatements of {known} are more than "
            f"the materiality of {percent(parameters.materiality_ppm)}."
        )
    if opinion == "review_required" and measures.in_all <= parameters.performance_materiality_ppm:
        return (
            f"{in_all} of the reported {unit} is misstated, in doubt or lost, below the performance "
            f"materiality of {performance}; but {' and '.join(reasons)}, so it can't be confirmed yet."
        )
    if opinion == "review_required":
        return (
            f"The reported {unit} can't be confirmed yet: {known} are certain misstatements, and with "
            f"{percent(measures.doubt)} in doubt and {percent(measures.estimated)} estimated as lost, up to "
            f"{in_all} could be wrong (performance materiality {performance})."
        )
    return (
        f"No material misstatement was found: {in_all} of the reported {unit} is misstated, in "
        f"doubt or lost, below the performance materiality of {performance}."
    )


def _amounts(figures: Figures) -> str:
    """By how much, in kilograms."""
    sums = figures.by_material.values()
    reported, supported = sum(of.reported for of in sums), sum(of.supported for of in sums)
    apart = supported - reported
    how = f"{abs(apart) / 1_000_000:,.3f} kg {'more' if apart > 0 else 'less'}" if apart else "as much"
    return (
        f"{reported / 1_000_000:,.3f} kg were reported; the evidence supports "
        f"{supported / 1_000_000:,.3f} kg, {how}."
    )


def _findings(
    figures: Figures, effects: Mapping[str, Figure], invariants: tuple[InvariantResult, ...]
) -> str:
    found = []
    for name, words in _WORDS.items():
        count = figures.class_counts.get(name, 0)
        if count:
            found.append(f"{plural(count, *words)}{_shown(effects[name])}")
    impossible = sum(rule.exceptions for rule in invariants if rule.name == "mass_plausible")
    if impossible:
        counted = plural(impossible, "impossible mass", "impossible masses")
        found.append(f"{counted}{_shown(effects['matched'])}")
    corrected = sum(1 for effect in figures.corrected.values() if effect.parts)
    if corrected:
        counted = plural(corrected, "correction that does not settle", "corrections that do not settle")
        found.append(f"{counted} a deposit{'' if impossible else _shown(effects['matched'])}")
    if not found:
        return "Every deposit is matched by exactly one prediction of its material."
    return "Found: " + "; ".join(found) + ". Signs: + overstates, - understates the reported figure."


def _shown(effect: Figure) -> str:
    parts = [f"{effect.mass.mg / 1_000_000:+,.3f} kg"] if effect.mass.mg else []
    if effect.co2e.g:
        parts.append(f"{effect.co2e.g / 1000:+,.3f} kg CO2e")
    return f" ({', '.join(parts)})" if parts else ""


def _rules(invariants: tuple[InvariantResult, ...]) -> str:
    failed = [rule.title for rule in invariants if rule.status == "FAILED"]
    review = [rule.title for rule in invariants if rule.status == "REVIEW_REQUIRED"]
    passed = len(invariants) - len(failed) - len(review)
    return (
        f"{passed} of {len(invariants)} rules hold"
        + (f"; not: {'; '.join(failed)}" if failed else "")
        + (f"; to be reviewed: {'; '.join(review)}" if review else "")
        + "."
    )
