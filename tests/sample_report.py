"""A reconciliation report of an invented fleet, whose sums hold to the milligram, and variants of it.

A pure function of its arguments: no clock, no chance but a seeded one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from random import Random
from typing import Final

from audit.reporting.model import (
    CLASSES,
    Assertion,
    ClassLine,
    ClassMaterial,
    Co2e,
    Conclusion,
    Confusion,
    CorrectionLine,
    Datapoint,
    Factor,
    FactorSet,
    Figure,
    Finding,
    InvariantResult,
    LedgerBreak,
    LedgerState,
    LotLine,
    MachineLine,
    Mass,
    MaterialLine,
    Offender,
    Parameter,
    Position,
    Report,
    Restatement,
    RestatementLine,
    Status,
    StreamEvidence,
    Total,
)

START: Final = datetime(2026, 3, 1, tzinfo=UTC)
END: Final = datetime(2026, 4, 1, tzinfo=UTC)
EXCEPTIONS: Final = tuple(name for name in CLASSES if name != "matched")

# material: (grams of one deposit, deposits a machine, MTCO2e per short ton recycled and landfilled, verified)
_MATERIALS: Final = {
    "aluminium_cans": (14_200, 410, "-9.127", "0.020", "yes"),
    "corrugated": (212_000, 18, "-3.135", "0.182", "yes"),
    "glass": (301_500, 95, "-0.276", "0.020", "yes"),
    "hdpe": (46_800, 120, "-0.758", "0.020", "yes"),
    "mixed_metals": (31_000, 22, "-4.39", "0.020", "derived"),
    "pet": (24_600, 830, "-1.036", "0.020", "yes"),
    "pp": (11_900, 64, "-0.793", "0.020", "transcribed"),
    "steel_cans": (38_400, 71, "-1.832", "0.020", "yes"),
}
_TREATMENT: Final = (
    "reported",
    "corrections",
    "overstated",
    "understated",
    "in_doubt",
    "supported",
    "lost_estimate",
)
_MEANINGS: Final = {
    "reported": "every deposit record of the period, as the machines sent it",
    "corrections": "compensating rows of the operator",
    "overstated": "certainly too much: duplicates, conflicts, wrong period, wrong material",
    "understated": "certainly missing: deposits that were declared as another material",
    "in_doubt": "recorded, but without the evidence that it needs",
    "supported": "what the evidence supports",
    "lost_estimate": "estimate of deposits that were never recorded, in no sum above",
}
_CLASS_MEANINGS: Final = {
    "matched": "one deposit, one prediction, the same material, a plausible mass",
    "material_mismatch": "the prediction names another material with enough confidence",
    "low_confidence": "the prediction is too unsure to accept or to refuse the declared material",
    "missing_prediction": "a deposit without any prediction",
    "orphan_prediction": "a prediction without a deposit",
    "duplicate": "the same deposit recorded again",
    "conflict": "the same transaction recorded with other values",
    "lost": "a gap in the machine's counter: a deposit that never arrived, estimated",
    "late": "recorded after the cut-off, but belonging to the period",
    "out_of_period": "counted in the period, but belonging to another",
}
_RULES: Final[tuple[tuple[str, str, Assertion, str | None], ...]] = (
    ("one_prediction", "Each deposit has exactly one prediction", "occurrence", "missing_prediction"),
    ("one_deposit", "Each prediction belongs to a deposit", "completeness", "orphan_prediction"),
    ("same_material", "Declared and accepted material agree", "classification", "material_mismatch"),
    ("sure_enough", "The accepted material is sure enough", "classification", "low_confidence"),
    ("no_duplicate", "No deposit is counted twice", "occurrence", "duplicate"),
    ("no_conflict", "No transaction has two versions", "accuracy", "conflict"),
    ("no_gap", "The machine's counter has no gap", "completeness", "lost"),
    ("in_time", "Each row is recorded before the cut-off", "cut-off", "late"),
    ("in_period", "Each row belongs to the period", "cut-off", "out_of_period"),
    ("plausible_mass", "Each mass is plausible for its material", "accuracy", None),
    ("lots_agree", "Lots agree with the plant's scale tickets", "accuracy", "lots"),
    ("heartbeats", "Each machine reports in every interval", "completeness", "heartbeats"),
)


def avoided(recycled: str, landfilled: str) -> Decimal:
    """kg CO2e per tonne from two values in MTCO2e per short ton, to a tenth of a gram."""
    return ((Decimal(landfilled) - Decimal(recycled)) / Decimal("0.90718474") * 1000).quantize(
        Decimal("0.0001")
    )


FACTORS: Final = FactorSet(
    name="epa-warm",
    version="15",
    gwp="AR4",
    digest=sha256(b"factors").hexdigest(),
    valid_from="2026-01-01",
    valid_to="2026-12-31",
    factors=tuple(
        Factor(
            material=material,
            treatment="recycling",
            treatment_value=recycled,
            baseline="landfill",
            baseline_value=landfilled,
            source_unit="MTCO2e/short_ton",
            avoided_kg_per_t=avoided(recycled, landfilled),
            verified=verified,
            source="USEPA WARMer, WARM v15 openLCA matrices, solved",
        )
        for material, (_, _, recycled, landfilled, verified) in _MATERIALS.items()
    ),
)
_PER_T: Final = {factor.material: factor.avoided_kg_per_t for factor in FACTORS.factors}


def co2e(material: str, mg: int) -> Decimal | None:
    """Grams of CO2e that a mass of a material avoids, exact; None without a factor."""
    per_t = _PER_T.get(material)
    return None if per_t is None else mg * per_t / 1_000_000


@dataclass
class _Sums:
    """What happens to a material."""

    deposits: int = 0
    mg: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def supported(self) -> int:
        mg = self.mg
        return mg["reported"] + mg["corrections"] - mg["overstated"] + mg["understated"] - mg["in_doubt"]


def sample_report(
    findings: int = 240, machines: int = 20, *, names: tuple[str, ...] = (), reason: str = "scale replaced"
) -> Report:
    """A month of a fleet with ``findings`` exceptions of all classes; ``names`` are its first machines."""
    random = Random(20260301)
    fleet = [*names, *(f"rvm-{number:03d}" for number in range(len(names) + 1, machines + 1))]
    sites = ("Harbour Street", "North Station", "Old Market", "Riverside", "University")
    sums: dict[str, _Sums] = {material: _Sums() for material in [*_MATERIALS, ""]}
    for material, (unit_mg, each, *_) in _MATERIALS.items():
        sums[material].deposits = each * machines
        sums[material].mg["reported"] = each * machines * unit_mg + random.randrange(900_000)
    sums[""].deposits, sums[""].mg["reported"] = 3, 71_400
    sums[""].mg["in_doubt"] = 71_400
    sums["glass"].mg["corrections"] = -1_250_000
    found = tuple(
        sorted(
            (_finding(number, fleet, sites, random, sums) for number in range(findings)),
            key=lambda one: (CLASSES.index(one.name), one.machine, one.event_time),
        )
    )
    lines = tuple(_line(material, sums[material]) for material in sorted(sums))
    totals = tuple(_total(name, lines) for name in _TREATMENT)
    reported = totals[0].figure.mass.mg
    lots = tuple(_lot(number, fleet, sites, random) for number in range(14))
    machine_lines = tuple(
        _machine(machine=machine, index=index, sites=sites, random=random, found=found, reported_mg=reported)
        for index, machine in enumerate(fleet)
    )
    classes = _classes(found, lines)
    known = sum(total.figure.mass.mg for total in totals[2:4])
    return Report(
        operator="Example Returns Cooperative",
        boundary="Beverage containers and packaging that consumers return to the cooperative's own machines; "
        "the waste is the consumers', not the operator's.",
        period_from=START,
        period_to=END,
        sites=sites,
        machines=tuple(fleet),
        materials=tuple(_MATERIALS),
        code_version="0.1.0",
        sql_digest=sha256(b"sql").hexdigest(),
        parameters=(
            Parameter(
                "materiality", "0.05", "of reported mass", "larger misstatements change the conclusion"
            ),
            Parameter(
                "performance_materiality", "0.65", "of materiality", "larger misstatements call for review"
            ),
            Parameter("confidence_min", "0.80", "probability", "below it, a prediction decides nothing"),
            Parameter("cut_off_s", "86400", "s", "rows recorded later count as late"),
            Parameter(
                "heartbeat_coverage_min", "0.975", "of heartbeats due", "below it, a machine needs review"
            ),
            Parameter(
                "lot_tolerance", "0.03", "of the ticket's mass", "a lot may differ from its ticket by this"
            ),
        ),
        ledger=LedgerState(
            intact=True,
            breaks=(),
            break_count=0,
            streams=tuple(
                StreamEvidence(stream, rows, chains, sha256(stream.encode()).hexdigest())
                for stream, rows, chains in (
                    ("deposits", 32_606, machines),
                    ("predictions", 32_571, machines),
                    ("heartbeats", 892_144, machines),
                    ("emptyings", 14, machines),
                    ("corrections", 2, 1),
                )
            ),
            evidence_digest=sha256(b"evidence").hexdigest(),
        ),
        factor_set=FACTORS,
        conclusion=Conclusion(
            opinion="review_required",
            sentences=(
                "Certain misstatements are far below materiality, singly and together.",
                "Lots differ from their scale tickets by more than the tolerance: a review decides.",
                "Nothing was scaled up: lost deposits are estimated apart and are in no sum.",
            ),
            materiality_ppm=50_000,
            performance_materiality_ppm=32_500,
            known_ppm=known * 1_000_000 // reported,
            net_ppm=(totals[2].figure.mass.mg - totals[3].figure.mass.mg) * 1_000_000 // reported,
            doubt_ppm=totals[4].figure.mass.mg * 1_000_000 // reported,
            estimated_ppm=totals[6].figure.mass.mg * 1_000_000 // reported,
            basis="mass",
        ),
        totals=totals,
        by_material=lines,
        by_class=classes,
        class_by_material=_cells(found, lines),
        invariants=tuple(
            _invariant(
                name=name,
                title=title,
                assertion=assertion,
                of=of,
                found=found,
                machine_lines=machine_lines,
                lots=lots,
            )
            for name, title, assertion, of in _RULES
        ),
        findings=found,
        findings_omitted=0,
        machine_lines=machine_lines,
        lots=lots,
        confusion=_confusion(sums),
        uncertainty=(
            Parameter(
                "scale", "0.8", "% of mass", "resolution and repeatability of the machines' scales, at 95 %"
            ),
            Parameter(
                "classifier", "1.9", "% of CO2e", "expected misclassification among accepted predictions"
            ),
            Parameter(
                "lost", "0.21", "% of mass", "half width of the interval of the lost estimate, at 95 %"
            ),
            Parameter("factors", "not quantified", "", "the source states no uncertainty for its factors"),
        ),
        disclosures=_disclosures(totals),
        corrections=(
            CorrectionLine(
                "correction:1",
                Position("deposits", fleet[2], 1_204),
                Position("corrections", "desk", 1),
                -1_250_000,
                "glass",
                "glass",
                reason,
                "auditor.one",
                valid=True,
                problem="",
            ),
            CorrectionLine(
                "correction:2",
                Position("deposits", fleet[2], 99_999_999),
                Position("corrections", "desk", 2),
                0,
                "pet",
                "hdpe",
                "wrong button",
                "operator.two",
                valid=False,
                problem="names a row that is not in the ledger; it corrects nothing",
            ),
        ),
        notes=(
            "A deposit's mass is the machine's own weighing, net of the bag's tare.",
            "CO2e avoided is apart from the operator's scopes 1 to 3 and is never netted against them.",
            "A lost deposit has the mean mass of its machine's deposits in the period.",
        ),
    )


def empty_report() -> Report:
    """A period in which nothing happened."""
    whole = sample_report(0)
    nothing = {name: _figure(f"total.{name}", "pet", 0) for name in _TREATMENT}
    return replace(
        whole,
        sites=(),
        machines=(),
        materials=(),
        ledger=replace(whole.ledger, streams=()),
        factor_set=replace(whole.factor_set, factors=()),
        conclusion=replace(
            whole.conclusion,
            opinion="no_material_misstatement",
            sentences=("Nothing was recorded in the period, so there is nothing to misstate.",),
            known_ppm=0,
            net_ppm=0,
            doubt_ppm=0,
            estimated_ppm=0,
        ),
        totals=tuple(Total(name, _MEANINGS[name], nothing[name]) for name in _TREATMENT),
        by_material=(),
        by_class=(),
        class_by_material=(),
        invariants=(),
        parameters=(),
        machine_lines=(),
        lots=(),
        confusion=(),
        uncertainty=(),
        disclosures=(),
        corrections=(),
        notes=(),
    )


def broken_report() -> Report:
    """The sample with a ledger that contradicts itself."""
    whole = sample_report()
    return replace(
        whole,
        ledger=replace(
            whole.ledger,
            intact=False,
            breaks=(
                LedgerBreak(
                    "altered",
                    "deposits",
                    "rvm-004",
                    311,
                    311,
                    "the row's bytes do not have the hash that row 312 names",
                ),
                LedgerBreak("missing", "predictions", "rvm-009", 77, 80, "row 76 is followed by row 81"),
                LedgerBreak(
                    "truncated", "heartbeats", "rvm-011", None, None, "the chain ends before its head"
                ),
            ),
            break_count=6,
        ),
        conclusion=replace(
            whole.conclusion,
            opinion="no_conclusion",
            sentences=(
                "The ledger contradicts itself in 6 places, so no figure of this report can be relied on.",
            ),
        ),
    )


def restated_report() -> Report:
    """The sample as a restatement of an earlier report."""
    return replace(
        sample_report(),
        restatement=Restatement(
            sha256(b"earlier").hexdigest(),
            "epa-warm 14",
            (
                RestatementLine("rows that arrived since", 412_300, Decimal("479.91")),
                RestatementLine("corrections", -1_250_000, Decimal("-408.02")),
                RestatementLine("another factor set", 0, Decimal("-12904.117")),
            ),
        ),
    )


def _figure(ref: str, material: str, mg: int) -> Figure:
    return Figure(Mass(f"{ref}.mass", mg), Co2e(f"{ref}.co2e", co2e(material, mg)))


def _finding(
    number: int, fleet: list[str], sites: tuple[str, ...], random: Random, sums: dict[str, _Sums]
) -> Finding:
    name = EXCEPTIONS[number % len(EXCEPTIONS)]
    material = random.choice(sorted(_MATERIALS))
    other = random.choice([one for one in sorted(_MATERIALS) if one != material])
    mass = _MATERIALS[material][0] * random.randrange(95, 106) // 100
    index = random.randrange(len(fleet))
    moment = START + timedelta(seconds=random.randrange(31 * 86_400))
    of_material = sums[material].mg
    effect, accepted = 0, material
    if name in {"duplicate", "conflict", "out_of_period"}:
        of_material["overstated"] += mass
        effect = mass
    elif name == "material_mismatch":
        of_material["overstated"] += mass
        sums[other].mg["understated"] += mass
        accepted = other
    elif name in {"low_confidence", "missing_prediction"}:
        of_material["in_doubt"] += mass
        effect, accepted = mass, ""
    elif name == "lost":
        of_material["lost_estimate"] += mass
        effect = -mass
    of, after = co2e(material, effect), co2e(other, mass)
    if name == "material_mismatch":
        before = co2e(material, mass)
        of = before - after if before is not None and after is not None else None
    stream = "predictions" if name == "orphan_prediction" else "deposits"
    return Finding(
        ref=f"finding:{name}:{number:05d}",
        name=name,
        machine=fleet[index],
        site=sites[index % len(sites)],
        transaction_id=sha256(f"transaction {number}".encode()).hexdigest()[:16],
        event_time=moment.isoformat().replace("+00:00", "Z"),
        declared=material,
        accepted=accepted,
        mass_mg=mass,
        effect_mg=effect,
        effect_co2e_g=of,
        detail=f"{_CLASS_MEANINGS[name]} ({material})",
        positions=(Position(stream, fleet[index], 1_000 + number),),
    )


def _line(material: str, sums: _Sums) -> MaterialLine:
    figures = {
        name: _figure(f"material:{material or 'none'}.{name}", material, sums.mg[name])
        for name in _TREATMENT
        if name != "supported"
    }
    lost = sums.mg["lost_estimate"]
    return MaterialLine(
        material=material,
        deposits=sums.deposits,
        supported=_figure(f"material:{material or 'none'}.supported", material, sums.supported),
        lost_low_mg=lost * 7 // 10,
        lost_high_mg=lost * 14 // 10,
        **figures,
    )


def _total(name: str, lines: tuple[MaterialLine, ...]) -> Total:
    figures: list[Figure] = [getattr(line, name) for line in lines]
    grams = sum((figure.co2e.g for figure in figures if figure.co2e.g is not None), Decimal(0))
    return Total(
        name,
        _MEANINGS[name],
        Figure(
            Mass(f"total.{name}.mass", sum(figure.mass.mg for figure in figures)),
            Co2e(f"total.{name}.co2e", grams),
        ),
    )


def _classes(found: tuple[Finding, ...], lines: tuple[MaterialLine, ...]) -> tuple[ClassLine, ...]:
    result = []
    for name in CLASSES:
        of = [one for one in found if one.name == name]
        count, mass = len(of), sum(one.mass_mg for one in of)
        if name == "matched":
            in_others = [one for one in found if one.name not in {"matched", "lost", "orphan_prediction"}]
            count = sum(line.deposits for line in lines) - len(in_others)
            mass = sum(line.reported.mass.mg for line in lines) - sum(one.mass_mg for one in in_others)
        grams = sum((one.effect_co2e_g or Decimal(0) for one in of), Decimal(0))
        result.append(
            ClassLine(
                name,
                _CLASS_MEANINGS[name],
                f"class:{name}",
                count,
                mass,
                Figure(
                    Mass(f"class:{name}.effect.mass", sum(one.effect_mg for one in of)),
                    Co2e(f"class:{name}.effect.co2e", grams),
                ),
            )
        )
    return tuple(result)


def _cells(found: tuple[Finding, ...], lines: tuple[MaterialLine, ...]) -> tuple[ClassMaterial, ...]:
    cells: dict[tuple[str, str], tuple[int, int]] = {}
    for line in lines:
        cells["matched", line.material] = (line.deposits, line.supported.mass.mg)
    for one in found:
        count, mass = cells.get((one.name, one.declared), (0, 0))
        cells[one.name, one.declared] = (count + 1, mass + one.mass_mg)
    ordered = sorted(cells, key=lambda cell: (CLASSES.index(cell[0]), cell[1]))
    return tuple(ClassMaterial(*cell, *cells[cell]) for cell in ordered)


def _invariant(
    *,
    name: str,
    title: str,
    assertion: Assertion,
    of: str | None,
    found: tuple[Finding, ...],
    machine_lines: tuple[MachineLine, ...],
    lots: tuple[LotLine, ...],
) -> InvariantResult:
    status: Status = "PASSED"
    checked, effect = 32_606, 0
    grams: Decimal | None = Decimal(0)
    worst: tuple[Offender, ...] = ()
    if of == "lots":
        checked, failed = len(lots), [lot for lot in lots if lot.status != "PASSED"]
        exceptions = len(failed)
        status = "FAILED" if failed else "PASSED"
        effect, grams = sum(lot.difference_mg for lot in failed), None
        worst = tuple(
            Offender(
                lot.lot,
                f"ticket {lot.ticket}",
                lot.difference_mg,
                None,
                (Position("emptyings", lot.machine, 3),),
            )
            for lot in failed
        )
    elif of == "heartbeats":
        gaps = [one for one in machine_lines if one.coverage_ppm is not None and one.coverage_ppm < 975_000]
        checked, exceptions = len(machine_lines), len(gaps)
        status = "REVIEW_REQUIRED" if gaps else "PASSED"
        worst = tuple(
            Offender(
                one.machine, f"{one.heartbeats_seen:,} of {one.heartbeats_due:,} heartbeats", 0, None, ()
            )
            for one in gaps[:10]
        )
    else:
        broken = [one for one in found if one.name == of]
        exceptions = len(broken)
        if broken:
            status = "FAILED" if of in {"duplicate", "conflict", "out_of_period"} else "REVIEW_REQUIRED"
        effect = sum(one.effect_mg for one in broken)
        grams = sum((one.effect_co2e_g or Decimal(0) for one in broken), Decimal(0))
        worst = tuple(
            Offender(one.transaction_id, one.detail, one.effect_mg, one.effect_co2e_g, one.positions)
            for one in sorted(broken, key=lambda one: (-abs(one.effect_mg), one.ref))[:10]
        )
    return InvariantResult(
        name=name,
        title=title,
        assertion=assertion,
        status=status,
        checked=checked,
        exceptions=exceptions,
        ref=f"invariant:{name}",
        effect=Figure(Mass(f"invariant:{name}.mass", effect), Co2e(f"invariant:{name}.co2e", grams)),
        sentence=f"{exceptions:,} of {checked:,} break the rule."
        if exceptions
        else f"All {checked:,} keep the rule.",
        rule=f"{title}, within the period and the scope.",
        worst=worst,
        sql_digest=sha256(name.encode()).hexdigest(),
    )


def _machine(
    *,
    machine: str,
    index: int,
    sites: tuple[str, ...],
    random: Random,
    found: tuple[Finding, ...],
    reported_mg: int,
) -> MachineLine:
    due = 44_640
    seen = due - random.randrange(40) if index % 7 != 5 else due - random.randrange(1_500, 9_000)
    if index == 13:
        due = seen = 0
    return MachineLine(
        machine=machine,
        site=sites[index % len(sites)],
        deposits=1_560 + random.randrange(140),
        reported_mg=reported_mg // 20 + random.randrange(-9_000_000, 9_000_000),
        lost=sum(one.machine == machine and one.name == "lost" for one in found),
        heartbeats_due=due,
        heartbeats_seen=seen,
        coverage_ppm=seen * 1_000_000 // due if due else None,
        calibration="2026-01-14, valid" if index % 6 else "2025-01-20, older than 12 months",
    )


def _lot(number: int, fleet: list[str], sites: tuple[str, ...], random: Random) -> LotLine:
    ticket = random.randrange(38_000_000, 92_000_000)
    off = random.randrange(-14, 15) if number % 6 != 4 else random.choice([-55, 48, 62])
    recorded = ticket + ticket * off // 1_000
    tolerance = ticket * 3 // 100
    index = number % len(fleet)
    return LotLine(
        lot=f"lot-{number + 1:04d}",
        machine=fleet[index],
        site=sites[index % len(sites)],
        deposits=ticket // 40_000,
        recorded_mg=recorded,
        ticket=f"ST-{7_000 + number}",
        ticket_mg=ticket,
        difference_mg=recorded - ticket,
        tolerance_mg=tolerance,
        status="PASSED" if abs(recorded - ticket) <= tolerance else "FAILED",
    )


def _confusion(sums: dict[str, _Sums]) -> tuple[Confusion, ...]:
    names = sorted(_MATERIALS)
    result = []
    for index, declared in enumerate(names):
        of = sums[declared]
        wrong = of.deposits // 90
        result.append(Confusion(declared, declared, of.deposits - wrong, of.supported * 89 // 90))
        result.append(Confusion(declared, names[(index + 3) % len(names)], wrong, of.supported // 90))
    return tuple(result)


def _disclosures(totals: tuple[Total, ...]) -> tuple[Datapoint, ...]:
    tonnes = Decimal(totals[5].figure.mass.mg).scaleb(-9)
    return (
        Datapoint(
            "ESRS E5-5", "E5-5_07", "Total waste generated", "t", None, "whose waste it is: see boundary"
        ),
        Datapoint(
            "ESRS E5-5",
            "E5-5_08",
            "Waste diverted from disposal",
            "t",
            tonnes,
            "supported mass, to recycling",
        ),
        Datapoint(
            "ESRS E5-5", "E5-5_09", "Waste directed to disposal", "t", None, "no treatment records downstream"
        ),
        Datapoint("ESRS E5-5", "E5-5_11", "Non-recycled waste", "%", None, "no treatment records downstream"),
        Datapoint(
            "ESRS E5-5",
            "E5-5_15",
            "Hazardous waste",
            "t",
            Decimal(0),
            "no material of the scope is hazardous",
        ),
        Datapoint("GRI 306", "306-3", "Waste generated", "t", None, "whose waste it is: see boundary"),
        Datapoint(
            "GRI 306", "306-4", "Waste diverted from disposal", "t", tonnes, "off site, supported mass"
        ),
        Datapoint(
            "GRI 306", "306-5", "Waste directed to disposal", "t", None, "no treatment records downstream"
        ),
    )
