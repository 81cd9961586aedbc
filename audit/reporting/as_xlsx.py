"""A report as a workbook, for whoever recomputes it: figures as numbers, sums and products as formulas.

 Formulas stand where an auditor would look for them: supported = reported + corrections - overstated +
understated - in doubt; CO2e = mass x factor, by reference to the sheet Factors; differences, coverage,
sums.  Each carries the report's own figure as its cached value.  Where the report's figure isn't what the
formula gives, the figure is written instead, in red.  Masses are in kg and CO2e in kg; a float64 holds both
to the milligram up to nine million tonnes.

Text is always text, never a formula or a link, and is made safe to look at (``figures.shown``); the JSON
and the CSV files have it to the character.  Bytes are deterministic: the workbook's date is the end of the
period.
"""

from __future__ import annotations

from decimal import Decimal
from io import BytesIO
from itertools import groupby
from typing import Final

from audit.reporting.as_json import decimal_text, report_digest, time_text
from audit.reporting.figures import OPINION_WORDS, STATUS_WORDS, class_words, count, place, shown
from audit.reporting.model import Co2e, Factor, Figure, Finding, Report
from audit.reporting.workbook import HEAD_ROW, MOST_ROWS, Book, Column, Flag, Formula, Value, at, cell_text

_SHORT_TON_T: Final = "0.90718474"
"""Tonnes of a short ton, exact (2,000 pounds of 0.45359237 kg)."""

_FIGURES: Final = (
    "reported",
    "corrections",
    "overstated",
    "understated",
    "in_doubt",
    "supported",
    "lost_estimate",
)
_FIGURE_HEADS: Final = (
    "Reported",
    "Corrections",
    "Overstated",
    "Understated",
    "In doubt",
    "Supported",
    "Lost, estimated",
)
_FACTOR_COLUMN: Final = 6
_MATERIAL_FACTOR_COLUMN: Final = 2 + len(_FIGURES) + 2


def render(report: Report) -> bytes:
    """The report as an XLSX file.

    Raises:
        Unrenderable: as ``as_json.render``.
    """
    buffer = BytesIO()
    book = Book(buffer, report_digest(report), report.operator, report.period_to)
    _summary(book, report)
    factors = _factors(book, report)
    _materials(book, report, factors)
    for sheet in (_classes, _invariants, _findings, _machines, _lots, _disclosures, _parameters):
        sheet(book, report)
    book.close()
    return buffer.getvalue()


def _kg(mg: int) -> Decimal:
    return Decimal(f"{mg}e-6")


def _co2e_kg(co2e: Co2e) -> Decimal | None:
    return None if co2e.g is None else Decimal(f"{decimal_text(co2e.g)}e-3")


def _summary(book: Book, report: Report) -> None:
    """The first sheet: whose report, the conclusion, the headline figures by reference to Materials."""
    broken = report.ledger.intact is False
    columns = (
        Column("", 26),
        Column("", 22, "kg"),
        Column("", 22, "kg"),
        Column("", 16, "part"),
        Column("", 60),
    )
    note = f"Report digest {book.digest}"
    sheet = book.sheet("Summary", "Reconciliation report", note, columns, 0)
    sheet.freeze_panes(2, 0)
    headline = (
        "No conclusion can be drawn: the ledger is broken."
        if broken
        else OPINION_WORDS[report.conclusion.opinion]
    )
    ledger = {None: "not verified", True: "intact", False: "broken"}[report.ledger.intact]
    if broken:
        ledger += f" in {count(report.ledger.break_count, 'place')}: rely on no figure here"
    alarming = broken or report.conclusion.opinion != "no_material_misstatement"
    facts: list[tuple[str, Value]] = [
        ("Conclusion", Flag(headline) if alarming else headline),
        *(("", sentence) for sentence in report.conclusion.sentences),
        ("Ledger", ledger if report.ledger.intact else Flag(ledger)),
        ("Operator", report.operator),
        ("Boundary", report.boundary),
        ("From", time_text(report.period_from)),
        ("To, not included", time_text(report.period_to)),
        ("Sites", count(len(report.sites), "site")),
        ("Machines", count(len(report.machines), "machine")),
    ]
    row = HEAD_ROW
    for name, value in facts:
        sheet.write_string(row, 0, name, book.note)
        book.write(sheet, row, 1, value, "text")
        row += 1
    row += 1
    for index, head in enumerate(
        ("Figure", "Mass, kg", "CO2e avoided, kg", "Part of reported mass", "Meaning")
    ):
        sheet.write_string(row, index, head, book.head if index in {0, 4} else book.head_right)
    first = row + 1
    sums = _material_sums(report)
    for row, total in enumerate(report.totals, first):
        book.write(sheet, row, 0, class_words(total.name).capitalize(), "text")
        states = _kg(total.figure.mass.mg)
        where = sums.get(total.name)
        if where is None:
            book.write(sheet, row, 1, states, "kg")
            book.write(sheet, row, 2, _co2e_kg(total.figure.co2e), "kg")
        else:
            mass, co2e = where
            book.write(sheet, row, 1, Formula(f"=Materials!{mass[0]}", mass[1], states), "kg")
            stated = _co2e_kg(total.figure.co2e)
            grams = None if stated is None else Formula(f"=Materials!{co2e[0]}", co2e[1], stated)
            book.write(sheet, row, 2, grams or Flag("not stated: a factor is missing"), "kg")
        whole = report.totals[0].figure.mass.mg
        if whole:
            part = Decimal(total.figure.mass.mg) / Decimal(whole)
            book.write(
                sheet, row, 3, Formula(f"={at(row, 1)}/{at(first, 1, fixed=True)}", part, part), "part"
            )
        book.write(sheet, row, 4, total.meaning, "text")


