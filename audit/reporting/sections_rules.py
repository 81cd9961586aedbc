"""The sections of the rules: invariants with their worst exceptions, and the findings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from audit.reporting.blocks import (
    LONGEST_PROSE,
    Block,
    Cell,
    Column,
    Details,
    Heading,
    Section,
    Table,
    Text,
    foreign,
    material_name,
    positions,
    status_cell,
)
from audit.reporting.figures import (
    class_words,
    clipped,
    co2e_g,
    co2e_kg,
    count,
    grams,
    kg,
    signed,
)
from audit.reporting.model import Finding, InvariantResult, Report
from audit.reporting.sections_figures import class_order

SHOWN_FINDINGS: Final = 50


def invariants(report: Report) -> Section:
    """The rules, and the worst exceptions of each."""
    if not report.invariants:
        return Section("invariants", "Invariants", (Text("No rule was applied."),))
    table = Table(
        (
            Column("Result", 12),
            Column("Rule", 41),
            Column("Assertion", 14),
            Column("Checked", 10, "number"),
            Column("Exceptions", 11, "number"),
            Column("Effect", 12, "number", "kg, kg CO2e"),
        ),
        tuple(
            (
                status_cell(one.status),
                Cell(clipped(one.title, 120), sub=clipped(one.sentence, 300), ref=one.ref),
                Cell(one.assertion),
                Cell(f"{one.checked:,}"),
                Cell(f"{one.exceptions:,}"),
                Cell(
                    signed(kg(one.effect.mass.mg)),
                    sub=signed(co2e_kg(one.effect.co2e.g)),
                    ref=one.effect.mass.ref,
                ),
            )
            for one in report.invariants
        ),
    )
    tally = ", ".join(
        f"{sum(one.status == status for one in report.invariants):,} {words}"
        for status, words in (("PASSED", "passed"), ("REVIEW_REQUIRED", "need review"), ("FAILED", "failed"))
    )
    details = [_offenders(one) for one in report.invariants if one.worst]
    blocks: list[Block] = [Text(f"Of {count(len(report.invariants), 'rule')}, {tally}."), table]
    if details:
        blocks += [Heading("The worst exceptions of each rule"), *details]
    return Section("invariants", "Invariants", tuple(blocks))


def _offenders(one: InvariantResult) -> Details:
    rows = tuple(
        (
            foreign(offender.subject, 60),
            foreign(offender.detail, 160),
            Cell(signed(grams(offender.effect_mg)), sub=signed(co2e_g(offender.effect_co2e_g))),
            positions(offender.positions),
        )
        for offender in one.worst[:10]
    )
    columns = (
        Column("What", 24),
        Column("Why", 34),
        Column("Effect", 16, "number", "g, g CO2e"),
        Column("Position in the ledger", 26, "code"),
    )
    shown_rows = f"{len(rows)} of {one.exceptions:,}" if one.exceptions > len(rows) else f"{one.exceptions:,}"
    return Details(
        f"{clipped(one.title, 120)}: {shown_rows}",
        (Text(clipped(one.rule, LONGEST_PROSE), note=True), Table(columns, rows, small=True)),
        open=one.status != "PASSED",
    )


def findings(report: Report) -> Section:
    """The first exceptions of each class."""
    if not report.findings:
        empty: list[Block] = [Text("Nothing contradicts the reported figure: there is no finding.")]
        if report.findings_omitted:
            empty = [Text(f"{count(report.findings_omitted, 'finding')} are only counted; none is listed.")]
        return Section("findings", "Findings", tuple(empty))
    exceptions = count(len(report.findings), "exception")
    in_classes = count(len({one.name for one in report.findings}), "class", "classes")
    words = (
        f"{exceptions} in {in_classes}. The first {SHOWN_FINDINGS} of each class are listed here; the "
        "workbook and findings.csv have every one."
    )
    if report.findings_omitted:
        words += f" {count(report.findings_omitted, 'more', 'more')} were found, and are only counted."
    blocks: list[Block] = [Text(words)]
    ordered = sorted(report.findings, key=lambda one: class_order(one.name))
    for name, of_class in groupby(ordered, lambda one: one.name):
        found = tuple(of_class)
        number = f"{len(found):,}" if len(found) <= SHOWN_FINDINGS else f"{SHOWN_FINDINGS} of {len(found):,}"
        blocks += [Heading(f"{class_words(name)}: {number}"), _finding_table(found[:SHOWN_FINDINGS])]
    return Section("findings", "Findings", tuple(blocks))


def _finding_table(found: Sequence[Finding]) -> Table:
    columns = (
        Column("Machine, site", 15),
        Column("Time, transaction", 18, "code"),
        Column("Declared, accepted", 15),
        Column("Mass", 9, "number", "g"),
        Column("Effect", 12, "number", "g, g CO2e"),
        Column("What, and where in the ledger", 31),
    )
    rows = tuple(
        (
            Cell(clipped(one.machine, 40), sub=clipped(one.site, 40), full=one.machine, ref=one.ref),
            Cell(clipped(one.event_time, 32), sub=clipped(one.transaction_id, 40)),
            Cell(
                material_name(one.declared),
                sub=f"as {material_name(one.accepted)}" if one.accepted else "nothing accepted",
            ),
            Cell(grams(one.mass_mg)),
            Cell(signed(grams(one.effect_mg)), sub=signed(co2e_g(one.effect_co2e_g))),
            Cell(clipped(one.detail, 160), sub=positions(one.positions).text, full=one.detail),
        )
        for one in found
    )
    return Table(columns, rows, small=True)
