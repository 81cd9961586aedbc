"""The sections of what the figures rest on: factors, disclosures, corrections, restatement, parameters."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby

from audit.reporting.blocks import (
    LONGEST_PROSE,
    SHOWN_ROWS,
    Block,
    Cell,
    Column,
    Heading,
    Section,
    Table,
    Text,
    foreign,
    left_out,
    material_name,
    short_place,
)
from audit.reporting.figures import clipped, co2e_kg, exact, grouped, kg, shown, signed
from audit.reporting.model import Report


def factors(report: Report) -> Section:
    """The factor set, with a mark on whatever is not verified."""
    of = report.factor_set
    words = (
        f"{clipped(of.name)} {clipped(of.version)}, global warming potentials of {clipped(of.gwp)}, valid "
        f"from {clipped(of.valid_from)} to {clipped(of.valid_to)}, locked for the period. Avoided: baseline "
        "minus treatment."
    )
    blocks: list[Block] = [Text(words)]
    if of.factors:
        columns = (
            Column("Material", 17),
            Column("Treatment", 15, "number", "value in its unit"),
            Column("Baseline", 15, "number", "value in its unit"),
            Column("Avoided", 13, "number", "kg CO2e/t"),
            Column("Checked", 14),
            Column("Source", 26),
        )
        rows = tuple(
            (
                Cell(material_name(one.material)),
                Cell(_printed(one.treatment_value), sub=clipped(one.treatment, 40)),
                Cell(_printed(one.baseline_value), sub=clipped(one.baseline, 40)),
                Cell(grouped(one.avoided_kg_per_t, 1)),
                Cell("Verified", tone="good")
                if one.verified == "yes"
                else Cell(clipped(one.verified, 24).capitalize(), tone="warn"),
                Cell(clipped(one.source, 160), sub=clipped(one.source_unit, 40)),
            )
            for one in of.factors[:SHOWN_ROWS]
        )
        blocks.append(Table(columns, rows))
        if any(one.verified != "yes" for one in of.factors):
            words = (
                "Derived: computed from verified values. Transcribed: copied by somebody else, not checked."
            )
            blocks.append(Text(words, note=True))
    else:
        blocks.append(Text("No factor of the set was used."))
    blocks.append(Text(f"SHA-256 of the factor set: {shown(of.digest)}", note=True))
    return Section("factors", "Emission factors", tuple(blocks))


def _printed(value: str) -> str:
    """A value as the source printed it, with a true minus sign."""
    text = clipped(value, 24)
    return f"\N{MINUS SIGN}{text[1:]}" if text.startswith("-") else text


def disclosures(report: Report) -> Section:
    """The standards' datapoints; without evidence there is no figure, not a zero."""
    title = "Disclosures"
    if not report.disclosures:
        return Section("disclosures", title, (Text("No disclosure was asked for."),))
    blocks: list[Block] = []
    columns = (
        Column("Datapoint", 14),
        Column("Name", 32),
        Column("Value", 20, "number"),
        Column("Unit", 8),
        Column("Note", 26),
    )
    for standard, points in groupby(report.disclosures, lambda one: one.standard):
        rows = tuple(
            (
                foreign(one.datapoint, 40),
                foreign(one.name, 120),
                Cell("no evidence", tone="muted") if one.value is None else Cell(exact(one.value)),
                foreign(one.unit, 20),
                foreign(one.note, 240),
            )
            for one in points
        )
        blocks += [Heading(clipped(standard)), Table(columns, rows)]
    words = (
        "No evidence: this system measures nothing that the datapoint could be computed from; it isn't zero."
    )
    blocks.append(Text(words, note=True))
    return Section("disclosures", title, tuple(blocks))


def corrections(report: Report) -> Section:
    """The compensating rows, those that name no real row too."""
    title = "Corrections"
    if not report.corrections:
        return Section("corrections", title, (Text("No correction was recorded for the period."),))
    columns = (
        Column("Result", 12),
        Column("Corrects, recorded at", 26, "code"),
        Column("Material", 16),
        Column("Mass", 12, "number", "kg"),
        Column("Reason, by whom", 34),
    )
    rows = tuple(
        (
            Cell("Applied", tone="good") if one.valid else Cell("Refused", tone="bad"),
            Cell(short_place(one.corrects), sub=short_place(one.position), ref=one.ref),
            Cell(
                material_name(one.material_from),
                sub=f"to {material_name(one.material_to)}" if one.material_to != one.material_from else "",
            ),
            Cell(signed(kg(one.mass_delta_mg))),
            Cell(
                clipped(one.reason, 200),
                sub=clipped(one.actor, 80)
                + (f" \N{EN DASH} {clipped(one.problem, 160)}" if one.problem else ""),
                full=one.reason,
            ),
        )
        for one in report.corrections[:SHOWN_ROWS]
    )
    words = Text("A correction never changes a row: both stay in the ledger, and both are counted here.")
    rest = left_out(report.corrections, SHOWN_ROWS, "correction")
    return Section("corrections", title, (words, Table(columns, rows), *rest))


def restatement(report: Report) -> Section:
    """What changed since the report that this one restates."""
    title = "Restatement"
    one = report.restatement
    if one is None:
        return Section("restatement", title, (Text("This report restates no earlier one."),))
    rows = tuple(
        (foreign(line.cause, 160), Cell(signed(kg(line.mass_mg))), Cell(signed(co2e_kg(line.co2e_g))))
        for line in one.lines
    )
    grams_known = [line.co2e_g for line in one.lines if line.co2e_g is not None]
    foot = (
        Cell("Difference to the earlier report"),
        Cell(signed(kg(sum(line.mass_mg for line in one.lines)))),
        Cell(signed(co2e_kg(sum(grams_known, Decimal(0)) if len(grams_known) == len(one.lines) else None))),
    )
    columns = (
        Column("Cause", 56),
        Column("Mass", 22, "number", "kg"),
        Column("Avoided", 22, "number", "kg CO2e"),
    )
    words = f"Restates the report {shown(one.earlier_digest)}, which used {clipped(one.earlier_factor_set)}."
    table: Block = Table(columns, rows, foot) if rows else Text("Nothing differs from the earlier report.")
    return Section("restatement", title, (Text(words), table))


def parameters(report: Report) -> Section:
    """The choices that the report depends on, and its assumptions."""
    blocks: list[Block] = []
    if report.parameters:
        columns = (
            Column("Parameter", 27),
            Column("Value", 14, "number"),
            Column("Unit", 20),
            Column("Meaning", 39),
        )
        rows = tuple(
            (foreign(one.name, 60), foreign(one.value, 60), foreign(one.unit, 40), foreign(one.meaning, 300))
            for one in report.parameters
        )
        blocks.append(Table(columns, rows))
    else:
        blocks.append(Text("The report depends on no parameter."))
    blocks.append(Heading("Assumptions and limits"))
    if report.notes:
        blocks += [Text(clipped(note, LONGEST_PROSE)) for note in report.notes]
    else:
        blocks.append(Text("None was recorded."))
    return Section("parameters", "Parameters and assumptions", tuple(blocks))