def _factors(book: Book, report: Report) -> dict[str, tuple[int, Factor]]:
    """The sheet Factors; where each material's factor stands, if it has one only."""
    of = report.factor_set
    columns = (
        Column("Material", 20),
        Column("Treatment", 16),
        Column("Treatment value, in the source's unit", 18, "value"),
        Column("Baseline", 16),
        Column("Baseline value, in the source's unit", 18, "value"),
        Column("Source's unit", 20),
        Column("Avoided as used, kg CO2e per t", 18, "factor"),
        Column("Baseline - treatment, kg CO2e per t", 18, "factor"),
        Column("Checked", 14),
        Column("Source", 60),
    )
    rows: list[list[Value]] = []
    for row, factor in enumerate(of.factors, HEAD_ROW + 1):
        treatment, baseline = _decimal(factor.treatment_value), _decimal(factor.baseline_value)
        rows.append(
            [
                factor.material,
                factor.treatment,
                factor.treatment_value if treatment is None else treatment,
                factor.baseline,
                factor.baseline_value if baseline is None else baseline,
                factor.source_unit,
                factor.avoided_kg_per_t,
                _avoided(row, factor.source_unit, treatment, baseline),
                factor.verified if factor.verified == "yes" else Flag(factor.verified),
                factor.source,
            ]
        )
    note = f"{of.name} {of.version}, {of.gwp}, valid {of.valid_from} to {of.valid_to}, SHA-256 {of.digest}"
    book.table("Factors", "Emission factors", cell_text(note), columns, rows)
    places: dict[str, list[tuple[int, Factor]]] = {}
    for row, factor in enumerate(of.factors, HEAD_ROW + 1):
        places.setdefault(factor.material, []).append((row, factor))
    return {material: where[0] for material, where in places.items() if len(where) == 1}


