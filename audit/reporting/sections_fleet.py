"""The sections of the fleet: machines, lots against scale tickets, confusion of materials, uncertainty."""

from __future__ import annotations

from decimal import Decimal

from audit.reporting import charts
from audit.reporting.blocks import (
    SHOWN_ROWS,
    Block,
    Cell,
    Column,
    Section,
    Table,
    Text,
    foreign,
    left_out,
    material_name,
    shade,
    status_cell,
)
from audit.reporting.figures import NONE, clipped, kg, part, percent, signed
from audit.reporting.model import Confusion, Report
from audit.reporting.sections_rules import SHOWN_FINDINGS


def coverage_threshold(report: Report) -> int | None:
    """The required part of heartbeats in ppm, from the parameter named ``heartbeat_coverage...``."""
    for parameter in report.parameters:
        if parameter.name.startswith("heartbeat_coverage"):
            scale = 1 if parameter.unit == "ppm" else 10_000 if parameter.unit.startswith("%") else 1_000_000
            try:
                ppm = Decimal(parameter.value) * scale
            except ArithmeticError:
                return None
            return int(ppm) if ppm.is_finite() and 0 < ppm <= 1_000_000 else None
    return None


def machines(report: Report) -> Section:
    """Completeness of the machines."""
    title = "Machines and completeness"
    chart = charts.coverage(report.machine_lines, coverage_threshold(report))
    if chart is None:
        return Section("machines", title, (Text("No machine reported in the period."),))
    table = Table(
        (
            Column("Machine, site", 22),
            Column("Deposits", 11, "number"),
            Column("Reported", 13, "number", "kg"),
            Column("Lost", 8, "number"),
            Column("Heartbeats", 17, "number", "seen of due"),
            Column("Coverage", 11, "number"),
            Column("Calibration", 18),
        ),
        tuple(
            (
                Cell(clipped(one.machine, 60), sub=clipped(one.site, 60), full=one.machine),
                Cell(f"{one.deposits:,}"),
                Cell(kg(one.reported_mg)),
                Cell(f"{one.lost:,}"),
                Cell(f"{one.heartbeats_seen:,} of {one.heartbeats_due:,}"),
                Cell(NONE if one.coverage_ppm is None else percent(one.coverage_ppm)),
                foreign(one.calibration, 60),
            )
            for one in report.machine_lines[:SHOWN_ROWS]
        ),
    )
    rest = left_out(report.machine_lines, SHOWN_ROWS, "machine")
    return Section("machines", title, (chart, Text(chart.summary, note=True), table, *rest))


def lots(report: Report) -> Section:
    """Lots against the plant's scale."""
    title = "Lots against scale tickets"
    chart = charts.lot_differences(report.lots)
    if chart is None:
        words = "No lot of the period has a scale ticket, so none was compared with a plant's scale."
        return Section("lots", title, (Text(words),))
    table = Table(
        (
            Column("Lot, ticket", 16),
            Column("Machine, site", 18),
            Column("Deposits", 9, "number"),
            Column("Recorded", 12, "number", "kg"),
            Column("Ticket", 12, "number", "kg"),
            Column("Difference", 11, "number", "kg"),
            Column("Tolerance", 10, "number", "kg"),
            Column("Result", 12),
        ),
        tuple(
            (
                Cell(clipped(one.lot, 40), sub=clipped(one.ticket, 40)),
                Cell(clipped(one.machine, 40), sub=clipped(one.site, 40), full=one.machine),
                Cell(f"{one.deposits:,}"),
                Cell(kg(one.recorded_mg)),
                Cell(kg(one.ticket_mg)),
                Cell(signed(kg(one.difference_mg)), sub=part(one.difference_mg, one.ticket_mg)),
                Cell(f"\N{PLUS-MINUS SIGN}{kg(one.tolerance_mg)}"),
                status_cell(one.status),
            )
            for one in report.lots[:SHOWN_ROWS]
        ),
    )
    rest = left_out(report.lots, SHOWN_ROWS, "lot")
    return Section("lots", title, (chart, Text(chart.summary, note=True), table, *rest))


def confusion(report: Report) -> Section:
    """Declared against accepted material, as a matrix while it is readable."""
    title = "Declared against accepted material"
    if not report.confusion:
        return Section("confusion", title, (Text("No supported deposit has a prediction to compare with."),))
    names = sorted({one.declared for one in report.confusion} | {one.accepted for one in report.confusion})
    of = {(one.declared, one.accepted): one for one in report.confusion}
    if len(names) > 10:
        return Section("confusion", title, _confusion_list(report.confusion))
    most = max((one.deposits for one in report.confusion if one.declared != one.accepted), default=0)
    rows = tuple(
        (
            Cell(material_name(declared)),
            *(_confusion_cell(of.get((declared, accepted)), most) for accepted in names),
        )
        for declared in names
    )
    width = 86 / len(names)
    table = Table(
        (Column("Declared", 14), *(Column(material_name(name), width, "number") for name in names)),
        rows,
        small=True,
    )
    words = (
        "Rows: as the machine declared it. Columns: as it was accepted. Deposits; disagreements are shaded."
    )
    return Section("confusion", title, (table, Text(words, note=True)))


def _confusion_cell(one: Confusion | None, most: int) -> Cell:
    if one is None:
        return Cell("\N{MIDDLE DOT}")
    return Cell(f"{one.deposits:,}", heat=0 if one.declared == one.accepted else shade(one.deposits, most))


def _confusion_list(cells: tuple[Confusion, ...]) -> tuple[Block, ...]:
    disagreeing = sorted(
        (one for one in cells if one.declared != one.accepted),
        key=lambda one: (-one.mass_mg, one.declared, one.accepted),
    )
    if not disagreeing:
        return (Text("Declared and accepted material agree in every supported deposit."),)
    columns = (
        Column("Declared", 35),
        Column("Accepted", 35),
        Column("Deposits", 15, "number"),
        Column("Mass", 15, "number", "kg"),
    )
    rows = tuple(
        (
            Cell(material_name(one.declared)),
            Cell(material_name(one.accepted)),
            Cell(f"{one.deposits:,}"),
            Cell(kg(one.mass_mg)),
        )
        for one in disagreeing[:SHOWN_FINDINGS]
    )
    return (Text("Where they disagree, the largest mass first."), Table(columns, rows))


def uncertainty(report: Report) -> Section:
    """The sources of uncertainty."""
    if not report.uncertainty:
        return Section("uncertainty", "Uncertainty", (Text("No source of uncertainty was quantified."),))
    rows = tuple(
        (foreign(one.name, 60), foreign(one.value, 60), foreign(one.unit, 40), foreign(one.meaning, 300))
        for one in report.uncertainty
    )
    columns = (Column("Source", 18), Column("Value", 18, "number"), Column("Unit", 18), Column("Meaning", 46))
    return Section("uncertainty", "Uncertainty", (Table(columns, rows),))
