"""Reads a factor file, or says in one line what is wrong with it.

A file describes itself: lines ``# key: value``, each key of ``_HEAD`` once, then comma-separated rows under
the line ``material,treatment,value,verified,source``.  One file, so that values and their meaning can't part.

The digest is SHA-256 over RFC 8785 JSON of the head and the rows in order of material and treatment: the same
for any order of lines and any line ends, another one for any other word or digit.  A value is taken as it is
printed, so 0.020 and 0.02 are told apart.

Any bytes give a table or a ``FactorFileError``.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Literal, TypeGuard, get_args

import rfc8785

from audit.esg.errors import EsgError, FactorFileError
from audit.esg.units import EmissionFactor, FactorUnit

Verified = Literal["yes", "derived", "transcribed"]
"""Compared with the source's own data; computed from such values; copied from a copy."""

FORMAT: Final = "tally-factors/1"
COLUMNS: Final = ("material", "treatment", "value", "verified", "source")
OPEN: Final = "open"
MAX_BYTES: Final = 1 << 20
MAX_ROWS: Final = 10_000
MAX_TEXT: Final = 500
_HEAD: Final = (
    *("format", "name", "version", "title", "source", "unit", "gwp", "valid_from", "valid_to", "validity"),
    *("licence", "notes"),
)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VALUE: Final = re.compile(r"(?!-0(?:\.0*)?$)-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,9})?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_UNITS: Final = get_args(FactorUnit)
_VERIFIED: Final = get_args(Verified)


@dataclass(frozen=True, slots=True)
class FactorRow:
    """What treating a material one way emits, with where the number is from and whether it was compared."""

    material: str
    treatment: str
    factor: EmissionFactor
    verified: Verified
    source: str


@dataclass(frozen=True, slots=True)
class FactorTable:
    """A factor file that was read: immutable, and named by its digest.

    ``valid_from`` and ``valid_to`` are the first and the last day, UTC; ``valid_to`` None has no end.
    ``validity`` says where they are from.  ``built_in``: it came with Tally.
    """

    name: str
    version: str
    title: str
    source: str
    unit: FactorUnit
    gwp: str
    valid_from: date
    valid_to: date | None
    validity: str
    licence: str
    notes: str
    rows: tuple[FactorRow, ...]
    digest: str
    built_in: bool

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    def find(self, material: str, treatment: str) -> FactorRow | None:
        """The row of this material and treatment."""
        return next((r for r in self.rows if (r.material, r.treatment) == (material, treatment)), None)


@dataclass(frozen=True, slots=True)
class _At:
    """A place in a file, for messages."""

    file: str
    line: int

    def refuse(self, field: str, expected: str, got: str) -> FactorFileError:
        return FactorFileError(
            f"{self.file}, line {self.line}, {field}: expected {expected}, got {got[:60]!r}"
        )


def read_factor_file(content: bytes, file: str, *, built_in: bool = False) -> FactorTable:
    """The table that a factor file holds; ``file`` is its name, for messages.

    Raises:
        FactorFileError: anything is not as it must be: file, line, field, what was expected and what came.
    """
    lines = _lines(content, file)
    head = _head(lines, file)
    rows = tuple(sorted(_rows(lines, head["unit"], file), key=lambda row: (row.material, row.treatment)))
    unit = head["unit"]
    assert _is_unit(unit)
    return FactorTable(
        name=head["name"],
        version=head["version"],
        title=head["title"],
        source=head["source"],
        unit=unit,
        gwp=head["gwp"],
        valid_from=date.fromisoformat(head["valid_from"]),
        valid_to=None if head["valid_to"] == OPEN else date.fromisoformat(head["valid_to"]),
        validity=head["validity"],
        licence=head["licence"],
        notes=head["notes"],
        rows=rows,
        digest=_digest(head, rows),
        built_in=built_in,
    )


def _lines(content: bytes, file: str) -> list[str]:
    if len(content) > MAX_BYTES:
        raise _At(file, 0).refuse("size", f"at most {MAX_BYTES} bytes", f"{len(content)} bytes")
    try:
        text = content.decode("utf-8-sig")  # spreadsheets begin a file with a byte order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _At(file, line).refuse("text", "UTF-8", f"byte 0x{content[error.start]:02x}") from error
    return _LINE_END.split(text)


def _head(lines: list[str], file: str) -> dict[str, str]:
    head: dict[str, str] = {}
    at = _At(file, 1)
    for at, line in _from(lines, file):
        if not line.startswith("#"):
            break
        key, colon, value = line[1:].partition(":")
        key, value = key.strip(), value.strip()
        if not colon or key not in _HEAD:
            raise at.refuse("head", f"'# key: value' with a key of {', '.join(_HEAD)}", line)
        if key in head:
            raise at.refuse(key, "it once", value)
        _check_head(key, value, at)
        head[key] = value
    missing = [key for key in _HEAD if key not in head]
    if missing:
        raise at.refuse("head", f"a line '# {missing[0]}: ...' above the rows", "none")
    if head["valid_to"] != OPEN and head["valid_to"] < head["valid_from"]:
        raise at.refuse("valid_to", f"no day before valid_from, {head['valid_from']}", head["valid_to"])
    return head


def _check_head(key: str, value: str, at: _At) -> None:
    _check_text(key, value, at)
    if key == "format" and value != FORMAT:
        raise at.refuse(key, FORMAT, value)
    if key in {"name", "version"} and not _NAME.fullmatch(value):
        raise at.refuse(key, "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit", value)
    if key == "unit" and not _is_unit(value):
        raise at.refuse(key, f"one of {', '.join(_UNITS)}", value)
    if key in {"valid_from", "valid_to"} and not (key == "valid_to" and value == OPEN) and not _is_day(value):
        raise at.refuse(key, "a day like 2025-01-31" + (f" or '{OPEN}'" if key == "valid_to" else ""), value)


def _rows(lines: list[str], unit: str, file: str) -> Iterator[FactorRow]:
    """The rows under the head and the line of columns."""
    assert _is_unit(unit)
    seen: dict[tuple[str, str], int] = {}
    columns_seen = False
    for at, line in _from(lines, file):
        if line.startswith("#") and not columns_seen:
            continue
        cells = _cells(line, at)
        if not columns_seen:
            if cells != COLUMNS:
                raise at.refuse("columns", ",".join(COLUMNS), line)
            columns_seen = True
            continue
        row = _row(cells, unit, at)
        first = seen.setdefault((row.material, row.treatment), at.line)
        if first != at.line:
            raise at.refuse("material, treatment", f"another than on line {first}", ",".join(cells[:2]))
        if len(seen) > MAX_ROWS:
            raise at.refuse("rows", f"at most {MAX_ROWS}", "more")
        yield row
    if not seen:
        raise _At(file, len(lines)).refuse(
            "rows", f"the line {','.join(COLUMNS)} and at least one row", "none"
        )


def _from(lines: list[str], file: str) -> Iterator[tuple[_At, str]]:
    return ((_At(file, number), line) for number, line in enumerate(lines, 1) if line.strip())


def _cells(line: str, at: _At) -> tuple[str, ...]:
    try:
        return tuple(next(csv.reader([line], strict=True)))
    except (csv.Error, StopIteration) as error:
        raise at.refuse("row", f"comma-separated text ({error})", line) from error


def _row(cells: tuple[str, ...], unit: FactorUnit, at: _At) -> FactorRow:
    if len(cells) != len(COLUMNS):
        raise at.refuse("row", f"{len(COLUMNS)} cells: {', '.join(COLUMNS)}", f"{len(cells)} cells")
    material, treatment, value, verified, source = cells
    for field, cell in ("material", material), ("treatment", treatment):
        if not _WORD.fullmatch(cell):
            raise at.refuse(field, "1 to 64 of a-z 0-9 _, beginning with a letter", cell)
    if not _VALUE.fullmatch(value):
        raise at.refuse("value", "a plain number with at most 9 digits before and after the point", value)
    if not _is_verified(verified):
        raise at.refuse("verified", f"one of {', '.join(_VERIFIED)}", verified)
    _check_text("source", source, at)
    try:
        factor = EmissionFactor(Decimal(value), unit)
    except EsgError as error:
        raise FactorFileError(f"{at.file}, line {at.line}, value: {error}") from error
    return FactorRow(material, treatment, factor, verified, source)


def _check_text(field: str, value: str, at: _At) -> None:
    if not 0 < len(value) <= MAX_TEXT or not value.isprintable() or value != value.strip():
        raise at.refuse(field, f"1 to {MAX_TEXT} printable characters without blanks around them", value)


def _is_unit(value: str) -> TypeGuard[FactorUnit]:
    return value in _UNITS


def _is_verified(value: str) -> TypeGuard[Verified]:
    return value in _VERIFIED


def _is_day(value: str) -> bool:
    if not _DAY.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _digest(head: dict[str, str], rows: tuple[FactorRow, ...]) -> str:
    printed = [[r.material, r.treatment, r.factor.text, r.verified, r.source] for r in rows]
    return hashlib.sha256(rfc8785.dumps({"head": {**head}, "rows": [[*row] for row in printed]})).hexdigest()
