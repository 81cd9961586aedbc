"""Sheets as files: CSV (UTF-8, RFC 4180) and XLSX, the same bytes for the same sample."""

from __future__ import annotations

import csv
from collections.abc import Callable
from io import StringIO
from typing import Final

from audit.sampling.errors import SheetError, SheetUnreadable
from audit.sampling.plan import Sample
from audit.sampling.sheet import FilledSheet, Grid, grid_of, parse
from audit.sampling.spreadsheet import read_xlsx, write_xlsx

LARGEST: Final = 64 << 20
"""Bytes of a sheet that is read; 100,000 items with long notes stay below."""
_ZIP: Final = b"PK\x03\x04"


def check_suffix(suffix: str) -> None:
    """Whether sheets are written in that kind of file.

    Raises:
        SheetError: they are not.
    """
    if suffix.lower() not in _WRITERS:
        got = f"a {suffix} file" if suffix else "a name that ends in neither"
        raise SheetError(f"a sheet is a .csv or an .xlsx file, got {got}")


def render(sample: Sample, suffix: str) -> bytes:
    """The sheet as a file; ``suffix`` is .csv or .xlsx.

    Raises:
        SheetError: a text of the sample can't be written, or the suffix is another.
    """
    check_suffix(suffix)
    return _WRITERS[suffix.lower()](grid_of(sample))


def load(data: bytes) -> FilledSheet:
    """A sheet from the bytes of its file, whose kind is told by its first bytes.

    Raises:
        SheetUnreadable, SheetAltered: as for ``parse``.
    """
    if len(data) > LARGEST:
        raise SheetUnreadable(f"a sheet has at most {LARGEST >> 20} MiB, got {len(data) >> 20}")
    return parse(read_xlsx(data) if data.startswith(_ZIP) else _read_csv(data))


def _write_csv(grid: Grid) -> bytes:
    file = StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerows(grid)
    return file.getvalue().encode()


_WRITERS: Final[dict[str, Callable[[Grid], bytes]]] = {".csv": _write_csv, ".xlsx": write_xlsx}


def _read_csv(data: bytes) -> Grid:
    """Spreadsheets write a byte order mark, and where the comma is the decimal mark, semicolons."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SheetUnreadable(
            f"expected UTF-8, got byte {data[error.start]:#04x} at {error.start}; save it as 'CSV UTF-8'"
        ) from error
    first = text[:20].lstrip('"').removeprefix("format").lstrip('"')[:1]
    try:
        return list(csv.reader(StringIO(text, newline=""), delimiter=first if first in {";", "\t"} else ","))
    except csv.Error as error:
        raise SheetUnreadable(f"not a CSV file: {error}") from error
