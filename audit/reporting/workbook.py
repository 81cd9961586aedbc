"""A workbook whose every byte is decided by what is written into it: sheets with heads, formulas, sums.

 Text is always text, never a formula or a link, and is made safe to look at (``figures.shown``).  A formula
carries the figure that is stated elsewhere as its cached value; where the two differ, the figure is written
instead, in red.  The workbook's date is given, not the clock's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any, Final

from xlsxwriter import Workbook  # type: ignore[import-untyped]
from xlsxwriter.utility import xl_rowcol_to_cell  # type: ignore[import-untyped]

from audit.reporting.figures import shown

MOST_ROWS: Final = 1_048_576
"""Rows of a sheet, which is Excel's limit; what doesn't fit goes on in another sheet."""
LONGEST_TEXT: Final = 32_000
"""Characters of a cell; Excel's limit is 32,767."""
_TOLERANCE: Final = Decimal("0.000001")
"""kg (a milligram) that a formula may differ from the report's figure."""
HEAD_ROW: Final = 3

_FORMATS: Final[dict[str, dict[str, object]]] = {
    "text": {},
    "wrap": {"text_wrap": True},
    "guarded": {"quote_prefix": True},
    "count": {"num_format": "#,##0"},
    "kg": {"num_format": "#,##0.000"},
    "g": {"num_format": "#,##0.0"},
    "factor": {"num_format": "#,##0.0000"},
    "part": {"num_format": "0.00%"},
    "value": {"num_format": "#,##0.######"},
}
_ALARM: Final = {"font_color": "#a5311f", "bold": True}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its head with its unit, its width in characters, its format, and whether it is summed."""

    head: str
    width: float
    form: str = "text"
    summed: bool = False


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula, what it gives, and what the report states: both must agree."""

    text: str
    gives: Decimal
    states: Decimal


@dataclass(frozen=True, slots=True)
class Flag:
    """A text that is to be noticed."""

    text: str


Value = str | int | Decimal | Formula | Flag | None


def at(row: int, column: int, *, fixed: bool = False) -> str:
    """A cell's name, rows and columns counted from 0; ``fixed``: with dollar signs."""
    return str(xl_rowcol_to_cell(row, column, fixed, fixed))


