"""From figures to the report: names, references, CO2e, sentences, and the opinion.  Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from audit.esg.disclosures import WasteMasses, disclose
from audit.esg.factors import AvoidedFactors
from audit.esg.units import exact_sum
from audit.invariants import rules
from audit.invariants.rule import Answer, Asked, Row, grams
from audit.reconcile.conclusion import conclude
from audit.reconcile.errors import BadRequest
from audit.reconcile.figures import Figures, Sums, effect_of, figures, lost_share
from audit.reconcile.masses import ItemMasses
from audit.reconcile.parameters import Parameters, moment_of, shown
from audit.reconcile.results import Results
from audit.reconcile.tables import correction_lines, lot_lines, machine_lines, uncertainty
from audit.reporting.model import (
    CLASSES,
    ClassLine,
    ClassMaterial,
    Co2e,
    Confusion,
    Figure,
    Finding,
    InvariantResult,
    LedgerState,
    Mass,
    MaterialLine,
    Offender,
    Parameter,
    Position,
    Report,
    Total,
)

CODE_VERSION: Final = "reconcile/1"
"""Raise it when the same evidence gives another report."""

_MEANINGS: Final = {
    "matched": "one deposit, one sure prediction of the same material, on time; "
    "an effect is that of impossible masses and of corrections",
    "material_mismatch": "declared as one material, recognised as another",
    "low_confidence": "the prediction was unsure and no human confirmed it, or a human rejected it",
    "missing_prediction": "a deposit that no prediction supports",
    "orphan_prediction": "a prediction whose deposit is not on record",
    "duplicate": "the same transaction recorded again",
    "conflict": "the same transaction recorded with other content",
    "lost": "a gap in a machine's own count: never recorded, estimated",
    "late": "recorded long after its event; its mass counts",
    "out_of_period": "arrival and event lie on two sides of the period's border",
}
_TOTALS: Final = (
    ("reported", "every deposit record of the period, as the machines sent it"),
    ("corrections", "compensating rows; both the corrected and the correcting row stay"),
    ("overstated", "certainly too much: duplicates, conflicts, another period's, another material's"),
    ("understated", "certainly missing here: recorded as another material"),
    ("in_doubt", "recorded, but without the evidence that it needs"),
    ("supported", "what the evidence supports"),
    ("lost_estimate", "estimate of what was never recorded; in no sum above"),
)
_NOTES: Final = (
    "The reported figure is the sum of the deposit records whose event time lies in the period.",
    "A transaction's uniqueness is checked among the records of the period and its margin, not of all times.",
    "Of a transaction recorded several times, the record with the least mass counts.",
    "A deposit's time of arrival is what its machine stated as observed time; without one, its event time.",
    "What a wrong classification does to CO2e follows from the factors; the total mass is not changed by it.",
    "Lost deposits are estimated from the same machine's deposits; the estimate is in no other sum.",
    "Differences between lots and tickets are evidence of errors, not an effect of their own.",
)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who reports, and by what."""

    operator: str
    boundary: str
    factors: AvoidedFactors


def check_materials(found: Results, asker: Asker, materials: Collection[str] = ()) -> None:
    """Every declared material needs a factor; ``materials``: only these of them, none: all.

    Raises:
        BadRequest: one has none; the message says which and what there is.
    """
    for material in sorted({str(row["material"]) for row in found.claims}):
        if materials and material not in materials:
            continue
        why_not = asker.factors.why_not(material)
        if material and why_not is not None:
            raise BadRequest(
                f"{why_not}; bring a set that has it (--factors FILE), or leave it out (--material)"
            )


def build(
    parameters: Parameters,
    found: Results,
    ledger: LedgerState,
    masses: ItemMasses,
    asker: Asker,
    *,
    sql_digest: str,
) -> Report:
    """The report on the results."""
    builder = _Builder(parameters, found, ledger, masses, asker)
    return builder.report(sql_digest)


