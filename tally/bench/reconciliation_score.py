"""The score of a reconciliation: what it found against what the generator's manifest says went wrong.

The manifest is the truth.  From it follows, fault by fault, what a reconciliation of a period must find; the
engine says what it found.  ``missing`` are faults that it did not find or put into another class, ``false``
are findings that no fault explains.  The ESG figures are computed from the manifest anew, with Decimal and
the factor file alone, so that an error in ``audit`` can't hide in its own arithmetic.

Whatever depends on times that a manifest does not state (when the deposit before a lost one happened, which
heartbeat was the last) may be found near a border of the period that cuts through the run, and need not be.
For a whole run nothing is left open.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Final

from audit.invariants import rules
from audit.reconcile.engines import Engine
from audit.reconcile.parameters import Parameters, micros
from audit.reporting.model import Report

Finding = tuple[str, ...]
"""A kind, and what identifies it: a transaction; a machine and a number of its count; a lot."""

FACTOR_FILE: Final = Path(__file__).parents[2] / "audit" / "esg" / "factor_sets" / "epa-warm-15.csv"
_SECOND_US: Final = 1_000_000
_NEIGHBOUR_US: Final = 6 * 3_600 * _SECOND_US
"""A busy machine's next deposit comes within it: a downtime lasts up to four hours."""
_SHIFT_US: Final = 900 * _SECOND_US
"""No clock is off by more."""
_LEAD_US: Final = _SECOND_US
"""A prediction is made less than that before its deposit."""
_DIGITS: Final = Context(prec=60)
_SHORT_TON_T: Final = Decimal("0.90718474")
_UNSUPPORTED: Final = frozenset({"lost_deposit", "wrong_mass", "lost_prediction"})
_SUBJECT_RULES: Final = (
    "cut_off",
    "lots_balance",
    "machine_up",
    "heartbeat_coverage",
    "model_approved",
    "calibration_valid",
)
"""Rules whose findings are scored as they are; those of the others are rows of the relations."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a machine had for a while, microseconds since 1970; ``shift_us``: how far its clock was off."""

    kind: str
    machine: str
    begin_us: int
    end_us: int
    shift_us: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return f"{self.kind} {self.machine} {self.begin_us}..{self.end_us}"


@dataclass(frozen=True, slots=True)
class ExpectedStretch:
    """Where a found one may begin and end (both inclusive), and whether there must be one."""

    kind: str
    machine: str
    begin_us: tuple[int, int]
    end_us: tuple[int, int]
    shift_us: int = 0
    sure: bool = True

    def explains(self, found: Stretch) -> bool:
        """Whether it is what was found."""
        return (
            (found.kind, found.machine) == (self.kind, self.machine)
            and self.begin_us[0] <= found.begin_us <= self.begin_us[1]
            and self.end_us[0] <= found.end_us <= self.end_us[1]
            and found.shift_us == (self.shift_us, self.shift_us)
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.machine} {self.begin_us}..{self.end_us}"


@dataclass(slots=True)
class Expected:
    """What must be found (``must``), what may be (``may``), and the same of time spans."""

    must: Counter[Finding] = field(default_factory=Counter)
    may: set[Finding] = field(default_factory=set)
    stretches: list[ExpectedStretch] = field(default_factory=list)

    def add(self, finding: Finding, *, sure: bool = True, times: int = 1) -> None:
        """One more, or ``times`` more."""
        if sure:
            self.must[finding] += times
        else:
            self.may.add(finding)


@dataclass(slots=True)
class Found:
    """What a reconciliation found."""

    findings: Counter[Finding] = field(default_factory=Counter)
    stretches: list[Stretch] = field(default_factory=list)
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """Both are empty if the reconciliation is right."""

    missing: tuple[str, ...]
    false: tuple[str, ...]
    expected: int


def score(expected: Expected, found: Found) -> Score:
    """Compare."""
    missing = [" ".join(one) for one in (expected.must - found.findings).elements()]
    false = [" ".join(one) for one in (found.findings - expected.must).elements() if one not in expected.may]
    left = list(found.stretches)
    for wanted in expected.stretches:
        match = next((one for one in left if wanted.explains(one)), None)
        if match is not None:
            left.remove(match)
        elif wanted.sure:
            missing.append(str(wanted))
    false += map(str, left)
    sure = expected.must.total() + sum(stretch.sure for stretch in expected.stretches)
    return Score(tuple(missing), tuple(false), sure)


# --- what must be found ---


def expected_of(manifest: Sequence[Mapping[str, Any]], parameters: Parameters) -> Expected:
    """What follows from the manifest's lines for a period of its run."""
    return _Expecting(manifest, parameters).expected


