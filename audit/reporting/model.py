"""What a reconciliation report says, before anything is rendered: one model for every format.

A report is a pure function of the evidence of its period, the factor set, the parameters and the rules:
nothing here holds a clock's time, a path or a host.  Masses are integer milligrams, CO2e is an exact Decimal
in grams; formatters round, the model does not.

Every figure that a reader may doubt carries a ``ref``, by which ``tally explain REF`` shows the rows and the
arithmetic behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

SCHEMA: Final = "tally-report/1"

Assertion = Literal["occurrence", "completeness", "accuracy", "cut-off", "classification"]
Status = Literal["PASSED", "FAILED", "REVIEW_REQUIRED"]
Opinion = Literal["no_material_misstatement", "review_required", "material_misstatement", "no_conclusion"]
"""How a report concludes; ``no_conclusion``: the ledger is broken, so no figure can be relied on."""

CLASSES: Final = (
    "matched",
    "material_mismatch",
    "low_confidence",
    "missing_prediction",
    "orphan_prediction",
    "duplicate",
    "conflict",
    "lost",
    "late",
    "out_of_period",
)
"""Every deposit and every prediction is in exactly one of these."""


@dataclass(frozen=True, slots=True)
class Mass:
    """A mass that the report states, in whole milligrams, with its signed sense stated where it stands."""

    ref: str
    mg: int


@dataclass(frozen=True, slots=True)
class Co2e:
    """Greenhouse gas in grams of CO2 equivalent, exact; None where a material has no verified factor."""

    ref: str
    g: Decimal | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A mass and the avoided CO2e that belongs to it."""

    mass: Mass
    co2e: Co2e


@dataclass(frozen=True, slots=True)
class Parameter:
    """A choice that the report depends on, with its unit and what it decides."""

    name: str
    value: str
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class StreamEvidence:
    """What of one stream the report read: how many rows of how many chains, and a digest over their ends."""

    stream: str
    rows: int
    chains: int
    digest: str


@dataclass(frozen=True, slots=True)
class LedgerBreak:
    """One place where the ledger contradicts itself, as ``tally verify`` names it."""

    kind: str
    stream: str
    chain: str
    first_seq: int | None
    last_seq: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What verification said.  ``intact`` is None if it was switched off, which the report then says."""

    intact: bool | None
    breaks: tuple[LedgerBreak, ...]
    break_count: int
    streams: tuple[StreamEvidence, ...]
    evidence_digest: str


@dataclass(frozen=True, slots=True)
class Factor:
    """An emission factor as it was used: what one tonne of the material avoids, kg CO2e per tonne.

    ``avoided`` is ``baseline - treatment``, exact.  ``source_unit`` is what the source printed the values in.
    ``verified`` is "yes", "derived" or "transcribed"; anything but "yes" is marked wherever it is shown.
    """

    material: str
    treatment: str
    treatment_value: str
    baseline: str
    baseline_value: str
    source_unit: str
    avoided_kg_per_t: Decimal
    verified: str
    source: str


@dataclass(frozen=True, slots=True)
class FactorSet:
    """A locked, versioned set of factors."""

    name: str
    version: str
    gwp: str
    digest: str
    valid_from: str
    valid_to: str
    factors: tuple[Factor, ...]


@dataclass(frozen=True, slots=True)
class MaterialLine:
    """A row of the central table.  All masses in milligrams, net of tare.

    reported + ``corrections`` - overstated + understated - in_doubt = supported, to the milligram.

    Args:
        material: as it was declared; "" where the machine declared none.
        reported: sum over every deposit record of the period.
        corrections: sum of the compensating rows.
        overstated: what is certainly too much (duplicates, conflicts, wrong period or material); positive.
        understated: what certainly belongs here and was reported as another material; positive.
        in_doubt: recorded without the evidence that it needs (no prediction, unsure, implausible); positive.
        supported: what the evidence supports.
        lost_estimate: estimate of lost deposits, apart from all sums above, with its 95 % interval.
    """

    material: str
    deposits: int
    reported: Figure
    corrections: Figure
    overstated: Figure
    understated: Figure
    in_doubt: Figure
    supported: Figure
    lost_estimate: Figure
    lost_low_mg: int
    lost_high_mg: int


@dataclass(frozen=True, slots=True)
class ClassLine:
    """How many deposits or predictions are in a class, their mass, and what they do to the reported figure.

    ``effect`` is reported minus supported: positive overstates.  For ``lost`` it is the (negative) estimate.
    """

    name: str
    meaning: str
    ref: str
    count: int
    mass_mg: int
    effect: Figure


@dataclass(frozen=True, slots=True)
class ClassMaterial:
    """A cell of the table class by material."""

    name: str
    material: str
    count: int
    mass_mg: int


@dataclass(frozen=True, slots=True)
class Position:
    """Where a row lies in the ledger."""

    stream: str
    chain: str
    seq: int


@dataclass(frozen=True, slots=True)
class Offender:
    """A row, machine or lot that an invariant names, with the signed effect on reported mass."""

    subject: str
    detail: str
    effect_mg: int
    effect_co2e_g: Decimal | None
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class InvariantResult:
    """The answer of one rule.

    ``checked`` rows or things were looked at, ``exceptions`` of them break the rule; ``effect`` is signed
    (reported minus supported).  ``worst``: the ten with the largest effect.
    """

    name: str
    title: str
    assertion: Assertion
    status: Status
    checked: int
    exceptions: int
    ref: str
    effect: Figure
    sentence: str
    rule: str
    worst: tuple[Offender, ...]
    sql_digest: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One exception, in one class: what it is, where it lies, its signed effect on the reported figure."""

    ref: str
    name: str
    machine: str
    site: str
    transaction_id: str
    event_time: str
    declared: str
    accepted: str
    mass_mg: int
    effect_mg: int
    effect_co2e_g: Decimal | None
    detail: str
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class MachineLine:
    """Completeness of one machine.  ``coverage_ppm``: heartbeats seen of those due, parts per million."""

    machine: str
    site: str
    deposits: int
    reported_mg: int
    lost: int
    heartbeats_due: int
    heartbeats_seen: int
    coverage_ppm: int | None
    calibration: str


