"""The auditor's sheet: what was drawn and how, with empty cells for what the auditor finds.

A sheet is a grid of texts: lines of a name and a value, an empty line, a line of column names, a line for
each item.  Masses are grams with three decimals.  ``digest`` is SHA-256 over the JSON array (ASCII, no
spaces) of all [name, value] pairs before it and then all rows without the auditor's cells, every value as it
is in the sheet, without the apostrophes below.  It shows a change by accident.  Whoever changes a sheet on
purpose can compute it anew, so it is noted when the sheet is drawn, or the draw is repeated: the same ledger,
seed and parameters give the same digest.

Texts that a spreadsheet would take for a formula, a number or a date have an apostrophe put before them
(OWASP, "CSV Injection"), and texts that begin with one get another, so that it can be taken off again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Final

from audit.sampling.errors import BadPlan, BadPopulation, SheetAltered, SheetError, SheetUnreadable
from audit.sampling.items import Item, Totals
from audit.sampling.plan import Method, Sample, Scope, SeedFrom, extent_of, plan_of

FORMAT: Final = "tally-sample/1"
NAMES: Final = (
    "format",
    "method",
    "confidence_percent",
    "tolerable_percent",
    "expected",
    "from",
    "to",
    "site",
    "machine",
    "material",
    "seed",
    "seed_from",
    "population_items",
    "population_book_g",
    "positive_items",
    "positive_book_g",
    "negative_items",
    "size",
    "interval_g",
    "start_g",
    "selected_items",
)
DRAWN: Final = ("no", "stream", "chain", "seq", "transaction_id", "material", "book_g", "taken")
TEXTS: Final = frozenset({"from", "to", "site", "machine", "material"})
"""Lines whose value is a text of somebody else."""
NUMBERS: Final = frozenset({"no", "seq", "book_g"})
"""Columns of numbers."""
ANSWERS: Final = ("audited_g", "finding", "note")
LONGEST: Final = 32_000
"""Characters of a text: a cell of a spreadsheet holds 32,767."""

Grid = list[list[str]]

_RISKY: Final = tuple("=+-@\t\r\n'＝＋－＠")  # noqa: RUF001  # some programs take the wide ones for the others
_MANGLED: Final = re.compile(r"[\d.,:/ eE+-]*\d[\d.,:/ eE+-]*")
_UNWRITABLE: Final = re.compile("[\0\ud800-\udfff\ufffe\uffff]")
_DIGEST: Final = "sha256:"
"""Before a digest, so that no spreadsheet takes one of digits only for a number."""
_GRAMS: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,12})?", re.ASCII)
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class Finding(StrEnum):
    """What the auditor says of an item; one that can't be examined is ``not_found``."""

    CORRECT = "correct"
    MISSTATED = "misstated"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the auditor wrote beside an item; None where the cell is empty."""

    audited_mg: int | None
    finding: Finding | None
    note: str


@dataclass(frozen=True, slots=True)
class FilledSheet:
    """A sheet as it came back: what was drawn, unaltered, with an answer for each item."""

    sample: Sample
    answers: tuple[Answer, ...]
    digest: str


def grams(mg: int) -> str:
    """Milligrams as grams with three decimals."""
    return f"{'-' if mg < 0 else ''}{abs(mg) // 1000}.{abs(mg) % 1000:03}"


def guarded(text: str) -> str:
    """The text as a spreadsheet will leave it alone."""
    return f"'{text}" if text.startswith(_RISKY) or _MANGLED.fullmatch(text) else text


def unguarded(cell: str) -> str:
    """What was written as ``cell``."""
    return cell.removeprefix("'")


def digest_of(sample: Sample) -> str:
    """The digest that the sheet carries: 64 hexadecimal digits."""
    lines = [list(pair) for pair in _header(sample)] + [list(row) for row in _rows(sample)]
    text = json.dumps(lines, separators=(",", ":"))
    return sha256(text.encode("ascii")).hexdigest()


def grid_of(sample: Sample) -> Grid:
    """The sheet to fill in, its texts guarded.

    Raises:
        SheetError: a text is too long for a cell, or holds what no cell can.
    """
    lines = [[name, guarded(text) if name in TEXTS else text] for name, text in _header(sample)]
    lines.append(["digest", f"{_DIGEST}{digest_of(sample)}"])
    lines.append([])
    lines.append([*DRAWN, *ANSWERS])
    for row in _rows(sample):
        cells = (cell if name in NUMBERS else guarded(cell) for name, cell in zip(DRAWN, row, strict=True))
        lines.append([*cells, *("" for _ in ANSWERS)])
    for line in lines:
        for cell in line:
            if len(cell) > LONGEST or _UNWRITABLE.search(cell):
                raise SheetError(f"a sheet can't hold this text: {cell[:40]!a}; leave its item out")
    return lines


def parse(grid: Iterable[Sequence[str]]) -> FilledSheet:
    """Read a sheet back; its rows may have been sorted otherwise.

    Raises:
        SheetUnreadable: it is no sheet, or a cell holds what it can't.
        SheetAltered: what was drawn is not what the sheet says now.
    """
    lines = [line for line in map(_trimmed, grid) if line]
    values = _values(lines[: len(NAMES) + 1])
    table = lines[len(NAMES) + 1 :]
    if not table or table[0] != [*DRAWN, *ANSWERS]:
        raise SheetUnreadable(f"the items' columns must be {', '.join((*DRAWN, *ANSWERS))}")
    rows = sorted((_row(line) for line in table[1:]), key=lambda row: _whole(row["no"], "no"))
    sample = _sample(values, tuple(_item(row) for row in rows))
    _check_rows(sample, rows)
    _check_header(sample, values)
    return FilledSheet(sample, tuple(_answer(row) for row in rows), digest_of(sample))


def _header(sample: Sample) -> list[tuple[str, str]]:
    plan, population, extent = sample.plan, sample.totals, sample.extent
    values = (
        FORMAT,
        plan.method.value,
        str(plan.confidence),
        str(plan.tolerable),
        str(plan.expected),
        plan.scope.since,
        plan.scope.until,
        plan.scope.site,
        plan.scope.machine,
        plan.scope.material,
        f"{_DIGEST}{plan.seed}",
        plan.seed_from.value,
        str(population.items),
        grams(population.book_mg),
        str(population.positive_items),
        grams(population.positive_mg),
        str(population.negative_items),
        str(extent.size),
        grams(extent.interval_mg),
        grams(extent.start_mg),
        str(len(sample.items)),
    )
    return list(zip(NAMES, values, strict=True))


def _rows(sample: Sample) -> Iterator[tuple[str, ...]]:
    for number, item in enumerate(sample.items, start=1):
        yield (
            str(number),
            item.stream,
            item.chain,
            str(item.seq),
            item.transaction_id,
            item.material,
            grams(item.book_mg),
            "always" if sample.always(item) else "drawn",
        )


def _trimmed(line: Sequence[str]) -> list[str]:
    """The line without the empty cells that spreadsheets add at its end."""
    end = len(line)
    while end and not line[end - 1]:
        end -= 1
    return list(line[:end])


def _values(head: list[list[str]]) -> dict[str, str]:
    if not head or head[0] != ["format", FORMAT]:
        raise SheetUnreadable(f"not a sheet of `tally sample`: expected a first line of format and {FORMAT}")
    if [line[0] for line in head] != [*NAMES, "digest"] or any(len(line) > 2 for line in head):
        raise SheetUnreadable(
            "the lines above the items are not those of `tally sample`; copy the findings into a fresh sheet"
        )
    return {line[0]: unguarded(line[1]) if len(line) > 1 else "" for line in head}


def _row(line: list[str]) -> dict[str, str]:
    names = (*DRAWN, *ANSWERS)
    if len(line) > len(names):
        raise SheetUnreadable(f"item {line[0]!r}: there is something to the right of the note; remove it")
    cells = line + [""] * (len(names) - len(line))
    return {name: unguarded(cell) for name, cell in zip(names, cells, strict=True)}


def _sample(values: dict[str, str], items: tuple[Item, ...]) -> Sample:
    try:
        plan = plan_of(
            Method(values["method"]),
            confidence=values["confidence_percent"],
            tolerable=values["tolerable_percent"],
            expected=values["expected"],
            seed=values["seed"].removeprefix(_DIGEST),
            seed_from=SeedFrom(values["seed_from"]),
            scope=Scope(*(values[name] for name in ("from", "to", "site", "machine", "material"))),
        )
        population = Totals(
            _whole(values["population_items"], "population_items"),
            _mg(values["population_book_g"], "population_book_g"),
            _whole(values["positive_items"], "positive_items"),
            _mg(values["positive_book_g"], "positive_book_g"),
            _whole(values["negative_items"], "negative_items"),
        )
        if min(population.items, population.zero_items, population.positive_mg) < 0:
            raise SheetAltered("the population's size contradicts itself")
        return Sample(plan, population, extent_of(plan, population), items)
    except (ValueError, BadPlan, BadPopulation) as error:
        raise SheetAltered(f"the sheet's parameters were altered: {error}") from error


def _item(row: dict[str, str]) -> Item:
    return Item(
        row["stream"],
        row["chain"],
        _whole(row["seq"], "seq"),
        row["transaction_id"],
        row["material"],
        _mg(row["book_g"], "book_g"),
    )


def _check_rows(sample: Sample, rows: list[dict[str, str]]) -> None:
    for number, (row, item) in enumerate(zip(rows, sample.items, strict=True), start=1):
        if _whole(row["no"], "no") != number:
            raise SheetAltered(f"item {number} is missing from the sheet, or there twice")
        if row["taken"] != ("always" if sample.always(item) else "drawn"):
            raise SheetAltered(f"item {number}, taken: {row['taken']!r} does not follow from its book mass")


def _check_header(sample: Sample, values: dict[str, str]) -> None:
    for name, text in _header(sample)[-4:]:  # what follows from the lines above them
        found = values[name]
        if (grams(_mg(found, name)) if name.endswith("_g") else found) != text:
            raise SheetAltered(f"{name}: expected {text}, got {found!r}; the sheet was altered")
    if values["digest"] != f"{_DIGEST}{digest_of(sample)}":
        raise SheetAltered(
            "the sheet's parameters or items are not those that were drawn: its digest differs "
            "(spreadsheet programs may change ids in a .csv; copy the findings into a fresh sheet)"
        )


def _answer(row: dict[str, str]) -> Answer:
    audited, word = row["audited_g"].strip(), row["finding"].strip().lower().replace(" ", "_")
    if word not in ("", *Finding):
        expected = ", ".join(Finding)
        raise SheetUnreadable(f"item {row['no']}, finding: expected {expected}, got {row['finding']!r}")
    mass = _mg(audited, f"item {row['no']}, audited_g") if audited else None
    if mass is not None and mass < 0:
        raise SheetUnreadable(f"item {row['no']}, audited_g: expected 0 or more, got {audited!r}")
    return Answer(mass, Finding(word) if word else None, row["note"])


def _whole(cell: str, name: str) -> int:
    if not _WHOLE.fullmatch(cell):
        raise SheetUnreadable(f"{name}: expected a whole number, got {cell!r}")
    return int(cell)


def _mg(cell: str, name: str) -> int:
    """Milligrams, from grams with a point and at most three decimals that count."""
    if not _GRAMS.fullmatch(cell):
        raise SheetUnreadable(f"{name}: expected grams such as 12.345, with a point, got {cell!r}")
    mg = Decimal(cell).scaleb(3)
    if mg != mg.to_integral_value():
        raise SheetUnreadable(f"{name}: expected at most three decimals of a gram, got {cell!r}")
    return int(mg)
