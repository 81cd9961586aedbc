"""A report as CSV, a file a table, for whoever computes with it: exact figures, one record a row.

 RFC 4180: commas, CR LF, UTF-8 without a byte order mark, a header; texts are quoted, figures are not.
Masses are whole milligrams, CO2e is in grams, exact; an empty field that is not quoted is no figure.
Positions in the ledger are ``stream chain #number``, joined by ``; ``.

A spreadsheet takes a field that begins with ``=``, ``+``, ``-`` or ``@`` (their full-width forms too) for a
formula, some after white space.  Such texts get an apostrophe in front, and so do those that begin with an
apostrophe or with white space.  Hence one rule leads back, for every field: if it begins with an
apostrophe, drop that (``unguarded``).  Figures never begin with one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final

from audit.reporting.as_json import decimal_text
from audit.reporting.errors import Unrenderable
from audit.reporting.figures import place
from audit.reporting.model import Figure, MaterialLine, Position, Report

Field = str | int | Decimal | None
_FORMULA: Final = (
    *("=", "+", "-", "@"),
    "\N{FULLWIDTH EQUALS SIGN}",
    "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}",
    "\N{FULLWIDTH COMMERCIAL AT}",
)
_GUARD: Final = "'"


def render(report: Report) -> dict[str, bytes]:
    """The files by name.

    Raises:
        Unrenderable: a Decimal is not finite, or a text is not Unicode.
    """
    return {name: _file([head, *rows], name) for name, head, rows in _tables(report)}


def guarded(text: str) -> str:
    """The text as a field that no spreadsheet takes for a formula."""
    risky = text.startswith((*_FORMULA, _GUARD)) or (
        text != "" and (text[0].isspace() or not text[0].isprintable())
    )
    return _GUARD + text if risky else text


def unguarded(field: str) -> str:
    """The text that a field was made from."""
    return field.removeprefix(_GUARD)


def _file(rows: Iterable[Sequence[Field]], name: str) -> bytes:
    text = "".join(",".join(map(_field, row)) + "\r\n" for row in rows)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Unrenderable(f"a text of {name} is not Unicode (half of a surrogate pair)") from error


def _field(value: Field) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return '"' + guarded(value).replace('"', '""') + '"'
    return decimal_text(value) if isinstance(value, Decimal) else str(value)


_FIGURES: Final = (
    "reported",
    "corrections",
    "overstated",
    "understated",
    "in_doubt",
    "supported",
    "lost_estimate",
)
_FIGURE_HEAD: Final = ("mass_mg", "co2e_g", "mass_ref", "co2e_ref")


def _figure(figure: Figure) -> tuple[Field, ...]:
    return figure.mass.mg, figure.co2e.g, figure.mass.ref, figure.co2e.ref


def _places(positions: tuple[Position, ...]) -> str:
    return "; ".join(map(place, positions))


def _tables(report: Report) -> Iterator[tuple[str, Sequence[Field], Iterable[Sequence[Field]]]]:
    """Name, head and rows of each file."""
    yield (
        "materials.csv",
        (
            *("material", "deposits"),
            *(f"{name}_{part}" for name in _FIGURES for part in _FIGURE_HEAD),
            *("lost_low_mg", "lost_high_mg"),
        ),
        map(_material, report.by_material),
    )
    yield (
        "classes.csv",
        ("class", "meaning", "ref", "count", "mass_mg", *(f"effect_{part}" for part in _FIGURE_HEAD)),
        (
            (line.name, line.meaning, line.ref, line.count, line.mass_mg, *_figure(line.effect))
            for line in report.by_class
        ),
    )
    yield (
        "invariants.csv",
        (
            *("invariant", "title", "assertion", "status", "checked", "exceptions", "ref"),
            *(f"effect_{part}" for part in _FIGURE_HEAD),
            *("sentence", "rule", "sql_digest"),
        ),
        (
            (
                *(one.name, one.title, one.assertion, one.status, one.checked, one.exceptions, one.ref),
                *_figure(one.effect),
                *(one.sentence, one.rule, one.sql_digest),
            )
            for one in report.invariants
        ),
    )
    yield (
        "findings.csv",
        (
            *("ref", "class", "machine", "site", "transaction_id", "event_time", "declared", "accepted"),
            *("mass_mg", "effect_mg", "effect_co2e_g", "detail", "positions"),
        ),
        (
            (
                *(one.ref, one.name, one.machine, one.site, one.transaction_id, one.event_time),
                *(one.declared, one.accepted, one.mass_mg, one.effect_mg, one.effect_co2e_g),
                *(one.detail, _places(one.positions)),
            )
            for one in report.findings
        ),
    )
    yield (
        "machines.csv",
        (
            *("machine", "site", "deposits", "reported_mg", "lost"),
            *("heartbeats_due", "heartbeats_seen", "coverage_ppm", "calibration"),
        ),
        (
            (
                *(one.machine, one.site, one.deposits, one.reported_mg, one.lost),
                *(one.heartbeats_due, one.heartbeats_seen, one.coverage_ppm, one.calibration),
            )
            for one in report.machine_lines
        ),
    )
    yield (
        "lots.csv",
        (
            *("lot", "machine", "site", "deposits", "recorded_mg"),
            *("ticket", "ticket_mg", "difference_mg", "tolerance_mg", "status"),
        ),
        (
            (
                *(one.lot, one.machine, one.site, one.deposits, one.recorded_mg),
                *(one.ticket, one.ticket_mg, one.difference_mg, one.tolerance_mg, one.status),
            )
            for one in report.lots
        ),
    )
    yield (
        "disclosures.csv",
        ("standard", "datapoint", "name", "unit", "value", "note"),
        (
            (one.standard, one.datapoint, one.name, one.unit, one.value, one.note)
            for one in report.disclosures
        ),
    )


def _material(line: MaterialLine) -> tuple[Field, ...]:
    figures: list[Figure] = [getattr(line, name) for name in _FIGURES]
    values = (value for figure in figures for value in _figure(figure))
    return line.material, line.deposits, *values, line.lost_low_mg, line.lost_high_mg
