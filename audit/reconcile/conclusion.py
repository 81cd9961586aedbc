"""The opinion: what was found, against materiality.

Misstatements count by size, singly and added up.  Over- and understatement are added gross, since they may hide
each other; the net is shown beside it.  Both mass and CO2e are tried, and the worse is the basis: classification
errors leave the mass alone and move the CO2e.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Literal

from audit.invariants.rule import grams, plural
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


def conclude(
    parameters: Parameters,
    ledger: LedgerState,
    figures: Figures,
    effects: Mapping[str, Figure],
    co2e_of: Callable[[Mapping[str, int]], Decimal | None],
    invariants: tuple[InvariantResult, ...],
) -> Conclusion:
    """What the figures amount to."""
    by_mass = _measures(figures.by_material, lambda mass: sum(map(abs, mass.values())), sum_signed)
    by_co2e = _measures(
        figures.by_material,
        lambda mass: int(sum(abs(co2e_of({m: mg}) or 0) for m, mg in mass.items()) * 1000),
        lambda mass: int(
            (co2e_of(mass) or sum((co2e_of({m: v}) or Decimal(0) for m, v in mass.items()), Decimal(0)))
            * 1000
        ),
    )
    basis: Literal["mass", "co2e"] = (
        "mass" if sum(by_mass[:1] + by_mass[2:]) >= sum(by_co2e[:1] + by_co2e[2:]) else "co2e"
    )
    known, net, doubt, estimated = by_mass if basis == "mass" else by_co2e
    opinion = _opinion(parameters, ledger, known, known + doubt + estimated, invariants)
    return Conclusion(
        opinion=opinion,
        sentences=tuple(
            _sentences(
                parameters,
                ledger,
                figures,
                effects,
                invariants,
                opinion,
                basis,
                (known, net, doubt, estimated),
            )
        ),
        materiality_ppm=parameters.materiality_ppm,
        performance_materiality_ppm=parameters.performance_materiality_ppm,
        known_ppm=known,
        net_ppm=net,
        doubt_ppm=doubt,
        estimated_ppm=estimated,
        basis=basis,
    )


def sum_signed(masses: Mapping[str, int]) -> int:
    """The plain sum."""
    return sum(masses.values())


def _measures(
    by_material: Mapping[str, Sums],
    gross: Callable[[Mapping[str, int]], int],
    signed: Callable[[Mapping[str, int]], int],
) -> tuple[int, int, int, int]:
    """Known (gross), net, doubt and estimate, each in ppm of the reported figure, rounded up."""

    def of(name: str) -> dict[str, int]:
        return {material: int(getattr(sums, name)) for material, sums in by_material.items()}

    reported = abs(signed(of("reported")))
    over, under = of("overstated"), of("understated")
    net = signed({material: over[material] - under[material] for material in over})

    def ppm(value: int) -> int:
        if reported == 0:
            return 0 if value == 0 else 1_000_000
        size = -(-abs(value) * 1_000_000 // reported)
        return size if value >= 0 else -size

    return (
        ppm(gross(over) + gross(under)),
        ppm(net),
        ppm(gross(of("in_doubt"))),
        ppm(gross(of("lost_mg"))),
    )


def _opinion(
    parameters: Parameters,
    ledger: LedgerState,
    known: int,
    at_most: int,
    invariants: tuple[InvariantResult, ...],
) -> Opinion:
    if ledger.intact is False:
        return "no_conclusion"
    if known > parameters.materiality_ppm:
        return "material_misstatement"
    if ledger.intact is None or at_most > parameters.performance_materiality_ppm:
        return "review_required"
    if any(
        rule.status == "FAILED" and rule.name in {"model_approved", "calibration_valid"}
        for rule in invariants
    ):
        return "review_required"
    return "no_material_misstatement"


def _sentences(
    parameters: Parameters,
    ledger: LedgerState,
    figures: Figures,
    effects: Mapping[str, Figure],
    invariants: tuple[InvariantResult, ...],
    opinion: Opinion,
    basis: str,
    measures: tuple[int, int, int, int],
) -> list[str]:
    known, net, doubt, estimated = measures
    unit = "mass" if basis == "mass" else "avoided CO2e"
    said = []
    if ledger.intact is False:
        said.append(
            f"The ledger is broken in {plural(ledger.break_count, 'place')}. No conclusion is possible; the figures "
            "below say what the rows say, which is not what was recorded."
        )
    elif opinion == "material_misstatement":
        said.append(
            f"The reported {unit} is materially misstated: certain misstatements of {percent(known)} are more than the "
            f"materiality of {percent(parameters.materiality_ppm)}."
        )
    elif opinion == "review_required":
        said.append(
            f"The reported {unit} can't be confirmed yet: {percent(known)} are certain misstatements, and with "
            f"{percent(doubt)} in doubt and {percent(estimated)} estimated as lost, up to {percent(known + doubt + estimated)} "
            f"could be wrong (performance materiality {percent(parameters.performance_materiality_ppm)})."
        )
    else:
        said.append(
            f"No material misstatement was found: at most {percent(known + doubt + estimated)} of the reported {unit} is "
            f"misstated, in doubt or lost, below the performance materiality of {percent(parameters.performance_materiality_ppm)}."
        )
    found = []
    for name, words in _WORDS.items():
        count = figures.class_counts.get(name, 0)
        if count:
            effect = effects[name]
            parts = [f"{effect.mass.mg / 1_000_000:+,.3f} kg"] if effect.mass.mg else []
            if effect.co2e.g:
                parts.append(f"{effect.co2e.g / 1000:+,.3f} kg CO2e")
            shown = f" ({', '.join(parts)})" if parts else ""
            found.append(f"{plural(count, *words)}{shown}")
    problems = [r for r in invariants if r.name == "mass_plausible" and r.exceptions]
    found += [
        f"{plural(r.exceptions, 'impossible mass', 'impossible masses')} ({grams(r.effect.mass.mg)} in doubt)"
        for r in problems
    ]
    if found:
        said.append(
            "Found: " + "; ".join(found) + ". Signs: + overstates, - understates the reported figure."
        )
    else:
        said.append("Every deposit is matched by exactly one prediction of its material.")
    failed = [rule.title for rule in invariants if rule.status == "FAILED"]
    review = [rule.title for rule in invariants if rule.status == "REVIEW_REQUIRED"]
    passed = len(invariants) - len(failed) - len(review)
    said.append(
        f"{passed} of {len(invariants)} rules hold"
        + (f"; not: {'; '.join(failed)}" if failed else "")
        + (f"; to be reviewed: {'; '.join(review)}" if review else "")
        + "."
    )
    if net and basis:
        said.append(
            f"Net of each other, certain misstatements come to {percent(net)} of the reported {unit}."
        )
    if ledger.intact is None:
        said.append("The ledger was not verified for this report.")
    return said
