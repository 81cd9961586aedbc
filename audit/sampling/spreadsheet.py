"""XLSX: written with XlsxWriter, read with the standard library.

Only what a sheet needs is read: the first worksheet's texts and numbers.  Formulas count by the value that
was last computed.  What is read may come from anybody, so document types (entities) are refused and sizes are
bounded; a cell is placed by its reference, as empty cells are left out (ECMA-376, part 1, 18.3.1.4).
"""

from __future__ import annotations

import lzma
import posixpath
import re
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Final
from xml.etree import ElementTree as ET
from zipfile import BadZipFile, ZipFile

import xlsxwriter  # type: ignore[import-untyped,unused-ignore]

from audit.sampling.errors import SheetUnreadable
from audit.sampling.sheet import ANSWERS, DRAWN, NAMES, NUMBERS, Finding, Grid

_CREATED: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""A fixed date, so that the same sample gives the same bytes (our choice)."""
_WIDTHS: Final = (22, 26, 26, 10, 38, 14, 14, 9, 14, 14, 40)
_TOP: Final = len(NAMES) + 3
"""The row of the first item, from 0: below the lines, the digest, an empty line and the columns' names."""

_PART: Final = 256 << 20
"""Bytes of a part, unpacked."""
_COLUMNS: Final = 64
_ROWS: Final = 200_000
_NO_ZIP: Final = (
    *(BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    *(KeyError, ValueError, OverflowError, NotImplementedError, RuntimeError),
)
"""What zipfile raises for archives that are damaged, encrypted, packed otherwise or lack a part."""
_MAIN: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LINK: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_REFERENCE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,17}(?:\.[0-9]{1,20})?(?:E[+-]?[0-9]{1,2})?", re.ASCII | re.IGNORECASE)
_INDEX: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_", re.ASCII)
_EXACT: Final = Decimal(10) ** 15
"""Below it a double keeps every whole number, and a spreadsheet shows all digits."""


def write_xlsx(grid: Grid) -> bytes:
    """The grid as a workbook in which only the auditor's cells can be changed."""
    file = BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True})
    book.set_properties({"title": "Audit sample", "created": _CREATED})
    sheet = book.add_worksheet("sample")
    bold = book.add_format({"bold": True})
    mass = book.add_format({"num_format": "0.000"})
    open_mass = book.add_format({"num_format": "0.000", "locked": False, "bg_color": "#FFF9E5"})
    open_text = book.add_format({"num_format": "@", "locked": False, "bg_color": "#FFF9E5"})
    for column, width in enumerate(_WIDTHS):
        sheet.set_column(column, column, width)
    answers = dict(zip(ANSWERS, (open_mass, open_text, open_text), strict=True))
    for row, line in enumerate(grid):
        for column, cell in enumerate(line):
            name = (*DRAWN, *ANSWERS)[column] if row >= _TOP else ""
            if name in answers:
                sheet.write_blank(row, column, None, answers[name])
            elif name in NUMBERS and abs(Decimal(cell)) < _EXACT / 1000:
                sheet.write_number(row, column, float(cell), mass if name == "book_g" else None)
            else:
                sheet.write_string(row, column, cell, bold if row == _TOP - 1 else None)
    last = max(len(grid) - 1, _TOP)
    audited, finding = (len(DRAWN) + ANSWERS.index(name) for name in ("audited_g", "finding"))
    sheet.data_validation(
        _TOP, audited, last, audited,
        {
            "validate": "decimal", "criteria": ">=", "value": 0, "ignore_blank": True,
            "error_title": "Audited mass", "error_message": "A mass in grams, 0 or more.",
        },
    )  # fmt: skip
    sheet.data_validation(
        _TOP, finding, last, finding,
        {
            "validate": "list", "source": [one.value for one in Finding], "ignore_blank": True,
            "error_title": "Finding", "error_message": f"One of {', '.join(Finding)}.",
        },
    )  # fmt: skip
    sheet.ignore_errors({"number_stored_as_text": f"A1:K{last + 1}"})
    sheet.freeze_panes(_TOP, 0)
    sheet.protect("", {"sort": True, "format_columns": True, "format_rows": True})  # against slips only
    book.close()
    return file.getvalue()