def _materials(book: Book, report: Report, factors: dict[str, tuple[int, Factor]]) -> None:
    """The central table, with the identity and the products as formulas."""
    columns = (
        Column("Material", 20),
        Column("Deposits", 11, "count", summed=True),
        *(Column(f"{name}, kg", 13, "kg", summed=True) for name in _FIGURE_HEADS),
        Column("Lost, low, kg", 13, "kg"),
        Column("Lost, high, kg", 13, "kg"),
        Column("Factor, kg CO2e per t", 13, "factor"),
        *(Column(f"{name}, kg CO2e", 13, "kg", summed=True) for name in _FIGURE_HEADS),
    )
    rows: list[list[Value]] = []
    for row, line in enumerate(report.by_material, HEAD_ROW + 1):
        figures: list[Figure] = [getattr(line, name) for name in _FIGURES]
        mass: list[Value] = [_kg(figure.mass.mg) for figure in figures]
        mg = [figure.mass.mg for figure in figures]
        of = [at(row, 2 + index) for index in range(5)]
        mass[5] = Formula(
            f"={of[0]}+{of[1]}-{of[2]}+{of[3]}-{of[4]}",
            _kg(mg[0] + mg[1] - mg[2] + mg[3] - mg[4]),
            _kg(mg[5]),
        )
        where = factors.get(line.material)
        factor = None if where is None else where[1].avoided_kg_per_t
        reference = None if where is None else f"=Factors!{at(where[0], _FACTOR_COLUMN)}"
        rows.append(
            [
                line.material or "(none declared)",
                line.deposits,
                *mass,
                _kg(line.lost_low_mg),
                _kg(line.lost_high_mg),
                None if factor is None or reference is None else Formula(reference, factor, factor),
                *(_product(row, index, figure, factor) for index, figure in enumerate(figures)),
            ]
        )
    note = (
        "Supported = reported + corrections - overstated + understated - in doubt. CO2e = mass x "
        "factor / 1000. Lost is estimated and in no sum. Red: the report's figure is not what the "
        "formula gives."
    )
    book.table("Materials", "By material", note, columns, rows)


def _classes(book: Book, report: Report) -> None:
    """The classes."""
    columns = (
        Column("Class", 22),
        Column("Deposits or predictions", 14, "count", summed=True),
        Column("Mass, kg", 14, "kg", summed=True),
        Column("Effect, kg", 14, "kg", summed=True),
        Column("Effect, kg CO2e", 14, "kg", summed=True),
        Column("Reference", 28),
        Column("Meaning", 70),
    )
    rows: list[list[Value]] = [
        [
            class_words(line.name),
            line.count,
            _kg(line.mass_mg),
            _kg(line.effect.mass.mg),
            _co2e_kg(line.effect.co2e),
            line.ref,
            line.meaning,
        ]
        for line in report.by_class
    ]
    note = "Effect: reported minus supported; that of lost deposits is an estimate."
    book.table("Classes", "Classes", note, columns, rows)


def _invariants(book: Book, report: Report) -> None:
    """The rules."""
    columns = (
        Column("Rule", 24),
        Column("Title", 44),
        Column("Assertion", 15),
        Column("Result", 12),
        Column("Checked", 11, "count"),
        Column("Exceptions", 11, "count"),
        Column("Exceptions, part of checked", 13, "part"),
        Column("Effect, kg", 13, "kg"),
        Column("Effect, kg CO2e", 13, "kg"),
        Column("Said", 60),
        Column("Reference", 28),
        Column("SHA-256 of its query", 20),
    )
    rows: list[list[Value]] = []
    for row, one in enumerate(report.invariants, HEAD_ROW + 1):
        part = Decimal(one.exceptions) / Decimal(one.checked) if one.checked else None
        words = STATUS_WORDS[one.status]
        rows.append(
            [
                one.name,
                one.title,
                one.assertion,
                words if one.status == "PASSED" else Flag(words),
                one.checked,
                one.exceptions,
                None if part is None else Formula(f"={at(row, 5)}/{at(row, 4)}", part, part),
                _kg(one.effect.mass.mg),
                _co2e_kg(one.effect.co2e),
                one.sentence,
                one.ref,
                one.sql_digest,
            ]
        )
    book.table("Invariants", "Invariants", "Effect: reported minus supported.", columns, rows)


def _findings(book: Book, report: Report) -> None:
    """A sheet for each class that has findings, with every one of them."""
    columns = (
        Column("Reference", 28),
        Column("Machine", 16),
        Column("Site", 18),
        Column("Time", 24),
        Column("Transaction", 22),
        Column("Declared", 16),
        Column("Accepted", 16),
        Column("Mass, g", 12, "g", summed=True),
        Column("Effect, g", 12, "g", summed=True),
        Column("Effect, g CO2e", 14, "g", summed=True),
        Column("What", 60),
        Column("Position in the ledger", 40),
    )
    note = "Every finding of the class; sums are of what a filter leaves. Effect: reported minus supported."
    if report.findings_omitted:
        note += f" {report.findings_omitted:,} findings of the report are only counted and in no sheet."
    ordered = sorted(report.findings, key=lambda one: one.name)
    by_class = {name: list(found) for name, found in groupby(ordered, lambda one: one.name)}
    for name in dict.fromkeys(one.name for one in report.findings):
        rows = [_finding(one) for one in by_class[name]]
        title = f"Findings: {class_words(name)}"
        book.table(class_words(name), shown(title), note, columns, rows)