class _Expecting:
    def __init__(self, manifest: Sequence[Mapping[str, Any]], parameters: Parameters) -> None:
        self.parameters = parameters
        self.begin, self.end = micros(parameters.start), micros(parameters.end)
        self.heartbeat = parameters.heartbeat_s * _SECOND_US
        spec = manifest[0]["spec"]
        self.step = int(spec["step_s"]) * _SECOND_US
        self.run_begin = time_us(str(spec["start"]))
        self.run_end = self.run_begin + int(spec["duration_s"]) * _SECOND_US
        self.expected = Expected()
        self.silent: dict[str, list[int]] = {}
        faults = [line for line in manifest if line["record"] == "fault"]
        for fault in faults:
            getattr(self, f"_{fault['kind']}")(fault, time_us(fault["from"]), time_us(fault["to"]))
        self._coverage()
        self._lots([line for line in manifest if line["record"] == "lot"])

    def _in_period(self, moment_us: int) -> bool:
        return self.begin <= moment_us < self.end

    # --- faults of a transaction: none of them happens while the clock is off ---

    def _duplicated_deposit(self, fault: Mapping[str, Any], at: int, _to: int) -> None:
        if self._in_period(at):
            self.expected.add(
                ("duplicate", transaction_of(fault)), times=int(fault["parameters"]["extra_records"])
            )

    def _lost_deposit(self, fault: Mapping[str, Any], at: int, _to: int) -> None:
        lost = ("lost", str(fault["machine"]), str(fault["rows"][0]["device_seq"]))
        # A gap is in the period of the deposit before it, which came a little earlier.
        borders = [border for border in (self.begin, self.end) if self.run_begin < border < self.run_end]
        near = any(border <= at < border + _NEIGHBOUR_US for border in borders)
        if near or self._in_period(at):
            self.expected.add(lost, sure=not near)
        if fault["parameters"]["prediction_sent"] and self.begin <= at and at - _LEAD_US < self.end:
            sure = at - _LEAD_US >= self.begin and at < self.end
            self.expected.add(("orphan_prediction", transaction_of(fault)), sure=sure)

    def _lost_prediction(self, fault: Mapping[str, Any], at: int, _to: int) -> None:
        if self._in_period(at):
            self.expected.add(("missing_prediction", transaction_of(fault)))

    def _wrong_material(self, fault: Mapping[str, Any], at: int, _to: int) -> None:
        if self._in_period(at):
            of = fault["parameters"]
            self.expected.add(
                ("material_mismatch", transaction_of(fault), of["declared_material"], of["material"])
            )

    def _wrong_mass(self, fault: Mapping[str, Any], at: int, _to: int) -> None:
        if self._in_period(at):
            self.expected.add(("implausible", transaction_of(fault)))

    def _late_arrival(self, fault: Mapping[str, Any], at: int, _to: int) -> None:
        sent = time_us(fault["parameters"]["sent"][0])
        transaction = transaction_of(fault)
        if self._in_period(at):
            self.expected.add(("late", transaction))
            if sent >= self.end:
                self.expected.add(("cut_off", transaction))
        elif self._in_period(sent):
            self.expected.add(("out_of_period", transaction))
            self.expected.add(("cut_off", transaction))

    # --- faults that last ---

    def _clipped(self, begin: int, end: int) -> tuple[int, int]:
        return max(begin, self.begin), min(end, self.end)

    def _clock_skew(self, fault: Mapping[str, Any], begin: int, end: int) -> None:
        shift = int(fault["parameters"]["shift_ms"]) * 1_000
        first, last = self._clipped(begin, end)
        if first < last:
            self.expected.stretches.append(
                ExpectedStretch(
                    "clock",
                    str(fault["machine"]),
                    (first, first + self.heartbeat),
                    (last - self.heartbeat, last),
                    shift,
                    sure=last - first > self.heartbeat,
                )
            )
        reach = abs(shift)
        if any(begin - reach < border < end + reach for border in (self.begin, self.end)):
            for row in fault["rows"]:
                if row["stream"] == "transactions":
                    # Deposits that are claimed on one side of a border and arrived on the other.
                    self.expected.add(("out_of_period", str(row["transaction_id"])), sure=False)
                    self.expected.add(("cut_off", str(row["transaction_id"])), sure=False)

    def _downtime(self, fault: Mapping[str, Any], begin: int, end: int) -> None:
        machine, beat = str(fault["machine"]), self.heartbeat
        first, last = self._clipped(begin, end)
        if first >= last:
            return
        self.expected.stretches.append(
            ExpectedStretch(
                "silence",
                machine,
                (max(first - beat, self.begin), first),
                (last, min(last + beat, self.end)),
                sure=last - first > 2 * beat,
            )
        )
        silent = self.silent.setdefault(machine, [0, 0])
        if (first, last) == (begin, end):
            missed = int(fault["rows"][0]["missing"]) * beat
            silent[0], silent[1] = silent[0] + missed, silent[1] + missed
        else:
            silent[0] += max(last - first - beat, 0)
            silent[1] += last - first + beat

    def _sensor_spike(self, fault: Mapping[str, Any], begin: int, _end: int) -> None:
        self._leap("spike", fault, begin)

    def _slow_drift(self, fault: Mapping[str, Any], _begin: int, end: int) -> None:
        self._leap("drift", fault, end)

    def _leap(self, kind: str, fault: Mapping[str, Any], first: int) -> None:
        """The first reading of a spike, or the first one after a drift."""
        begin, end = self._clipped(first, first + self.step)
        if begin < end:
            sure = (begin, end) == (first, first + self.step)
            within = (begin, end)
            self.expected.stretches.append(
                ExpectedStretch(kind, str(fault["machine"]), within, within, sure=sure)
            )

    # --- what follows from several ---

    def _coverage(self) -> None:
        limit = (self.end - self.begin) * (1_000_000 - self.parameters.coverage_ppm) // 1_000_000
        for machine, (least, most) in self.silent.items():
            if most > limit:
                self.expected.add(("heartbeat_coverage", machine), sure=least > limit)

    def _lots(self, lots: Sequence[Mapping[str, Any]]) -> None:
        """A lot is in the period of its last deposit: after the lot before it, and before it was emptied."""
        emptied_before: dict[str, int] = {}
        for lot in sorted(lots, key=lambda line: (line["machine"], line["emptied"])):
            machine, emptied = str(lot["machine"]), time_us(lot["emptied"])
            first = emptied_before.get(machine, self.run_begin)
            emptied_before[machine] = emptied
            reported, ticket = int(lot["reported_mg"]), int(lot["ticket_mg"])
            tolerance = ticket * self.parameters.lot_tolerance_ppm
            if lot["ticket_id"] is not None:
                failing = (
                    abs(reported - ticket) * 1_000_000
                    > tolerance + self.parameters.lot_tolerance_mg * 1_000_000
                )
            else:
                failing = reported > 0
            if failing and first - _SHIFT_US < self.end and emptied + _SHIFT_US > self.begin:
                first = max(first, emptied - _NEIGHBOUR_US)
                begun = self.begin <= max(self.run_begin, first - _SHIFT_US)
                ended = self.end >= min(self.run_end, emptied + _SHIFT_US)
                self.expected.add(("lots_balance", str(lot["lot_id"])), sure=begun and ended)