class Book:
    """The workbook while it is written; sheets are made in the order in which they are to stand."""

    def __init__(self, buffer: BytesIO, digest: str, author: str, created: datetime) -> None:
        self.digest = digest
        self._book = Workbook(
            buffer,
            {
                "in_memory": True,
                "strings_to_formulas": False,
                "strings_to_numbers": False,
                "strings_to_urls": False,
            },
        )
        self._book.set_properties(
            {
                "title": "Reconciliation report",
                "author": cell_text(author)[:255],
                "subject": f"Report digest {self.digest}",
                "created": created.astimezone(UTC).replace(tzinfo=None),
            }
        )
        self._book.set_calc_mode("auto")
        base = {"font_name": "Arial", "font_size": 10, "valign": "top"}
        self._formats = {name: self._book.add_format(base | form) for name, form in _FORMATS.items()}
        self._alarms = {name: self._book.add_format(base | form | _ALARM) for name, form in _FORMATS.items()}
        self._sums = {
            name: self._book.add_format(base | form | {"bold": True, "top": 1})
            for name, form in _FORMATS.items()
        }
        self._title = self._book.add_format(base | {"bold": True, "font_size": 14})
        self.note = self._book.add_format(base | {"font_color": "#5c686e"})
        head = {"bold": True, "bottom": 1, "text_wrap": True, "valign": "bottom"}
        self.head = self._book.add_format(base | head)
        self.head_right = self._book.add_format(base | head | {"align": "right"})
        self._names: set[str] = set()

    def close(self) -> None:
        """Writes the file."""
        self._book.close()

    def sheet(self, name: str, title: str, note: str, columns: Sequence[Column], rows: int) -> Any:
        """An empty sheet with title, note and head, set up for screen and paper."""
        self._names.add(name.casefold())
        sheet = self._book.add_worksheet(name)
        sheet.hide_gridlines(2)
        sheet.write_string(0, 0, title, self._title)
        sheet.write_string(1, 0, note, self.note)
        for index, column in enumerate(columns):
            sheet.set_column(index, index, column.width, self._formats["text"])
            if not column.head:
                continue
            right = column.form in {"count", "kg", "g", "factor", "part", "value"}
            sheet.write_string(HEAD_ROW, index, column.head, self.head_right if right else self.head)
        sheet.freeze_panes(HEAD_ROW + 1, 1)
        if rows:
            sheet.autofilter(HEAD_ROW, 0, HEAD_ROW + rows, len(columns) - 1)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(HEAD_ROW)
        sheet.set_margins(0.5, 0.5, 0.6, 0.7)
        sheet.set_footer(f"&L&7Report digest {self.digest}&R&8&P / &N")
        return sheet

    def table(
        self,
        name: str,
        title: str,
        note: str,
        columns: Sequence[Column],
        rows: Sequence[Sequence[Value]],
        *,
        filtered: bool = False,
    ) -> None:
        """A sheet of rows with the sums of its columns below them; as many sheets as they need.

        Sums are of all rows, because other sheets refer to them; ``filtered``: of those that a filter leaves.
        """
        room = MOST_ROWS - HEAD_ROW - 2
        for number, start in enumerate(range(0, max(len(rows), 1), room), 1):
            part = rows[start : start + room]
            sheet = self.sheet(self._free(name, number), title, note, columns, len(part))
            for row, values in enumerate(part, HEAD_ROW + 1):
                for index, value in enumerate(values):
                    self.write(sheet, row, index, value, columns[index].form)
            if not part:
                sheet.write_string(HEAD_ROW + 1, 0, "None.", self.note)
                continue
            self._write_sums(sheet, columns, part, "SUBTOTAL(9," if filtered else "SUM(")

    def _write_sums(
        self, sheet: Any, columns: Sequence[Column], part: Sequence[Sequence[Value]], function: str
    ) -> None:
        if not any(column.summed for column in columns):
            return
        last = HEAD_ROW + 1 + len(part)
        sheet.write_string(last, 0, "Sum", self._sums["text"])
        for index, column in enumerate(columns[1:], 1):
            if not column.summed:
                sheet.write_blank(last, index, None, self._sums["text"])
                continue
            cells = f"{at(HEAD_ROW + 1, index)}:{at(last - 1, index)}"
            total = sum((_number(values[index]) for values in part), Decimal(0))
            sheet.write_formula(last, index, f"={function}{cells})", self._sums[column.form], float(total))

    def _free(self, name: str, number: int) -> str:
        """A sheet's name that is allowed, at most 31 characters, and not taken."""
        allowed = "".join("_" if char in "[]:*?/\\'" else char for char in shown(name))[:24] or "Sheet"
        candidate, tried = allowed if number == 1 else f"{allowed} ({number})", number
        while candidate.casefold() in self._names:
            tried += 1
            candidate = f"{allowed} ({tried})"
        return candidate

    def write(self, sheet: Any, row: int, column: int, value: Value, form: str) -> None:
        """Writes a value as what it is; a text never becomes a formula or a link."""
        if value is None:
            return
        if isinstance(value, Flag):
            sheet.write_string(row, column, cell_text(value.text), self._alarms[form])
        elif isinstance(value, str):
            text = cell_text(value)
            risky = text[:1] in {"=", "+", "-", "@"}
            sheet.write_string(row, column, text, self._formats["guarded" if risky else form])
        elif isinstance(value, Formula):
            if abs(value.gives - value.states) <= _TOLERANCE:
                sheet.write_formula(row, column, value.text, self._formats[form], float(value.states))
            else:
                sheet.write_number(row, column, float(value.states), self._alarms[form])
        else:
            sheet.write_number(row, column, float(value), self._formats[form])


def _number(value: Value) -> Decimal:
    if isinstance(value, Formula):
        return value.states
    return Decimal(value) if isinstance(value, int | Decimal) else Decimal(0)


def cell_text(text: str) -> str:
    """Text as a cell shows it, cut where Excel would refuse it."""
    visible = shown(text)
    if len(visible) <= LONGEST_TEXT:
        return visible
    return (
        f"{visible[:LONGEST_TEXT]} \N{HORIZONTAL ELLIPSIS} ({len(text):,} characters; the JSON has them all)"
    )