def _machines(book: Book, report: Report) -> None:
    """Completeness."""
    columns = (
        Column("Machine", 18),
        Column("Site", 20),
        Column("Deposits", 11, "count", summed=True),
        Column("Reported, kg", 14, "kg", summed=True),
        Column("Lost deposits, estimated", 13, "count", summed=True),
        Column("Heartbeats due", 13, "count", summed=True),
        Column("Heartbeats seen", 13, "count", summed=True),
        Column("Coverage", 11, "part"),
        Column("Calibration", 34),
    )
    rows: list[list[Value]] = []
    for row, one in enumerate(report.machine_lines, HEAD_ROW + 1):
        coverage: Value = None
        if one.coverage_ppm is not None:
            states = Decimal(f"{one.coverage_ppm}e-6")
            gives = Decimal(one.heartbeats_seen) / Decimal(one.heartbeats_due or 1)
            coverage = Formula(f"={at(row, 6)}/{at(row, 5)}", gives, states)
        rows.append(
            [
                one.machine,
                one.site,
                one.deposits,
                _kg(one.reported_mg),
                one.lost,
                one.heartbeats_due,
                one.heartbeats_seen,
                coverage,
                one.calibration,
            ]
        )
    book.table("Machines", "Machines and completeness", "Coverage = seen / due.", columns, rows)


def _lots(book: Book, report: Report) -> None:
    """Lots against tickets."""
    columns = (
        Column("Lot", 16),
        Column("Ticket", 16),
        Column("Machine", 18),
        Column("Site", 20),
        Column("Deposits", 11, "count", summed=True),
        Column("Recorded, kg", 14, "kg", summed=True),
        Column("Ticket, kg", 14, "kg", summed=True),
        Column("Difference, kg", 14, "kg", summed=True),
        Column("Difference, part of ticket", 13, "part"),
        Column("Tolerance, kg", 13, "kg"),
        Column("Result", 12),
    )
    rows: list[list[Value]] = []
    for row, one in enumerate(report.lots, HEAD_ROW + 1):
        recorded, ticket, difference = map(_kg, (one.recorded_mg, one.ticket_mg, one.difference_mg))
        part = difference / ticket if ticket else None
        words = STATUS_WORDS[one.status]
        rows.append(
            [
                one.lot,
                one.ticket,
                one.machine,
                one.site,
                one.deposits,
                recorded,
                ticket,
                Formula(f"={at(row, 5)}-{at(row, 6)}", _kg(one.recorded_mg - one.ticket_mg), difference),
                None if part is None else Formula(f"={at(row, 7)}/{at(row, 6)}", part, part),
                _kg(one.tolerance_mg),
                words if one.status == "PASSED" else Flag(words),
            ]
        )
    book.table("Lots", "Lots against scale tickets", "Difference = recorded - ticket.", columns, rows)


def _disclosures(book: Book, report: Report) -> None:
    """The datapoints; "no evidence" where there is no figure."""
    columns = (
        Column("Standard", 14),
        Column("Datapoint", 14),
        Column("Name", 44),
        Column("Value", 18, "value"),
        Column("Unit", 10),
        Column("Note", 70),
    )
    rows: list[list[Value]] = [
        [
            one.standard,
            one.datapoint,
            one.name,
            "no evidence" if one.value is None else one.value,
            one.unit,
            one.note,
        ]
        for one in report.disclosures
    ]
    note = "No evidence: nothing is measured that the datapoint could be computed from; it isn't zero."
    book.table("Disclosures", "Disclosures", note, columns, rows)


