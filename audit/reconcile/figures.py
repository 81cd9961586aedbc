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
from typing import Final, Literal

from audit.reconcile.engines import Row
from audit.reconcile.masses import ItemMasses
from audit.reconcile.results import Results

Z_95: Final = Fraction(196, 100)
"""Normal quantile of a two-sided 95 % interval."""

_CERTAIN: Final = frozenset({"duplicate", "conflict"})
_DOUBTFUL: Final = frozenset({"missing_prediction", "low_confidence"})


Part = Literal["overstated", "understated", "in_doubt"]
"""A field of :class:`Sums` that an effect goes to."""

MOST_LOST_MG: Final = 10**18
"""No estimate of what was lost is larger, by material: a million tonnes.  A counter that leaps that far does
not count deposits (a machine may send any number), and the estimate would say nothing but that."""


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
        return min(round(self.lost), MOST_LOST_MG)

    @property
    def lost_margin_mg(self) -> int:
        """Half of its 95 % interval."""
        return min(isqrt(int(self.lost_variance * Z_95 * Z_95)), MOST_LOST_MG)

    def add(self, part: Part, mg: int) -> None:
        """Add to one of the figures."""
        match part:
            case "overstated":
                self.overstated += mg
            case "understated":
                self.understated += mg
            case "in_doubt":
                self.in_doubt += mg


@dataclass(frozen=True, slots=True)
class Effect:
    """What one deposit does to the figures: (part, material, milligrams)."""

    parts: tuple[tuple[Part, str, int], ...]

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
    """Add everything up; ``materials``: only deposits declared or accepted as one of these; none: all."""
    tally = _Tally(masses, known, frozenset(materials))
    for claim in found.claims:
        tally.add_claim(claim)
    for exceptions in found.exception_sums:
        tally.add_exceptions(exceptions)
    corrected = tally.correct(found.corrections)
    lost = tally.estimate_lost(found)
    return tally.figures(corrected, lost)


