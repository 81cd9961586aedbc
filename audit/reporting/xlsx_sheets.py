"""The sheets of the workbook that are tables of their own: classes, rules, findings, fleet, disclosures."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby

from audit.reporting.as_json import decimal_text
from audit.reporting.figures import STATUS_WORDS, class_words, count, place, shown
from audit.reporting.model import Co2e, Finding, Report
from audit.reporting.workbook import HEAD_ROW, Book, Column, Flag, Formula, Value, at


def in_kg(mg: int) -> Decimal:
    """Milligrams in kilograms, exact."""
    return Decimal(f"{mg}e-6")


def co2e_in_kg(co2e: Co2e) -> Decimal | None:
    """Grams of CO2e in kilograms, exact; None where there is no factor."""
    return None if co2e.g is None else Decimal(f"{decimal_text(co2e.g)}e-3")


def classes(book: Book, report: Report) -> None:
    """The classes."""
    columns = (
        Column("Class", 22),
        Column("Deposits or predictions", 14, "count", summed=True),
        Column("Mass, kg", 14, "kg", summed=True),
        Column("Effect, kg", 14, "kg", summed=True),
        Column("Effect, kg CO2e", 14, "kg", summed=True),
        Column("Reference", 28),
        Column("Meaning", 70),
    )
    rows: list[list[Value]] = [
        [
            class_words(line.name),
            line.count,
            in_kg(line.mass_mg),
            in_kg(line.effect.mass.mg),
            co2e_in_kg(line.effect.co2e),
            line.ref,
            line.meaning,
        ]
        for line in report.by_class
    ]
    note = "Effect: reported minus supported; that of lost deposits is an estimate."
    book.table("Classes", "Classes", note, columns, rows)


def invariants(book: Book, report: Report) -> None:
    """The rules."""
    columns = (
        Column("Rule", 24),
        Column("Title", 44),
        Column("Assertion", 15),
        Column("Result", 12),
        Column("Checked", 11, "count"),
        Column("Exceptions", 11, "count"),
        Column("Exceptions, part of checked", 13, "part"),
        Column("Effect, kg", 13, "kg"),
        Column("Effect, kg CO2e", 13, "kg"),
        Column("Said", 60),
        Column("Reference", 28),
        Column("SHA-256 of its query", 20),
    )
    rows: list[list[Value]] = []
    for row, one in enumerate(report.invariants, HEAD_ROW + 1):
        part = Decimal(one.exceptions) / Decimal(one.checked) if one.checked else None
        words = STATUS_WORDS[one.status]
        rows.append(
            [
                one.name,
                one.title,
                one.assertion,
                words if one.status == "PASSED" else Flag(words),
                one.checked,
                one.exceptions,
                None if part is None else Formula(f"={at(row, 5)}/{at(row, 4)}", part, part),
                in_kg(one.effect.mass.mg),
                co2e_in_kg(one.effect.co2e),
                one.sentence,
                one.ref,
                one.sql_digest,
            ]
        )
    book.table("Invariants", "Invariants", "Effect: reported minus supported.", columns, rows)


def findings(book: Book, report: Report) -> None:
    """A sheet for each class that has findings, with every one of them."""
    columns = (
        Column("Reference", 28),
        Column("Machine", 16),
        Column("Site", 18),
        Column("Time", 24),
        Column("Transaction", 22),
        Column("Declared", 16),
        Column("Accepted", 16),
        Column("Mass, g", 12, "g", summed=True),
        Column("Effect, g", 12, "g", summed=True),
        Column("Effect, g CO2e", 14, "g", summed=True),
        Column("What", 60),
        Column("Position in the ledger", 40),
    )
    note = "Every finding of the class; sums are of what a filter leaves. Effect: reported minus supported."
    if report.findings_omitted:
        note += f" {report.findings_omitted:,} findings of the report are only counted and in no sheet."
    ordered = sorted(report.findings, key=lambda one: one.name)
    by_class = {name: list(found) for name, found in groupby(ordered, lambda one: one.name)}
    for name in dict.fromkeys(one.name for one in report.findings):
        rows = [_finding(one) for one in by_class[name]]
        title = f"Findings: {class_words(name)}"
        book.table(class_words(name), shown(title), note, columns, rows, filtered=True)


def machines(book: Book, report: Report) -> None:
    """Completeness."""
    columns = (
        Column("Machine", 18),
        Column("Site", 20),
        Column("Deposits", 11, "count", summed=True),
        Column("Reported, kg", 14, "kg", summed=True),
        Column("Lost deposits, estimated", 13, "count", summed=True),
        Column("Heartbeats due", 13, "count", summed=True),
        Column("Heartbeats seen", 13, "count", summed=True),
        Column("Coverage", 11, "part"),
        Column("Calibration", 34),
    )
    rows: list[list[Value]] = []
    for row, one in enumerate(report.machine_lines, HEAD_ROW + 1):
        coverage: Value = None
        if one.coverage_ppm is not None:
            states = Decimal(f"{one.coverage_ppm}e-6")
            gives = Decimal(one.heartbeats_seen) / Decimal(one.heartbeats_due or 1)
            coverage = Formula(f"={at(row, 6)}/{at(row, 5)}", gives, states)
        rows.append(
            [
                one.machine,
                one.site,
                one.deposits,
                in_kg(one.reported_mg),
                one.lost,
                one.heartbeats_due,
                one.heartbeats_seen,
                coverage,
                one.calibration,
            ]
        )
    book.table("Machines", "Machines and completeness", "Coverage = seen / due.", columns, rows)


def lots(book: Book, report: Report) -> None:
    """Lots against tickets."""
    columns = (
        Column("Lot", 16),
        Column("Ticket", 16),
        Column("Machine", 18),
        Column("Site", 20),
        Column("Deposits", 11, "count", summed=True),
        Column("Recorded, kg", 14, "kg", summed=True),
        Column("Ticket, kg", 14, "kg", summed=True),
        Column("Difference, kg", 14, "kg", summed=True),
        Column("Difference, part of ticket", 13, "part"),
        Column("Tolerance, kg", 13, "kg"),
        Column("Result", 12),
    )
    rows: list[list[Value]] = []
    for row, one in enumerate(report.lots, HEAD_ROW + 1):
        recorded, ticket, difference = map(in_kg, (one.recorded_mg, one.ticket_mg, one.difference_mg))
        part = difference / ticket if ticket else None
        words = STATUS_WORDS[one.status]
        rows.append(
            [
                one.lot,
                one.ticket,
                one.machine,
                one.site,
                one.deposits,
                recorded,
                ticket,
                Formula(f"={at(row, 5)}-{at(row, 6)}", in_kg(one.recorded_mg - one.ticket_mg), difference),
                None if part is None else Formula(f"={at(row, 7)}/{at(row, 6)}", part, part),
                in_kg(one.tolerance_mg),
                words if one.status == "PASSED" else Flag(words),
            ]
        )
    book.table("Lots", "Lots against scale tickets", "Difference = recorded - ticket.", columns, rows)


def disclosures(book: Book, report: Report) -> None:
    """The datapoints; "no evidence" where there is no figure."""
    columns = (
        Column("Standard", 14),
        Column("Datapoint", 14),
        Column("Name", 44),
        Column("Value", 18, "value"),
        Column("Unit", 10),
        Column("Note", 70),
    )
    rows: list[list[Value]] = [
        [
            one.standard,
            one.datapoint,
            one.name,
            "no evidence" if one.value is None else one.value,
            one.unit,
            one.note,
        ]
        for one in report.disclosures
    ]
    note = "No evidence: nothing is measured that the datapoint could be computed from; it isn't zero."
    book.table("Disclosures", "Disclosures", note, columns, rows)


def parameters(book: Book, report: Report) -> None:
    """What else the report rests on: parameters, corrections, assumptions, digests, a row each."""
    columns = (
        Column("Kind", 16),
        Column("Name", 30),
        Column("Value", 44),
        Column("Unit", 24),
        Column("Meaning", 80),
    )
    rows: list[list[Value]] = [
        ["parameter", one.name, one.value, one.unit, one.meaning] for one in report.parameters
    ]
    rows += [["uncertainty", one.name, one.value, one.unit, one.meaning] for one in report.uncertainty]
    rows += [
        [
            "correction",
            one.ref,
            in_kg(one.mass_delta_mg),
            "kg",
            f"{place(one.corrects)}, by {place(one.position)}: {one.reason} ({one.actor})"
            + ("" if one.valid else f"; refused: {one.problem}"),
        ]
        for one in report.corrections
    ]
    if report.restatement is not None:
        earlier = report.restatement
        rows.append(["restatement", "of", earlier.earlier_digest, "SHA-256", earlier.earlier_factor_set])
        for line in earlier.lines:
            rows.append(["restatement", line.cause, in_kg(line.mass_mg), "kg", ""])
            grams = co2e_in_kg(Co2e("", line.co2e_g))
            rows.append(["restatement", line.cause, "no factor" if grams is None else grams, "kg CO2e", ""])
    rows += [["assumption", "", "", "", note] for note in report.notes]
    rows += [
        ["digest", name, value, "SHA-256", ""]
        for name, value in (
            ("report as JSON", book.digest),
            ("evidence", report.ledger.evidence_digest),
            ("factor set", report.factor_set.digest),
            ("queries", report.sql_digest),
        )
    ]
    rows += [
        [
            "evidence",
            one.stream,
            one.digest,
            "SHA-256",
            f"{count(one.rows, 'row')} of {count(one.chains, 'chain')}",
        ]
        for one in report.ledger.streams
    ]
    rows += [
        [
            "break",
            f"{one.stream} {one.chain}",
            one.kind,
            f"rows {one.first_seq} to {one.last_seq}",
            one.detail,
        ]
        for one in report.ledger.breaks
    ]
    rows.append(["code", "version", report.code_version, "", ""])
    book.table("Parameters", "Parameters, assumptions and digests", "", columns, rows)


def _finding(one: Finding) -> list[Value]:
    return [
        one.ref,
        one.machine,
        one.site,
        one.event_time,
        one.transaction_id,
        one.declared,
        one.accepted,
        Decimal(f"{one.mass_mg}e-3"),
        Decimal(f"{one.effect_mg}e-3"),
        one.effect_co2e_g,
        one.detail,
        "; ".join(map(place, one.positions)),
    ]