def transaction_of(fault: Mapping[str, Any]) -> str:
    """The transaction that a fault hit."""
    return str(fault["rows"][0]["transaction_id"])


def time_us(text: str) -> int:
    """A time of the manifest, in microseconds since 1970."""
    return micros(datetime.fromisoformat(text))


# --- what was found ---


def found_by(engine: Engine) -> Found:
    """Everything that is wrong according to an engine on which the relations are computed."""
    found = Found()
    found.findings.update(_exceptions(engine))
    for row in engine.rows("SELECT machine_id, previous_seq, next_seq FROM gaps"):
        found.gaps += 1
        for number in range(int(row["previous_seq"]) + 1, int(row["next_seq"])):
            found.findings["lost", str(row["machine_id"]), str(number)] += 1
    for rule in rules():
        if rule.name in _SUBJECT_RULES:
            for row in engine.rows(rule.sql):
                found.findings[rule.name, str(row["subject"])] += 1
    for row in engine.rows("SELECT machine_id, begin_us, end_us FROM silences"):
        found.stretches.append(
            Stretch("silence", str(row["machine_id"]), int(row["begin_us"]), int(row["end_us"]))
        )
    for row in engine.rows("SELECT machine_id, begin_us, end_us, least_us, most_us FROM clock_faults"):
        shift = (int(row["least_us"]), int(row["most_us"]))
        found.stretches.append(
            Stretch("clock", str(row["machine_id"]), int(row["begin_us"]), int(row["end_us"]), shift)
        )
    for row in engine.rows("SELECT machine_id, kind, event_us FROM temperature_faults"):
        at = int(row["event_us"])
        found.stretches.append(Stretch(str(row["kind"]), str(row["machine_id"]), at, at))
    return found


def _exceptions(engine: Engine) -> Iterator[Finding]:
    for row in engine.stream(
        "SELECT class, transaction_id, declared, accepted, deposit_seq, mass_problem FROM exceptions"
    ):
        name, transaction = str(row["class"]), str(row["transaction_id"])
        if name == "material_mismatch":
            yield name, transaction, str(row["declared"]), str(row["accepted"])
        elif name == "duplicate" and row["deposit_seq"] is None:
            yield "duplicate_prediction", transaction
        elif name != "matched":
            yield name, transaction
        if row["mass_problem"]:
            yield str(row["mass_problem"]), transaction