@dataclass(frozen=True, slots=True)
class LotLine:
    """A lot between two emptyings against the plant's scale ticket; ``difference_mg`` = recorded - ticket."""

    lot: str
    machine: str
    site: str
    deposits: int
    recorded_mg: int
    ticket: str
    ticket_mg: int
    difference_mg: int
    tolerance_mg: int
    status: Status


@dataclass(frozen=True, slots=True)
class Confusion:
    """Supported deposits by declared and accepted material."""

    declared: str
    accepted: str
    deposits: int
    mass_mg: int


@dataclass(frozen=True, slots=True)
class Datapoint:
    """A figure of a disclosure standard.  ``value`` is None where this system has no evidence for it."""

    standard: str
    datapoint: str
    name: str
    unit: str
    value: Decimal | None
    note: str


@dataclass(frozen=True, slots=True)
class CorrectionLine:
    """A compensating row: what it corrects, by how much, why and by whom.  ``valid``: it names a real row."""

    ref: str
    corrects: Position
    position: Position
    mass_delta_mg: int
    material_from: str
    material_to: str
    reason: str
    actor: str
    valid: bool
    problem: str


@dataclass(frozen=True, slots=True)
class RestatementLine:
    """What one cause changed between an earlier report and this one: this minus earlier."""

    cause: str
    mass_mg: int
    co2e_g: Decimal | None


@dataclass(frozen=True, slots=True)
class Restatement:
    """This report restates an earlier one, whose digest it names; the lines sum to the difference."""

    earlier_digest: str
    earlier_factor_set: str
    lines: tuple[RestatementLine, ...]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Against materiality: what was found, signed and gross, as a part of the reported figure (ppm).

    ``known_ppm``: certain misstatement, gross (over plus under); ``doubt_ppm``: recorded without evidence;
    ``estimated_ppm``: lost deposits, estimated.
    """

    opinion: Opinion
    sentences: tuple[str, ...]
    materiality_ppm: int
    performance_materiality_ppm: int
    known_ppm: int
    net_ppm: int
    doubt_ppm: int
    estimated_ppm: int
    basis: Literal["mass", "co2e"]


@dataclass(frozen=True, slots=True)
class Total:
    """The headline: one figure for the whole report."""

    name: str
    meaning: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Report:
    """Everything; ``digest`` is not in it, since it is the digest of this rendered as JSON."""

    operator: str
    boundary: str
    period_from: datetime
    period_to: datetime
    sites: tuple[str, ...]
    machines: tuple[str, ...]
    materials: tuple[str, ...]
    code_version: str
    sql_digest: str
    parameters: tuple[Parameter, ...]
    ledger: LedgerState
    factor_set: FactorSet
    conclusion: Conclusion
    totals: tuple[Total, ...]
    """reported, corrections, overstated, understated, in_doubt, supported, lost_estimate: in this order."""
    by_material: tuple[MaterialLine, ...]
    by_class: tuple[ClassLine, ...]
    class_by_material: tuple[ClassMaterial, ...]
    invariants: tuple[InvariantResult, ...]
    findings: tuple[Finding, ...]
    """Every exception, ordered by class, machine, time; ``findings_omitted`` more are only counted."""
    findings_omitted: int
    machine_lines: tuple[MachineLine, ...]
    lots: tuple[LotLine, ...]
    confusion: tuple[Confusion, ...]
    uncertainty: tuple[Parameter, ...]
    """Sources of uncertainty, quantified: name, value, unit, meaning."""
    disclosures: tuple[Datapoint, ...]
    corrections: tuple[CorrectionLine, ...] = field(default=())
    restatement: Restatement | None = None
    notes: tuple[str, ...] = field(default=())
    """Assumptions and limits, a sentence each."""