class _Builder:
    def __init__(
        self, parameters: Parameters, found: Results, ledger: LedgerState, masses: ItemMasses, asker: Asker
    ) -> None:
        self.parameters = parameters
        self.found = found
        self.ledger = ledger
        self.masses = masses
        self.asker = asker
        self.known: Callable[[str], bool] = lambda name: asker.factors.why_not(name) is None
        self.figures: Figures = figures(found, masses, self.known, parameters.materials)

    def report(self, sql_digest: str) -> Report:
        asker, parameters = self.asker, self.parameters
        materials = [m for m in self.figures.by_material if self.known(m)]
        by_material = tuple(self.material_line(m, s) for m, s in self.figures.by_material.items())
        invariants = tuple(self.invariants())
        by_class = tuple(self.class_line(name) for name in CLASSES)
        totals = tuple(self.total(name, meaning) for name, meaning in _TOTALS)
        supported = {m: max(s.supported, 0) for m, s in self.figures.by_material.items() if m}
        avoided = totals[5].figure.co2e.g
        findings = self.findings()
        return Report(
            operator=asker.operator,
            boundary=asker.boundary,
            period_from=parameters.start,
            period_to=parameters.end,
            sites=parameters.sites,
            machines=parameters.machines,
            materials=parameters.materials,
            code_version=CODE_VERSION,
            sql_digest=sql_digest,
            parameters=(
                *parameters.listed(),
                Parameter("item masses", self.masses.digest, "sha256", "bounds of what one item can weigh"),
                Parameter(
                    "request",
                    json.dumps(parameters.to_json(), sort_keys=True),
                    "JSON",
                    "all of it, to ask again",
                ),
            ),
            ledger=self.ledger,
            factor_set=asker.factors.report_set(materials),
            conclusion=conclude(
                parameters,
                self.ledger,
                self.figures,
                self.by_class_effects(),
                self.co2e_of,
                invariants=invariants,
                unwitnessed={
                    name: answer.sums.get("unwitnessed_mg", 0) for name, answer in self.found.answers.items()
                },
            ),
            totals=totals,
            by_material=by_material,
            by_class=by_class,
            class_by_material=tuple(
                ClassMaterial(name, material, count, mg)
                for (name, material), (count, mg) in self.figures.cells.items()
            ),
            invariants=invariants,
            findings=findings,
            findings_omitted=max(
                self.found.exception_count + len(self.found.gap_sums and self.found.gaps) - len(findings), 0
            ),
            machine_lines=tuple(machine_lines(self.found, parameters)),
            lots=tuple(lot_lines(self.found, parameters)),
            confusion=tuple(
                Confusion(declared, accepted, count, mg)
                for (declared, accepted), (count, mg) in self.figures.confusion.items()
            ),
            uncertainty=uncertainty(self.found, self.figures),
            disclosures=disclose(WasteMasses(supported, asker.boundary), avoided),
            corrections=tuple(correction_lines(self.found)),
            notes=(*_NOTES, *asker.factors.notes(parameters.start, parameters.end, materials)),
        )

    # --- mass and CO2e ---

    def co2e_of(self, by_material: Mapping[str, int]) -> Decimal | None:
        """What these masses avoid, added up; None if a material without a factor is among them."""
        parts = []
        for material, mg in by_material.items():
            if mg == 0:
                continue
            if not self.known(material):
                return None
            parts.append(self.asker.factors.co2e_g(mg, material))
        return exact_sum(parts)

    def figure(self, name: str, by_material: Mapping[str, int]) -> Figure:
        mg = sum(by_material.values())
        return Figure(Mass(f"mass.{name}", mg), Co2e(f"co2e.{name}", self.co2e_of(by_material)))

    def material_line(self, material: str, sums: Sums) -> MaterialLine:
        def one(name: str, mg: int) -> Figure:
            return self.figure(f"{name}.{material or 'none'}", {material: mg})

        return MaterialLine(
            material=material,
            deposits=sums.deposits,
            reported=one("reported", sums.reported),
            corrections=one("corrections", sums.corrections),
            overstated=one("overstated", sums.overstated),
            understated=one("understated", sums.understated),
            in_doubt=one("in_doubt", sums.in_doubt),
            supported=one("supported", sums.supported),
            lost_estimate=one("lost_estimate", sums.lost_mg),
            lost_low_mg=max(sums.lost_mg - sums.lost_margin_mg, 0),
            lost_high_mg=sums.lost_mg + sums.lost_margin_mg,
        )

    def total(self, name: str, meaning: str) -> Total:
        attribute = "lost_mg" if name == "lost_estimate" else name
        values = {m: int(getattr(s, attribute)) for m, s in self.figures.by_material.items()}
        return Total(name, meaning, self.figure(name, values))

    def by_class_effects(self) -> Mapping[str, Figure]:
        return {name: self.class_line(name).effect for name in CLASSES}

    def class_line(self, name: str) -> ClassLine:
        of = self.figures
        return ClassLine(
            name=name,
            meaning=_MEANINGS[name],
            ref=f"class.{name}",
            count=of.class_counts.get(name, 0),
            mass_mg=of.class_masses.get(name, 0),
            effect=self.figure(f"class.{name}", of.class_effects.get(name, {})),
        )

    # --- rules ---

    def invariants(self) -> list[InvariantResult]:
        found = []
        for rule in rules():
            answer = self.found.answers.get(rule.name, Answer(0))
            verdict = rule.judge(Asked(answer, self.found.counted, self.ledger))
            exceptions = answer.exceptions
            if rule.name == "ledger_intact":
                exceptions = self.ledger.break_count
            found.append(
                InvariantResult(
                    name=rule.name,
                    title=rule.title,
                    assertion=rule.assertion,
                    status=verdict.status,
                    checked=verdict.checked,
                    exceptions=exceptions,
                    ref=f"rule.{rule.name}",
                    effect=self.figure(f"rule.{rule.name}", self._with_factor(answer.effects)),
                    sentence=verdict.sentence,
                    rule=rule.says,
                    worst=tuple(self._offender(rule.detail(row), row) for row in answer.worst),
                    sql_digest=hashlib.sha256(rule.sql.encode()).hexdigest() if rule.sql else "",
                )
            )
        return found

    def _with_factor(self, effects: Mapping[str, int]) -> dict[str, int]:
        """What was recognised as something without a factor is added to no material."""
        return {m: mg for m, mg in effects.items() if self.known(m) or mg > 0}

    def _offender(self, detail: str, row: Row) -> Offender:
        effects: dict[str, int] = {}
        for name, column in (("material", "effect_mg"), ("counter_material", "counter_mg")):
            if row[column]:
                effects[row[name] or ""] = effects.get(row[name] or "", 0) + int(row[column])
        effects = self._with_factor(effects)
        positions: tuple[Position, ...] = ()
        if row["stream"] and row["chain"] and row["seq"] is not None:
            positions = (Position(str(row["stream"]), str(row["chain"]), int(row["seq"])),)
        return Offender(str(row["subject"]), detail, sum(effects.values()), self.co2e_of(effects), positions)

    # --- findings ---

    def findings(self) -> tuple[Finding, ...]:
        wanted = frozenset(self.parameters.materials)
        order = {name: place for place, name in enumerate(CLASSES)}
        found = [
            self._finding(row)
            for row in self.found.exceptions
            if not wanted or row["declared"] in wanted or row["accepted"] in wanted
        ]
        if not wanted:
            found += [self._gap(row) for row in self.found.gaps]
        return tuple(sorted(found, key=lambda f: (order[f.name], f.machine, f.event_time, f.ref)))

    def _finding(self, row: Row) -> Finding:
        name, declared, accepted = str(row["class"]), str(row["declared"] or ""), str(row["accepted"] or "")
        machine = str(row["machine_id"])
        positions = []
        if row["deposit_seq"] is not None:
            positions.append(Position("transactions", machine, int(row["deposit_seq"])))
        if row["prediction_seq"] is not None:
            positions.append(
                Position("predictions", str(row["prediction_machine_id"]), int(row["prediction_seq"]))
            )
        place = (machine, int(row["deposit_seq"] or 0))
        effect = self.figures.corrected.get(place) if row["deposit_seq"] is not None else None
        if effect is None:
            effect = effect_of(
                name,
                declared,
                accepted,
                int(row["mass_mg"]),
                claimed=bool(row["claimed"]) and row["deposit_seq"] is not None,
                mass_problem=str(row["mass_problem"]),
                known=self.known,
            )
        by_material = effect.by_material
        return Finding(
            ref=f"finding:{positions[0].stream}/{positions[0].chain}/{positions[0].seq}",
            name=name,
            machine=machine,
            site=str(row["site_id"]),
            transaction_id=str(row["transaction_id"] or ""),
            event_time=shown(moment_of(int(row["event_us"]))),
            declared=declared,
            accepted=accepted,
            mass_mg=int(row["mass_mg"]),
            effect_mg=sum(by_material.values()),
            effect_co2e_g=self.co2e_of(by_material),
            detail=_detail(row, corrected=place in self.figures.corrected),
            positions=tuple(positions),
        )

    def _gap(self, row: Row) -> Finding:
        machine, lost = str(row["machine_id"]), int(row["lost"])
        first, last = int(row["previous_seq"]) + 1, int(row["next_seq"]) - 1
        numbers = f"number {first}" if first == last else f"numbers {first} to {last}"
        claims = [claim for claim in self.found.claims if claim["machine_id"] == machine]
        count = sum(int(claim["deposits"]) for claim in claims)
        mass: dict[str, int] = {}
        for claim in claims:
            mass[str(claim["material"])] = mass.get(str(claim["material"]), 0) + int(claim["mass_mg"])
        share = {material: -lost_share(lost, mg, count) for material, mg in mass.items()}
        return Finding(
            ref=f"lost:{machine}/{first}",
            name="lost",
            machine=machine,
            site=str(row["site_id"]),
            transaction_id="",
            event_time=shown(moment_of(int(row["previous_us"]))),
            declared="",
            accepted="",
            mass_mg=-sum(share.values()),
            effect_mg=sum(share.values()),
            effect_co2e_g=self.co2e_of(share),
            detail=f"{numbers} of the machine's own count {'is' if lost == 1 else 'are'} on record "
            "nowhere; estimated",
            positions=(Position("transactions", machine, int(row["chain_seq"])),),
        )


def _detail(row: Row, *, corrected: bool) -> str:
    name = row["class"]
    parts = []
    if name == "material_mismatch":
        by = "a human saw" if row["decision"] in {"confirmed", "corrected"} else "predicted"
        said = row["accepted"] or "nothing"
        parts.append(f"declared {row['declared'] or 'nothing'}, {by} {said}")
    elif name == "low_confidence":
        sure = f"confidence {row['confidence']:.3f}" if row["confidence"] is not None else "no confidence"
        parts.append("a human rejected it" if row["decision"] == "rejected" else f"{sure}, not reviewed")
    elif name == "orphan_prediction":
        parts.append(f"predicted {row['predicted']}")
    elif name in {"late", "out_of_period"}:
        parts.append(f"arrived {shown(moment_of(int(row['observed_us'])))}")
    if row["mass_problem"] == "implausible":
        parts.append(f"{grams(int(row['mass_mg']))} is no mass of {row['item_count']} {row['declared']}")
    elif row["mass_problem"] == "net":
        parts.append("net is not gross minus tare")
    if corrected:
        parts.append("corrected by a compensating row")
    return "; ".join(parts) or _MEANINGS[name]