def contradictions(report: Report, found: Found) -> list[str]:
    """Where the report's counts are not those of what the engine found."""
    counts = Counter(finding[0] for finding in found.findings.elements())
    stretches = Counter(stretch.kind for stretch in found.stretches)
    repeated = counts["duplicate"] + counts["conflict"]
    of_rules = {
        "transactions_unique": repeated,
        "one_prediction": counts["missing_prediction"] + counts["duplicate_prediction"],
        "no_orphan_prediction": counts["orphan_prediction"],
        "material_agrees": counts["material_mismatch"],
        "confidence_sufficient": counts["low_confidence"],
        "device_seq_gapless": found.gaps,
        "times_consistent": stretches["clock"] + counts["late"],
        "mass_plausible": counts["implausible"] + counts["net"],
        "heartbeats_unbroken": stretches["silence"],
        "temperature_credible": stretches["spike"] + stretches["drift"],
        **{name: counts[name] for name in _SUBJECT_RULES},
    }
    said = [
        f"report, rule {rule.name}: {rule.exceptions} instead of {of_rules[rule.name]}"
        for rule in report.invariants
        if rule.name in of_rules and rule.exceptions != of_rules[rule.name]
    ]
    counts["duplicate"] += counts.pop("duplicate_prediction", 0)
    said += [
        f"report, class {line.name}: {line.count} instead of {counts[line.name]}"
        for line in report.by_class
        if line.name != "matched" and line.count != counts[line.name]
    ]
    named = Counter(finding.name for finding in report.findings)
    if not report.findings_omitted:
        expected = {name: counts[name] for name in named if name not in {"lost", "matched"}}
        said += [
            f"report, findings {name}: {named[name]} instead of {count}"
            for name, count in expected.items()
            if named[name] != count
        ]
    return said


# --- ESG ---


@dataclass(frozen=True, slots=True)
class EsgDifference:
    """The largest differences between the report and the manifest: milligrams of mass, grams of CO2e."""

    mass_mg: int
    co2e_g: Decimal


def esg_difference(manifest: Sequence[Mapping[str, Any]], report: Report) -> EsgDifference:
    """How far the report on a whole run is from the truth, the most over all materials and both totals.

    What must be reported is the manifest's sum of all records.  What must be supported is the truth without
    the deposits that nothing supports: lost, without a prediction, or of an impossible mass.
    """
    summary = next(line for line in manifest if line["record"] == "summary")
    reported = {material: int(mg) for material, mg in summary["reported_mg"].items()}
    supported = {material: int(mg) for material, mg in summary["truth_mg"].items()}
    for line in manifest:
        if line["record"] == "fault" and line["kind"] in _UNSUPPORTED:
            supported[line["parameters"]["material"]] -= int(line["parameters"]["mass_mg"])
    factors = avoided_kg_per_tonne()
    lines = {line.material: line for line in report.by_material}
    masses, co2e = [0], [Decimal(0)]
    for name, wanted in (("reported", reported), ("supported", supported)):
        total = Decimal(0)
        for material, mg in wanted.items():
            grams = _DIGITS.multiply(Decimal(mg).scaleb(-6), factors[material])
            total = _DIGITS.add(total, grams)
            said = lines.get(material)
            if said is None:
                masses.append(mg)
                co2e.append(grams)
                continue
            figure = said.reported if name == "reported" else said.supported
            masses.append(figure.mass.mg - mg)
            co2e.append(_apart(figure.co2e.g, grams))
        figure = next(one.figure for one in report.totals if one.name == name)
        masses.append(figure.mass.mg - sum(wanted.values()))
        co2e.append(_apart(figure.co2e.g, total))
    masses += [said.reported.mass.mg for name, said in lines.items() if name not in reported]
    return EsgDifference(max(map(abs, masses)), max(map(abs, co2e)))


def _apart(said: Decimal | None, computed: Decimal) -> Decimal:
    return Decimal("Infinity") if said is None else _DIGITS.subtract(said, computed)


def avoided_kg_per_tonne(path: Path = FACTOR_FILE) -> dict[str, Decimal]:
    """What recycling a tonne avoids against landfilling it, by material, from the factor file's own values.

    They are metric tons of CO2e per short ton (907.18474 kg): times 1000 / 0.90718474 is kg per tonne.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    of = {(row["material"], row["treatment"]): Decimal(row["value"]) for row in rows}
    return {
        material: _DIGITS.divide(
            _DIGITS.multiply(_DIGITS.subtract(of[material, "landfill"], value), Decimal(1_000)), _SHORT_TON_T
        )
        for (material, treatment), value in of.items()
        if treatment == "recycling"
    }