class _Cells:
    """Counts and masses of a table, by row and column."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))

    def add(self, row: str, column: str, count: int, mg: int) -> None:
        """Add to a cell; negative takes away."""
        before = self._values[row, column]
        self._values[row, column] = (before[0] + count, before[1] + mg)

    def filled(self) -> dict[tuple[str, str], tuple[int, int]]:
        """The cells with a count, in order."""
        return {key: value for key, value in sorted(self._values.items()) if value[0]}


class _Tally:
    """The figures in the making."""

    def __init__(self, masses: ItemMasses, known: Callable[[str], bool], wanted: frozenset[str]) -> None:
        self._masses = masses
        self._known = known
        self._wanted = wanted
        self._sums: dict[str, Sums] = defaultdict(Sums)
        self._effects: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._counts: dict[str, int] = defaultdict(int)
        self._masses_mg: dict[str, int] = defaultdict(int)
        self._cells = _Cells()
        self._confusion = _Cells()

    def add_claim(self, row: Row) -> None:
        """Deposits of one machine and material: matched, until an exception takes them away."""
        material, deposits, mg = str(row["material"]), int(row["deposits"]), int(row["mass_mg"])
        if not self._is_wanted(material):
            return
        self._sums[material].deposits += deposits
        self._sums[material].reported += mg
        self._count("matched", material, deposits, mg)
        self._confusion.add(material, material, deposits, mg)

    def add_exceptions(self, row: Row) -> None:
        """Exceptions of one class, declared as one material and accepted as one."""
        name, declared, accepted = str(row["class"]), str(row["declared"]), str(row["accepted"])
        records, deposits, mg = int(row["records"]), int(row["deposits"]), int(row["mass_mg"])
        if deposits and not self._is_wanted(declared, accepted):
            return
        claimed = bool(row["claimed"]) and deposits > 0
        self._count(name, declared, records, mg)
        if claimed and self._is_wanted(declared):
            self._count("matched", declared, -records, -mg)
            self._confusion.add(declared, declared, -records, -mg)
        if claimed and name in {"matched", "late"}:
            self._confusion.add(declared, declared, records, mg)
        elif claimed and name == "material_mismatch":
            self._confusion.add(declared, accepted or "nothing", records, mg)
        effect = effect_of(
            name,
            declared,
            accepted,
            mg,
            claimed=claimed,
            mass_problem=str(row["mass_problem"]),
            known=self._known,
        )
        self._apply(name, effect)

    def correct(self, corrections: Iterable[Row]) -> dict[tuple[str, int], Effect]:
        """Apply valid corrections: the effect of each corrected deposit, judged anew, by its place."""
        changes: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        rows: dict[tuple[str, int], Row] = {}
        for row in corrections:
            if problem_of(row):
                continue
            place = (str(row["corrects_machine_id"]), int(row["corrects_seq"]))
            material, delta_mg = str(row["material"] or row["declared"]), int(row["mass_delta_mg"])
            changes[place][material] += delta_mg
            rows[place] = row
            if self._is_wanted(material):
                self._sums[material].corrections += delta_mg
        corrected: dict[tuple[str, int], Effect] = {}
        for place, deltas in changes.items():
            row = rows[place]
            before = effect_of(
                str(row["class"]),
                str(row["declared"]),
                str(row["accepted"]),
                int(row["mass_mg"]),
                claimed=True,
                mass_problem=str(row["mass_problem"]),
                known=self._known,
            )
            after = _corrected_effect(row, dict(deltas), self._masses, self._known)
            corrected[place] = after
            self._apply(str(row["class"]), before, -1)
            self._apply(str(row["class"]), after)
        return corrected

    def estimate_lost(self, found: Results) -> int:
        """Lost deposits, from each machine's own distribution; returns how many.

        A machine that lost k of n + k deposits: the sum of k more of its kind is k times the mean, with a
        variance of (k + k^2 / n) times that of one deposit (prediction interval).
        """
        machines: dict[str, int] = defaultdict(int)
        for row in found.claims:
            machines[row["machine_id"]] += int(row["deposits"])
        lost_of = {row["machine_id"]: int(row["lost"]) for row in found.gap_sums}
        for row in found.claims:
            lost, count = lost_of.get(row["machine_id"], 0), machines[row["machine_id"]]
            if lost and self._is_wanted(row["material"]):
                mean = Fraction(int(row["mass_mg"]), count)
                variance = max(Fraction(int(row["squares"]), count) - mean * mean, Fraction(0))
                of = self._sums[row["material"]]
                of.lost += lost * mean
                of.lost_variance += variance * (lost + Fraction(lost * lost, count))
        for material, of in self._sums.items():
            if of.lost_mg:
                self._effects["lost"][material] -= of.lost_mg
        return sum(lost_of.values())

    def figures(self, corrected: Mapping[tuple[str, int], Effect], lost: int) -> Figures:
        """What it all comes to."""
        self._counts["lost"] += lost
        self._masses_mg["lost"] += sum(of.lost_mg for of in self._sums.values())
        return Figures(
            by_material=dict(sorted(self._sums.items())),
            class_effects={name: dict(of) for name, of in self._effects.items()},
            class_counts=dict(self._counts),
            class_masses=dict(self._masses_mg),
            cells=self._cells.filled(),
            confusion=self._confusion.filled(),
            lost=lost,
            corrected=corrected,
        )

    def _is_wanted(self, *materials: str) -> bool:
        return not self._wanted or any(material in self._wanted for material in materials)

    def _count(self, name: str, material: str, count: int, mg: int) -> None:
        self._counts[name] += count
        self._masses_mg[name] += mg
        self._cells.add(name, material, count, mg)

    def _apply(self, name: str, effect: Effect, times: int = 1) -> None:
        """Add an effect to the sums and to those of its class, or take it away (-1)."""
        for part, material, mg in effect.parts:
            if self._is_wanted(material):
                self._sums[material].add(part, times * mg)
        for material, mg in effect.by_material.items():
            if self._is_wanted(material):
                self._effects[name][material] += times * mg


def _corrected_effect(
    row: Row, deltas: dict[str, int], masses: ItemMasses, known: Callable[[str], bool]
) -> Effect:
    """What a corrected deposit does: its claims, as corrected, against what the evidence supports of each.

    A correction is the operator's word.  It takes from a claim, and it moves mass to the material that was
    recognised; what it adds beyond that no evidence supports.
    """
    name, declared, accepted = str(row["class"]), str(row["declared"]), str(row["accepted"])
    recorded = int(row["mass_mg"])
    claims = {declared: recorded}
    for material, mg in deltas.items():
        claims[material] = claims.get(material, 0) + mg
    claim, problem = claims[declared], str(row["mass_problem"])
    bound = masses.of(declared)
    mended = bool(problem) and (bound is None or bound.plausible(claim, int(row["item_count"])))
    in_order = name not in _CERTAIN | _DOUBTFUL | {"out_of_period", "material_mismatch"}
    supported: dict[str, int] = {}
    if in_order and (mended or not problem):
        supported[declared] = claim if mended else min(max(claim, 0), recorded)
    elif name == "material_mismatch" and not problem and accepted and known(accepted):
        supported[accepted] = recorded
    doubtful = (
        in_order or name in _DOUBTFUL or bool(problem) or (name == "material_mismatch" and not accepted)
    )
    parts: list[tuple[Part, str, int]] = []
    for material in sorted({*claims, *supported}):
        beyond = claims.get(material, 0) - supported.get(material, 0)
        if beyond > 0:
            parts.append(
                ("in_doubt" if doubtful and material == declared else "overstated", material, beyond)
            )
        elif beyond < 0:
            parts.append(("understated", material, -beyond))
    return Effect(tuple(parts))


def lost_share(lost: int, mass_mg: int, count: int) -> int:
    """The estimate for ``lost`` deposits of a machine of whose ``count`` this mass is a part, milligrams."""
    return min(round(Fraction(lost * mass_mg, count)), MOST_LOST_MG)


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
