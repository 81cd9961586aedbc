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
from typing import Final

from audit.reporting.as_json import report_digest, time_text
from audit.reporting.figures import OPINION_WORDS, class_words, count
from audit.reporting.model import Factor, Figure, Report
from audit.reporting.workbook import HEAD_ROW, MOST_ROWS, Book, Column, Flag, Formula, Value, at, cell_text
from audit.reporting.xlsx_sheets import (
    classes,
    co2e_in_kg,
    disclosures,
    findings,
    in_kg,
    invariants,
    lots,
    machines,
    parameters,
)

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
    for sheet in (classes, invariants, findings, machines, lots, disclosures, parameters):
        sheet(book, report)
    book.close()
    return buffer.getvalue()


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
        states = in_kg(total.figure.mass.mg)
        where = sums.get(total.name)
        if where is None:
            book.write(sheet, row, 1, states, "kg")
            book.write(sheet, row, 2, co2e_in_kg(total.figure.co2e), "kg")
        else:
            mass, co2e = where
            book.write(sheet, row, 1, Formula(f"=Materials!{mass[0]}", mass[1], states), "kg")
            stated = co2e_in_kg(total.figure.co2e)
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
        mass: list[Value] = [in_kg(figure.mass.mg) for figure in figures]
        mg = [figure.mass.mg for figure in figures]
        of = [at(row, 2 + index) for index in range(5)]
        mass[5] = Formula(
            f"={of[0]}+{of[1]}-{of[2]}+{of[3]}-{of[4]}",
            in_kg(mg[0] + mg[1] - mg[2] + mg[3] - mg[4]),
            in_kg(mg[5]),
        )
        where = factors.get(line.material)
        factor = None if where is None else where[1].avoided_kg_per_t
        reference = None if where is None else f"=Factors!{at(where[0], _FACTOR_COLUMN)}"
        rows.append(
            [
                line.material or "(none declared)",
                line.deposits,
                *mass,
                in_kg(line.lost_low_mg),
                in_kg(line.lost_high_mg),
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


def _material_sums(report: Report) -> dict[str, tuple[tuple[str, Decimal], tuple[str, Decimal]]]:
    """For each total the cells of Materials with its sums, of mass and of CO2e, and what they give."""
    lines = report.by_material
    if not lines or len(lines) > MOST_ROWS - HEAD_ROW - 2:
        return {}
    row = HEAD_ROW + 1 + len(lines)
    found = {}
    for index, name in enumerate(_FIGURES):
        figures: list[Figure] = [getattr(line, name) for line in lines]
        mass = in_kg(sum(figure.mass.mg for figure in figures))
        co2e = sum((co2e_in_kg(figure.co2e) or Decimal(0) for figure in figures), Decimal(0))
        column = _MATERIAL_FACTOR_COLUMN + 1 + index
        found[name] = ((at(row, 2 + index), mass), (at(row, column), co2e))
    return found


def _product(row: int, index: int, figure: Figure, factor: Decimal | None) -> Value:
    states = co2e_in_kg(figure.co2e)
    if states is None or factor is None:
        return states
    gives = in_kg(figure.mass.mg) * factor / 1000
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


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except ArithmeticError:
        return None
    return value if value.is_finite() and abs(value.adjusted()) < 300 else None
