"""The sections for whoever checks the report: evidence and digests, how to check it, references."""

from __future__ import annotations

from collections.abc import Iterator

from audit.reporting.blocks import (
    SHOWN_ROWS,
    Block,
    Cell,
    Column,
    Command,
    Section,
    Table,
    Text,
    foreign,
    material_name,
)
from audit.reporting.figures import class_words, clipped, co2e_kg, kg, shown, signed
from audit.reporting.front import TOTAL_WORDS
from audit.reporting.model import Report


def evidence(report: Report, digest: str) -> Section:
    """What was read, and every digest."""
    blocks: list[Block] = []
    if report.ledger.streams:
        columns = (
            Column("Stream", 16),
            Column("Rows", 13, "number"),
            Column("Chains", 9, "number"),
            Column("SHA-256 over the chains' ends", 62, "code"),
        )
        rows = tuple(
            (foreign(one.stream, 40), Cell(f"{one.rows:,}"), Cell(f"{one.chains:,}"), foreign(one.digest))
            for one in report.ledger.streams
        )
        blocks.append(Table(columns, rows))
    else:
        blocks.append(Text("No row of any stream was read."))
    names = (Column("Digest, SHA-256", 26), Column("", 74, "code"))
    digests = (
        (Cell("This report, as JSON"), Cell(digest)),
        (Cell("Evidence read"), foreign(report.ledger.evidence_digest)),
        (Cell("Factor set"), foreign(report.factor_set.digest)),
        (Cell("Queries"), foreign(report.sql_digest)),
        (Cell("Code version"), foreign(report.code_version)),
    )
    blocks.append(Table(names, digests))
    return Section("digests", "Evidence and digests", tuple(blocks))


def recheck(report: Report, digest: str) -> Section:
    """How whoever doubts the report checks it."""
    ref = next((total.figure.mass.ref for total in report.totals if total.name == "supported"), "REF")
    blocks: tuple[Block, ...] = (
        Text(
            "The report is a function of the evidence, the factor set, the parameters and the code alone: "
            "whoever runs it again on the same ledger gets the same bytes. The digest in the footer is the "
            "SHA-256 of report.json; sha256sum -c SHA256SUMS checks every file of the folder."
        ),
        Command("sha256sum -c SHA256SUMS"),
        Text(f"report.json must then have the digest {digest}.", note=True),
        Text(
            "Each figure has a reference. This shows the rows and the arithmetic behind it (DIR: its folder):"
        ),
        Command(f"tally explain {clipped(ref, 80)} --report DIR"),
        Text(
            "tally export writes the rows as Parquet files with the SQL that computes each figure from them, "
            "for whoever would rather use a tool of their own."
        ),
    )
    return Section("recheck", "How to check this report", blocks)


def references(report: Report) -> Section:
    """The refs of every figure that the tables above show without room to print it."""
    columns = (Column("Figure", 34), Column("Value", 16, "number"), Column("Reference", 50, "code"))
    rows = tuple(
        (Cell(name), Cell(value), Cell(clipped(ref, 80), full=ref))
        for name, value, ref in _refs(report)
        if ref
    )
    if not rows:
        return Section("references", "References", (Text("No figure has a reference."),))
    words = Text(
        "What tally explain takes for each figure that isn't zero. Those of findings are in the workbook."
    )
    return Section("references", "References", (words, Table(columns, rows, small=True)))


def _refs(report: Report) -> Iterator[tuple[str, str, str]]:
    for total in report.totals:
        name = TOTAL_WORDS.get(total.name, shown(total.name))
        yield f"{name}, all", f"{kg(total.figure.mass.mg)} kg", total.figure.mass.ref
        yield f"{name}, all", f"{co2e_kg(total.figure.co2e.g)} kg CO2e", total.figure.co2e.ref
    for line in report.by_material[:SHOWN_ROWS]:
        for attribute, name in TOTAL_WORDS.items():
            figure = getattr(line, attribute)
            if not (figure.mass.mg or figure.co2e.g):
                continue
            yield f"{name}, {material_name(line.material)}", f"{kg(figure.mass.mg)} kg", figure.mass.ref
            yield (
                f"{name}, {material_name(line.material)}",
                f"{co2e_kg(figure.co2e.g)} kg CO2e",
                figure.co2e.ref,
            )
    for of in report.by_class:
        yield class_words(of.name), f"{of.count:,}", of.ref
        yield f"{class_words(of.name)}, effect", f"{signed(kg(of.effect.mass.mg))} kg", of.effect.mass.ref
        yield (
            f"{class_words(of.name)}, effect",
            f"{signed(co2e_kg(of.effect.co2e.g))} kg CO2e",
            of.effect.co2e.ref,
        )
    for one in report.invariants:
        yield clipped(one.title), f"{one.exceptions:,} of {one.checked:,}", one.ref
    for number, correction in enumerate(report.corrections[:SHOWN_ROWS], 1):
        yield f"Correction {number:,}", f"{signed(kg(correction.mass_delta_mg))} kg", correction.ref
