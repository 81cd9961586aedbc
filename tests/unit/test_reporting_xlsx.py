"""The report as a workbook: numbers, formulas that give the report's figures, and text that stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from io import BytesIO
from typing import Any

import openpyxl
import pytest
from openpyxl.utils import get_column_letter

from audit.reporting import workbook
from audit.reporting.as_xlsx import render
from audit.reporting.model import Co2e, Mass, Report
from tests.sample_report import broken_report, empty_report, restated_report, sample_report

CELL = re.compile(r"(?:(?P<sheet>[A-Za-z]+)!)?\$?(?P<column>[A-Z]+)\$?(?P<row>\d+)")
VARIANTS = pytest.mark.parametrize("make", [sample_report, empty_report, broken_report, restated_report])


class Book:
    """The workbook as formulas and as cached values, and an evaluator for the forms that are in it."""

    def __init__(self, data: bytes) -> None:
        self.formulas = openpyxl.load_workbook(BytesIO(data))
        self.cached = openpyxl.load_workbook(BytesIO(data), data_only=True)

    def computed(self, sheet: str, cell: str) -> float:
        """What the cell gives if everything below it is computed anew."""
        value = self.formulas[sheet][cell].value
        if self.formulas[sheet][cell].data_type == "f":
            return self._evaluate(sheet, str(value)[1:])
        return float(value) if isinstance(value, int | float) else 0.0

    def _evaluate(self, sheet: str, formula: str) -> float:
        total = re.fullmatch(r"(?:SUM\(|SUBTOTAL\(9,)([A-Z]+)(\d+):([A-Z]+)(\d+)\)", formula)
        if total:
            column, first, same, last = total.groups()
            assert column == same
            return sum(self.computed(sheet, f"{column}{row}") for row in range(int(first), int(last) + 1))

        def number(match: re.Match[str]) -> str:
            return repr(self.computed(match["sheet"] or sheet, match["column"] + match["row"]))

        arithmetic = CELL.sub(number, formula)
        assert re.fullmatch(r"[-+*/().e\d]+", arithmetic), formula
        return float(eval(arithmetic))  # our own formulas, reduced to digits and operators

    def column(self, sheet: str, head: str) -> list[Any]:
        rows = list(self.cached[sheet].iter_rows(min_row=4, values_only=True))
        index = rows[0].index(head)
        return [row[index] for row in rows[1:]]


@VARIANTS
def test_every_formula_gives_its_cached_value(make: Callable[[], Report]) -> None:
    book = Book(render(make()))
    seen = 0
    for sheet in book.formulas.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    cached = book.cached[sheet.title][cell.coordinate].value
                    assert book.computed(sheet.title, cell.coordinate) == pytest.approx(
                        cached, abs=1.5e-6, rel=1e-12
                    ), f"{sheet.title}!{cell.coordinate}: {cell.value}"
                    seen += 1
    assert seen > 100 or make is empty_report


def test_the_figures_are_the_reports() -> None:
    report = sample_report()
    book = Book(render(report))
    for name, head in (("reported", "Reported"), ("supported", "Supported"), ("in_doubt", "In doubt")):
        figures = [getattr(line, name) for line in report.by_material]
        totals = [total.figure for total in report.totals if total.name == name]
        masses = [figure.mass.mg / 1e6 for figure in [*figures, *totals]]
        assert book.column("Materials", f"{head}, kg") == pytest.approx(masses, abs=1e-9)
        co2e = [
            None if figure.co2e.g is None else float(figure.co2e.g) / 1e3 for figure in [*figures, *totals]
        ]
        for got, expected in zip(book.column("Materials", f"{head}, kg CO2e"), co2e, strict=True):
            assert (got is None) == (expected is None)
            assert expected is None or got == pytest.approx(expected, abs=1e-6)


def test_supported_and_co2e_and_differences_are_formulas() -> None:
    book = Book(render(sample_report()))
    materials, lots = book.formulas["Materials"], book.formulas["Lots"]
    heads = {cell.value: get_column_letter(index) for index, cell in enumerate(materials[4], 1)}
    supported = heads["Supported, kg"]
    assert materials[f"{supported}6"].value == "=C6+D6-E6+F6-G6"
    assert materials[f"{heads['Factor, kg CO2e per t']}6"].value == "=Factors!G5"
    assert materials[f"{heads['Reported, kg CO2e']}6"].value == "=C6*$L6/1000"
    assert lots["H5"].value == "=F5-G5"
    assert [cell.value for (cell,) in book.formulas["Summary"]["B17:B19"]] == [
        "=Materials!C14",
        "=Materials!D14",
        "=Materials!E14",
    ]
    assert materials["C14"].value == "=SUM(C5:C13)"  # whatever is filtered: the summary refers to it
    assert str(book.formulas["Duplicate"]["H32"].value) == "=SUBTOTAL(9,H5:H31)"


def test_a_figure_that_its_formula_does_not_give_is_written_as_it_is_and_in_red() -> None:
    report = sample_report()
    line = report.by_material[1]
    wrong = replace(
        line,
        supported=replace(line.supported, mass=Mass("x", line.supported.mass.mg + 1_000)),
        reported=replace(line.reported, co2e=Co2e("y", Decimal(5))),
    )
    book = Book(render(replace(report, by_material=(report.by_material[0], wrong, *report.by_material[2:]))))
    cell = book.formulas["Materials"]["H6"]
    assert cell.data_type == "n"
    assert cell.value == pytest.approx((line.supported.mass.mg + 1_000) / 1e6)
    assert cell.font.color is not None
    assert cell.font.color.rgb == "FFA5311F"
    assert book.formulas["Materials"]["M6"].value == 0.005


def test_the_sheets_are_there_with_one_for_each_class_that_has_findings() -> None:
    report = sample_report()
    assert Book(render(report)).formulas.sheetnames == [
        *("Summary", "Factors", "Materials", "Classes", "Invariants"),
        *("Material mismatch", "Low confidence", "Missing prediction", "Orphan prediction", "Duplicate"),
        *("Conflict", "Lost", "Late", "Out of period", "Machines", "Lots", "Disclosures", "Parameters"),
    ]
    assert "Duplicate" not in Book(render(empty_report())).formulas.sheetnames


def test_every_finding_is_in_the_workbook() -> None:
    report = sample_report(900)
    book = Book(render(report))
    for name in ("Duplicate", "Lost"):
        of_class = [one.ref for one in report.findings if one.name == name.lower()]
        assert book.column(name, "Reference")[:-1] == of_class
        assert len(of_class) == 100


EVIL = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    '=HYPERLINK("http://x","y")',
    "http://example.org",
    "{=1}",
    "_x0041_",
    "\x01b",
)


def test_text_that_looks_like_a_formula_a_link_or_a_number_stays_text() -> None:
    report = sample_report(9, names=(*EVIL, "007"), reason="=cmd|' /C calc'!A0")
    book = Book(render(report))
    sheet = book.formulas["Machines"]
    names = [cell for (cell,) in sheet["A5:A14"]]
    assert [cell.data_type for cell in names] == ["s"] * 10
    assert [cell.value for cell in names[:7]] == list(EVIL[:7])
    assert [cell.quotePrefix for cell in names[:5]] == [True] * 5
    assert names[9].value == "007"
    assert not [cell for row in sheet.iter_rows() for cell in row if cell.hyperlink]
    assert names[8].value == "\u20390001\u203ab"


def test_a_text_longer_than_a_cell_holds_is_cut_and_says_so() -> None:
    book = Book(render(sample_report(9, reason="x" * 50_000)))
    (found,) = [text for text in book.column("Parameters", "Meaning") if text and "xxx" in text]
    assert found.endswith("characters; the JSON has them all)")
    assert len(found) < 32_767


def test_more_findings_than_a_sheet_holds_go_on_in_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MOST_ROWS", 25)
    book = Book(render(sample_report(9 * 45)))
    names = [name for name in book.formulas.sheetnames if name.startswith("Duplicate")]
    assert names == ["Duplicate", "Duplicate (2)", "Duplicate (3)"]
    assert all(book.formulas[name].max_row <= 25 for name in names)
    refs = [ref for name in names for ref in book.column(name, "Reference") if ref.startswith("finding")]
    assert len(refs) == len(set(refs)) == 45


def test_every_sheet_is_set_up_for_reading_and_printing() -> None:
    for sheet in Book(render(sample_report())).formulas.worksheets:
        assert sheet.freeze_panes
        assert sheet.page_setup.orientation == "landscape"
        assert sheet.page_setup.paperSize == 9
        setup, footer = sheet.sheet_properties.pageSetUpPr, sheet.oddFooter
        assert setup is not None
        assert setup.fitToPage
        assert footer is not None
        assert "Report digest" in str(footer.left.text)
        if sheet.title != "Summary":
            assert sheet.auto_filter.ref
            assert sheet.print_title_rows


def test_a_broken_ledger_is_said_on_the_first_sheet() -> None:
    words = [
        cell.value for row in Book(render(broken_report())).formulas["Summary"].iter_rows() for cell in row
    ]
    assert "No conclusion can be drawn: the ledger is broken." in words
    assert "broken in 6 places: rely on no figure here" in words


def test_the_date_of_the_workbook_is_the_end_of_the_period() -> None:
    created = Book(render(sample_report(9))).formulas.properties.created
    assert created is not None
    assert created.isoformat() == "2026-04-01T00:00:00"


def test_a_sheet_without_rows_says_none() -> None:
    assert Book(render(empty_report())).formulas["Lots"]["A5"].value == "None."
