"""The first page: whose report it is, the conclusion, the headline figures, the ledger's state."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from audit.reporting import charts
from audit.reporting.blocks import LONGEST_PROSE, Cell, Column, Front, Table, Tone
from audit.reporting.figures import (
    OPINION_WORDS,
    clipped,
    co2e_kg,
    co2e_t,
    count,
    day,
    kg,
    part,
    period,
    shown,
    signed,
    tonnes,
)
from audit.reporting.model import Report, Total

_VERDICTS: Final[dict[str, tuple[Tone, str]]] = {
    "no_material_misstatement": ("good", "No material misstatement"),
    "review_required": ("warn", "Review required"),
    "material_misstatement": ("bad", "Material misstatement"),
    "no_conclusion": ("bad", "No conclusion"),
}


def front_page(report: Report) -> Front:
    """The first page of the report."""
    ledger, conclusion = report.ledger, report.conclusion
    tone, verdict = _VERDICTS[conclusion.opinion]
    headline = OPINION_WORDS[conclusion.opinion]
    if ledger.intact is False:
        tone, verdict = "bad", "No conclusion"
        headline = "No conclusion can be drawn: the ledger is broken."
    state: tuple[Tone, str, str] = (
        ("warn", "Not verified", "Verification was switched off: whether the ledger is intact is not known.")
        if ledger.intact is None
        else ("good", "Intact", f"{_rows_read(report)} read and verified; nothing contradicts anything.")
        if ledger.intact
        else (
            "bad",
            "Broken",
            f"The ledger contradicts itself in {count(ledger.break_count, 'place')}: rely on no figure here.",
        )
    )
    return Front(
        operator=clipped(report.operator, 160),
        title="Reconciliation of reported material and avoided emissions with their evidence",
        period=period(report.period_from, report.period_to),
        about=(
            ("Boundary", clipped(report.boundary, 400)),
            ("Period", f"{day(report.period_from)} up to, not including, {day(report.period_to)} (UTC)"),
            ("Sites", _scope(report.sites)),
            ("Machines", _scope(report.machines)),
            ("Materials", _scope(report.materials)),
        ),
        headline=headline,
        tone=tone,
        verdict=verdict,
        sentences=tuple(clipped(sentence, LONGEST_PROSE) for sentence in conclusion.sentences),
        broken=ledger.intact is False,
        ledger_tone=state[0],
        ledger=state[1],
        ledger_words=state[2],
        figures=_headline_figures(report.totals),
        chart=charts.materiality(conclusion),
    )


def _rows_read(report: Report) -> str:
    streams = report.ledger.streams
    return f"{count(sum(one.rows for one in streams), 'row')} of {count(len(streams), 'stream')}"


def _scope(names: tuple[str, ...]) -> str:
    if not names:
        return "all"
    if len(names) == 1:
        return clipped(names[0], 60)
    first = ", ".join(clipped(name, 40) for name in names[:8])
    if len(names) > 8:
        return f"{len(names):,}: {first} \N{HORIZONTAL ELLIPSIS}"
    return f"{len(names):,}: {first}"


TOTAL_WORDS: Final = {
    "reported": "Reported",
    "corrections": "Corrections",
    "overstated": "Overstated",
    "understated": "Understated",
    "in_doubt": "In doubt",
    "supported": "Supported",
    "lost_estimate": "Lost, estimated",
}


_SIGNS: Final = {"corrections": 1, "overstated": -1, "understated": 1, "in_doubt": -1}
"""How a total enters the supported figure."""


def _headline_figures(totals: tuple[Total, ...]) -> Table:
    """Kilograms, or tonnes from ten of them on, to the gram or the kilogram."""
    heavy = any(abs(total.figure.mass.mg) >= 10_000_000_000 for total in totals)
    much = any(abs(total.figure.co2e.g or Decimal(0)) >= 10_000_000 for total in totals)
    whole = next((total.figure.mass.mg for total in totals if total.name == "reported"), 0)
    rows = []
    for total in totals:
        mass, co2e = total.figure.mass, total.figure.co2e
        mass_text = tonnes(mass.mg) if heavy else kg(mass.mg)
        co2e_text = co2e_t(co2e.g) if much else co2e_kg(co2e.g)
        rows.append(
            (
                Cell(TOTAL_WORDS.get(total.name, shown(total.name)), sub=clipped(total.meaning, 160)),
                Cell(_with_sign(total.name, mass_text, mass.mg), ref=mass.ref),
                Cell(_with_sign(total.name, part(mass.mg, whole), mass.mg)),
                Cell(_with_sign(total.name, co2e_text, co2e.g), ref=co2e.ref),
            )
        )
    columns = (
        Column("", 54),
        Column("Mass", 16, "number", "t" if heavy else "kg"),
        Column("Of reported", 13, "number"),
        Column("Avoided", 17, "number", "t CO2e" if much else "kg CO2e"),
    )
    return Table(columns, tuple(rows))


def _with_sign(name: str, text: str, value: Decimal | int | None) -> str:
    """The figure as it enters the sum: overstated mass is taken off."""
    if not value or name not in _SIGNS:
        return text
    if _SIGNS[name] < 0:
        return f"\N{MINUS SIGN}{text}" if value > 0 else f"+{text.removeprefix(chr(0x2212))}"
    return signed(text)
