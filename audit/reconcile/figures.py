"""From counted rows to figures: reported, supported, and everything between them, exact to the milligram.

Pure.  Where a deposit is corrected by compensating rows, its claim is what the machine reported plus the
corrections, so that a correction that puts an error right also takes its effect away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import isqrt
from typing import Final

from audit.reconcile.engines import Row
from audit.reconcile.masses import ItemMasses
from audit.reconcile.results import Results

Z_95: Final = Fraction(196, 100)
"""Normal quantile of a two-sided 95 % interval."""

_CERTAIN: Final = frozenset({"duplicate", "conflict"})
_DOUBTFUL: Final = frozenset({"missing_prediction", "low_confidence"})


@dataclass(slots=True)
class Sums:
    """The figures of one material, milligrams; all but ``corrections`` are zero or more."""

    deposits: int = 0
    reported: int = 0
    corrections: int = 0
    overstated: int = 0
    understated: int = 0
    in_doubt: int = 0
    lost: Fraction = field(default_factory=lambda: Fraction(0))
    lost_variance: Fraction = field(default_factory=lambda: Fraction(0))

    @property
    def supported(self) -> int:
        """What the evidence supports."""
        return self.reported + self.corrections - self.overstated + self.understated - self.in_doubt

    @property
    def lost_mg(self) -> int:
        """The estimate of what was lost, rounded to a milligram."""
        return round(self.lost)

    @property
    def lost_margin_mg(self) -> int:
        """Half of its 95 % interval."""
        return isqrt(int(self.lost_variance * Z_95 * Z_95))


@dataclass(frozen=True, slots=True)
class Effect:
    """What one deposit does to the figures: (field of Sums, material, milligrams)."""

    parts: tuple[tuple[str, str, int], ...]

    @property
    def by_material(self) -> dict[str, int]:
        """Reported minus supported."""
        signed: dict[str, int] = defaultdict(int)
        for name, material, mg in self.parts:
            signed[material] += -mg if name == "understated" else mg
        return dict(signed)


def effect_of(
    name: str,
    declared: str,
    accepted: str,
    mass_mg: int,
    *,
    claimed: bool,
    mass_problem: str,
    known: Callable[[str], bool],
) -> Effect:
    """What a deposit of that class does.

    ``known`` tells whether a material has a figure of its own: what was recognised as something without one
    (a class like trash) is taken from the declared material and added to none.
    """
    if not claimed or mass_mg == 0:
        return Effect(())
    if name in _CERTAIN or name == "out_of_period":
        return Effect((("overstated", declared, mass_mg),))
    if name in _DOUBTFUL or mass_problem:
        return Effect((("in_doubt", declared, mass_mg),))
    if name == "material_mismatch":
        if accepted and known(accepted):
            return Effect((("overstated", declared, mass_mg), ("understated", accepted, mass_mg)))
        if accepted:
            return Effect((("overstated", declared, mass_mg),))
        return Effect((("in_doubt", declared, mass_mg),))
    return Effect(())


@dataclass(frozen=True, slots=True)
class Figures:
    """By material, by class, and by class and material."""

    by_material: Mapping[str, Sums]
    class_effects: Mapping[str, Mapping[str, int]]
    class_counts: Mapping[str, int]
    class_masses: Mapping[str, int]
    cells: Mapping[tuple[str, str], tuple[int, int]]
    confusion: Mapping[tuple[str, str], tuple[int, int]]
    lost: int
    corrected: Mapping[tuple[str, int], Effect]


def figures(
    found: Results, masses: ItemMasses, known: Callable[[str], bool], materials: Iterable[str] = ()
) -> Figures:
    """Add everything up; ``materials``: only deposits declared or accepted as one of these, if any is named."""
    wanted = frozenset(materials)
    sums: dict[str, Sums] = defaultdict(Sums)
    effects: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    counts: dict[str, int] = defaultdict(int)
    class_masses: dict[str, int] = defaultdict(int)
    cells: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    confusion: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])

    def add(target: dict[tuple[str, str], list[int]], key: tuple[str, str], count: int, mg: int) -> None:
        target[key][0] += count
        target[key][1] += mg

    def of_interest(*names: str) -> bool:
        return not wanted or any(name in wanted for name in names)

    for row in found.claims:
        material, deposits, mg = row["material"], int(row["deposits"]), int(row["mass_mg"])
        if of_interest(material):
            sums[material].deposits += deposits
            sums[material].reported += mg
            counts["matched"] += deposits
            class_masses["matched"] += mg
            add(cells, ("matched", material), deposits, mg)
            add(confusion, (material, material), deposits, mg)
    for row in found.exception_sums:
        _add_exception(row, sums, effects, counts, class_masses, cells, confusion, add, of_interest, known)
    corrected = _correct(found, masses, sums, effects, known, of_interest)
    lost = _estimate_lost(found, sums, of_interest)
    for material, of in sums.items():
        if of.lost_mg:
            effects["lost"][material] -= of.lost_mg
    counts["lost"] += lost
    class_masses["lost"] += sum(of.lost_mg for of in sums.values())
    return Figures(
        by_material=dict(sorted(sums.items())),
        class_effects={name: dict(of) for name, of in effects.items()},
        class_counts=dict(counts),
        class_masses=dict(class_masses),
        cells={key: (count, mg) for key, (count, mg) in sorted(cells.items()) if count},
        confusion={key: (count, mg) for key, (count, mg) in sorted(confusion.items()) if count},
        lost=lost,
        corrected=corrected,
    )


def _add_exception(row, sums, effects, counts, class_masses, cells, confusion, add, of_interest, known):  # type: ignore[no-untyped-def]
    name, declared, accepted = row["class"], row["declared"], row["accepted"]
    if not of_interest(declared, accepted) and row["deposits"]:
        return
    records, deposits, mg = int(row["records"]), int(row["deposits"]), int(row["mass_mg"])
    claimed = bool(row["claimed"]) and deposits > 0
    counts[name] += records
    class_masses[name] += mg
    add(cells, (name, declared), records, mg)
    if claimed and of_interest(declared):
        counts["matched"] -= records
        class_masses["matched"] -= mg
        add(cells, ("matched", declared), -records, -mg)
        add(confusion, (declared, declared), -records, -mg)
    if claimed and name in {"matched", "late"}:
        add(confusion, (declared, declared), records, mg)
    elif claimed and name == "material_mismatch":
        add(confusion, (declared, accepted or "nothing"), records, mg)
    effect = effect_of(
        name, declared, accepted, mg, claimed=claimed, mass_problem=row["mass_problem"], known=known
    )
    for part, material, part_mg in effect.parts:
        if of_interest(material):
            setattr(sums[material], part, getattr(sums[material], part) + part_mg)
    for material, part_mg in effect.by_material.items():
        if of_interest(material):
            effects[name][material] += part_mg


def _correct(found, masses, sums, effects, known, of_interest):  # type: ignore[no-untyped-def]
    """Apply valid corrections; the effect of each corrected deposit is judged anew."""
    changes: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    rows: dict[tuple[str, int], Row] = {}
    for row in found.corrections:
        if problem_of(row):
            continue
        place = (str(row["corrects_machine_id"]), int(row["corrects_seq"]))
        material = str(row["material"] or row["declared"])
        changes[place][material] += int(row["mass_delta_mg"])
        rows[place] = row
        if of_interest(material):
            sums[material].corrections += int(row["mass_delta_mg"])
    corrected: dict[tuple[str, int], Effect] = {}
    for place, deltas in changes.items():
        row = rows[place]
        name, declared, accepted = str(row["class"]), str(row["declared"]), str(row["accepted"])
        before = effect_of(
            name,
            declared,
            accepted,
            int(row["mass_mg"]),
            claimed=True,
            mass_problem=str(row["mass_problem"]),
            known=known,
        )
        after = _corrected_effect(row, dict(deltas), masses, known)
        corrected[place] = after
        for sign, effect in ((-1, before), (1, after)):
            for part, material, mg in effect.parts:
                if of_interest(material):
                    setattr(sums[material], part, getattr(sums[material], part) + sign * mg)
            for material, mg in effect.by_material.items():
                if of_interest(material):
                    effects[name][material] += sign * mg
    return corrected


def _corrected_effect(
    row: Row, deltas: dict[str, int], masses: ItemMasses, known: Callable[[str], bool]
) -> Effect:
    name, declared, accepted = str(row["class"]), str(row["declared"]), str(row["accepted"])
    claim = int(row["mass_mg"]) + deltas.pop(declared, 0)
    problem = str(row["mass_problem"])
    if problem:
        bound = masses.of(declared)
        if bound is None or bound.plausible(claim, int(row["item_count"])):
            problem = ""
    effect = effect_of(name, declared, accepted, claim, claimed=True, mass_problem=problem, known=known)
    parts = []
    for part, material, mg in effect.parts:
        if part == "understated":
            short = mg if material not in deltas else int(row["mass_mg"]) - deltas.pop(material)
            parts.append(("understated", material, short) if short >= 0 else ("overstated", material, -short))
        else:
            parts.append((part, material, mg) if mg >= 0 else ("understated", material, -mg))
    if name == "material_mismatch" and claim == 0 and accepted in deltas:
        rest = deltas.pop(accepted) - int(row["mass_mg"])
        if rest:
            parts.append(("overstated", accepted, rest) if rest > 0 else ("understated", accepted, -rest))
    parts += [("overstated" if mg > 0 else "understated", m, abs(mg)) for m, mg in deltas.items() if mg]
    return Effect(tuple(part for part in parts if part[2]))


def problem_of(row: Row) -> str:
    """Why a correction is none; empty if it is one."""
    if row["mass_delta_mg"] is None or row["corrects_seq"] is None:
        return "names no row, or no mass"
    if row["deposit_seq"] is None:
        return "names a deposit that is not in sight of this period"
    if not row["same_row"]:
        return "names a row with another hash"
    if not row["claimed"]:
        return "corrects a deposit of another period"
    if not row["reason"] or not row["actor"]:
        return "has no reason or no actor"
    return ""


def _estimate_lost(found, sums, of_interest):  # type: ignore[no-untyped-def]
    """Lost deposits, from each machine's own distribution; returns how many.

    A machine that lost k of n + k deposits: the sum of k more of its kind is k times the mean, with a variance of
    (k + k^2 / n) times that of one deposit (prediction interval).
    """
    machines: dict[str, int] = defaultdict(int)
    for row in found.claims:
        machines[row["machine_id"]] += int(row["deposits"])
    lost_of = {row["machine_id"]: int(row["lost"]) for row in found.gap_sums}
    for row in found.claims:
        lost, count = lost_of.get(row["machine_id"], 0), machines[row["machine_id"]]
        if lost and of_interest(row["material"]):
            mean = Fraction(int(row["mass_mg"]), count)
            variance = max(Fraction(int(row["squares"]), count) - mean * mean, Fraction(0))
            sums[row["material"]].lost += lost * mean
            sums[row["material"]].lost_variance += variance * (lost + Fraction(lost * lost, count))
    return sum(lost_of.values())