def read_xlsx(data: bytes) -> Grid:
    """The first worksheet of a workbook, as texts; numbers in plain decimal notation.

    Raises:
        SheetUnreadable: it is no workbook, too large, or a cell holds what a sheet has no place for.
    """
    try:
        with ZipFile(BytesIO(data)) as package:
            texts = [*_texts(package)]
            return _grid(_tree(package, _first_worksheet(package)), texts)
    except _NO_ZIP as error:
        raise SheetUnreadable(f"not an .xlsx file that can be read ({error}); save it as .csv") from error


def _tree(package: ZipFile, name: str) -> ET.Element:
    with package.open(name) as part:
        raw = part.read(_PART + 1)
    if len(raw) > _PART:
        raise SheetUnreadable(f"{name} is larger than {_PART >> 20} MiB")
    try:
        text = raw.decode("utf-8-sig")
        if "<!DOCTYPE" in text:
            raise SheetUnreadable(f"{name} declares a document type, which no spreadsheet program writes")
        return ET.fromstring(text)  # noqa: S314  # no document type, so no entities
    except (UnicodeDecodeError, ET.ParseError, ValueError) as error:
        raise SheetUnreadable(f"{name} is no XML in UTF-8 ({error}); save it as .csv") from error


def _first_worksheet(package: ZipFile) -> str:
    first = _tree(package, "xl/workbook.xml").find(f"{_MAIN}sheets/{_MAIN}sheet")
    if first is None:
        raise SheetUnreadable("the workbook has no worksheet")
    for link in _tree(package, "xl/_rels/workbook.xml.rels"):
        if link.get("Id") == first.get(_LINK):
            return posixpath.normpath(posixpath.join("/xl", link.get("Target", ""))).lstrip("/")
    raise SheetUnreadable("the workbook does not say where its first worksheet is")


def _texts(package: ZipFile) -> Iterator[str]:
    if "xl/sharedStrings.xml" in package.namelist():
        yield from (_text(entry) for entry in _tree(package, "xl/sharedStrings.xml"))


def _text(entry: ET.Element) -> str:
    """Plain or in runs; what is said of pronunciation is left out."""
    pieces = [*entry.findall(f"{_MAIN}t"), *entry.findall(f"{_MAIN}r/{_MAIN}t")]
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), "".join(piece.text or "" for piece in pieces))


def _grid(worksheet: ET.Element, texts: list[str]) -> Grid:
    rows: dict[int, dict[int, str]] = {}
    for cell in worksheet.iterfind(f"{_MAIN}sheetData/{_MAIN}row/{_MAIN}c"):
        reference = cell.get("r", "")
        value = _value(cell, reference, texts)
        if not value:
            continue
        place = _REFERENCE.fullmatch(reference)
        column = _column(place[1]) if place else _COLUMNS
        if place is None or column >= _COLUMNS or int(place[2]) > _ROWS:
            raise SheetUnreadable(f"cell {reference!r}: a sheet has nothing there; remove it")
        rows.setdefault(int(place[2]), {})[column] = value
    return [[cells.get(column, "") for column in range(max(cells) + 1)] for _, cells in sorted(rows.items())]


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _value(cell: ET.Element, reference: str, texts: list[str]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        inline = cell.find(f"{_MAIN}is")
        return "" if inline is None else _text(inline)
    value = cell.findtext(f"{_MAIN}v") or ""
    if kind == "s":
        if not _INDEX.fullmatch(value) or int(value) >= len(texts):
            raise SheetUnreadable(f"cell {reference}: its text is not in the workbook")
        return texts[int(value)]
    if kind == "n":
        return _number(value, reference) if value else ""
    if kind == "str":
        return value
    raise SheetUnreadable(f"cell {reference}: expected a text or a number, got {value!r}")


def _number(text: str, reference: str) -> str:
    """A double as it was meant: to three decimals where it is as near to them as doubles go."""
    if not _NUMBER.fullmatch(text):
        raise SheetUnreadable(f"cell {reference}: expected a number, got {text[:40]!r}")
    exact = Decimal(text)
    meant = round(exact, 3)
    near = abs(exact - meant) <= max(abs(exact), Decimal(1)) * Decimal("1e-13")
    return f"{meant.normalize() if near else exact:f}"