def _parameters(book: Book, report: Report) -> None:
    """What else the report rests on: parameters, corrections, assumptions, digests, a row each."""
    columns = (
        Column("Kind", 16),
        Column("Name", 30),
        Column("Value", 44),
        Column("Unit", 24),
        Column("Meaning", 80),
    )
    rows: list[list[Value]] = [
        ["parameter", one.name, one.value, one.unit, one.meaning] for one in report.parameters
    ]
    rows += [["uncertainty", one.name, one.value, one.unit, one.meaning] for one in report.uncertainty]
    rows += [
        [
            "correction",
            one.ref,
            _kg(one.mass_delta_mg),
            "kg",
            f"{place(one.corrects)}, by {place(one.position)}: {one.reason} ({one.actor})"
            + ("" if one.valid else f"; refused: {one.problem}"),
        ]
        for one in report.corrections
    ]
    if report.restatement is not None:
        earlier = report.restatement
        rows.append(["restatement", "of", earlier.earlier_digest, "SHA-256", earlier.earlier_factor_set])
        for line in earlier.lines:
            rows.append(["restatement", line.cause, _kg(line.mass_mg), "kg", ""])
            grams = _co2e_kg(Co2e("", line.co2e_g))
            rows.append(["restatement", line.cause, "no factor" if grams is None else grams, "kg CO2e", ""])
    rows += [["assumption", "", "", "", note] for note in report.notes]
    rows += [
        ["digest", name, value, "SHA-256", ""]
        for name, value in (
            ("report as JSON", book.digest),
            ("evidence", report.ledger.evidence_digest),
            ("factor set", report.factor_set.digest),
            ("queries", report.sql_digest),
        )
    ]
    rows += [
        [
            "evidence",
            one.stream,
            one.digest,
            "SHA-256",
            f"{count(one.rows, 'row')} of {count(one.chains, 'chain')}",
        ]
        for one in report.ledger.streams
    ]
    rows += [
        [
            "break",
            f"{one.stream} {one.chain}",
            one.kind,
            f"rows {one.first_seq} to {one.last_seq}",
            one.detail,
        ]
        for one in report.ledger.breaks
    ]
    rows.append(["code", "version", report.code_version, "", ""])
    book.table("Parameters", "Parameters, assumptions and digests", "", columns, rows)


def _material_sums(report: Report) -> dict[str, tuple[tuple[str, Decimal], tuple[str, Decimal]]]:
    """For each total the cells of Materials with its sums, of mass and of CO2e, and what they give."""
    lines = report.by_material
    if not lines or len(lines) > MOST_ROWS - HEAD_ROW - 2:
        return {}
    row = HEAD_ROW + 1 + len(lines)
    found = {}
    for index, name in enumerate(_FIGURES):
        figures: list[Figure] = [getattr(line, name) for line in lines]
        mass = _kg(sum(figure.mass.mg for figure in figures))
        co2e = sum((_co2e_kg(figure.co2e) or Decimal(0) for figure in figures), Decimal(0))
        column = _MATERIAL_FACTOR_COLUMN + 1 + index
        found[name] = ((at(row, 2 + index), mass), (at(row, column), co2e))
    return found


def _product(row: int, index: int, figure: Figure, factor: Decimal | None) -> Value:
    states = _co2e_kg(figure.co2e)
    if states is None or factor is None:
        return states
    gives = _kg(figure.mass.mg) * factor / 1000
    return Formula(f"={at(row, 2 + index)}*${at(row, _MATERIAL_FACTOR_COLUMN)}/1000", gives, states)


def _avoided(row: int, unit: str, treatment: Decimal | None, baseline: Decimal | None) -> Value:
    """Baseline minus treatment in kg CO2e per tonne; nothing for a unit that isn't known here."""
    if treatment is None or baseline is None:
        return None
    difference = f"={at(row, 4)}-{at(row, 2)}"
    if unit == "MTCO2e/short_ton":
        gives = (baseline - treatment) / Decimal(_SHORT_TON_T) * 1000
        return Formula(f"=({difference[1:]})/{_SHORT_TON_T}*1000", gives, gives)
    return Formula(difference, baseline - treatment, baseline - treatment) if unit == "kgCO2e/tonne" else None


def _finding(one: Finding) -> list[Value]:
    return [
        one.ref,
        one.machine,
        one.site,
        one.event_time,
        one.transaction_id,
        one.declared,
        one.accepted,
        Decimal(f"{one.mass_mg}e-3"),
        Decimal(f"{one.effect_mg}e-3"),
        one.effect_co2e_g,
        one.detail,
        "; ".join(map(place, one.positions)),
    ]


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except ArithmeticError:
        return None
    return value if value.is_finite() and abs(value.adjusted()) < 300 else None
