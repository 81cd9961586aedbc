"""The report's plain tables: machines, lots, corrections, uncertainty.  Pure."""

from __future__ import annotations

from decimal import Decimal

from audit.invariants.rule import grams, plural
from audit.reconcile.figures import Figures, problem_of
from audit.reconcile.parameters import Parameters, micros
from audit.reconcile.results import Results
from audit.reporting.model import CorrectionLine, LotLine, MachineLine, Parameter, Position, Status


def machine_lines(found: Results, parameters: Parameters) -> list[MachineLine]:
    """How complete each machine's part is."""
    deposits: dict[str, list[int]] = {}
    sites: dict[str, str] = {}
    for claim in found.claims:
        machine = str(claim["machine_id"])
        of = deposits.setdefault(machine, [0, 0])
        of[0] += int(claim["deposits"])
        of[1] += int(claim["mass_mg"])
        sites[machine] = str(claim["site_id"])
    lost = {str(row["machine_id"]): int(row["lost"]) for row in found.gap_sums}
    period_us = micros(parameters.end) - micros(parameters.start)
    lines = []
    for row in found.presence:
        machine = str(row["machine_id"])
        silent = min(int(row["silent_us"]), period_us)
        due = period_us // (parameters.heartbeat_s * 1_000_000)
        count, mg = deposits.get(machine, [0, 0])
        lines.append(
            MachineLine(
                machine=machine,
                site=sites.get(machine) or str(row["site_id"]),
                deposits=count,
                reported_mg=mg,
                lost=lost.get(machine, 0),
                heartbeats_due=due,
                heartbeats_seen=int(row["heartbeats"]),
                coverage_ppm=(period_us - silent) * 1_000_000 // period_us,
                calibration=found.calibrations.get(machine, ""),
            )
        )
    return lines


def lot_lines(found: Results, parameters: Parameters) -> list[LotLine]:
    """Each lot against its ticket; a lot that is still open and has none is left out."""
    p = parameters
    lines = []
    for row in found.lots:
        if row["ticket_mg"] is None and not row["closed"]:
            continue
        recorded, ticket = int(row["recorded_mg"]), int(row["ticket_mg"] or 0)
        tolerance = ticket * p.lot_tolerance_ppm // 1_000_000 + p.lot_tolerance_mg
        status: Status = "PASSED"
        if row["ticket_mg"] is None:
            status = "REVIEW_REQUIRED"
        elif (
            abs(recorded - ticket) * 1_000_000 > ticket * p.lot_tolerance_ppm + p.lot_tolerance_mg * 1_000_000
        ):
            status = "FAILED"
        lines.append(
            LotLine(
                lot=str(row["lot_id"]),
                machine=str(row["machine_id"]),
                site=str(row["site_id"]),
                deposits=int(row["deposits"]),
                recorded_mg=recorded,
                ticket=str(row["ticket_id"] or ""),
                ticket_mg=ticket,
                difference_mg=recorded - ticket,
                tolerance_mg=tolerance,
                status=status,
            )
        )
    return lines


def correction_lines(found: Results) -> list[CorrectionLine]:
    """Each compensating row, and why it is none where it is not."""
    lines = []
    for row in found.corrections:
        problem = problem_of(row)
        declared = str(row["declared"] or "")
        changed = str(row["material"] or declared)
        lines.append(
            CorrectionLine(
                ref=f"correction:{row['machine_id']}/{row['seq']}",
                corrects=Position(
                    "transactions", str(row["corrects_machine_id"]), int(row["corrects_seq"] or 0)
                ),
                position=Position("events", str(row["machine_id"]), int(row["seq"])),
                mass_delta_mg=int(row["mass_delta_mg"] or 0),
                material_from=declared,
                material_to=changed,
                reason=str(row["reason"]),
                actor=str(row["actor"]),
                valid=not problem,
                problem=problem,
            )
        )
    return lines


def _completeness(figures: Figures) -> Parameter:
    """What is missing and what is there twice, gross: the two could hide each other."""
    reported = sum(s.reported for s in figures.by_material.values())
    lost = sum(s.lost_mg for s in figures.by_material.values())
    twice = sum(figures.class_masses.get(name, 0) for name in ("duplicate", "conflict"))
    ppm = 1_000_000 - ((lost + twice) * 1_000_000 // reported if reported else 0)
    return Parameter(
        "completeness",
        f"{Decimal(ppm) / 10_000:.4f}",
        "%",
        "of mass: all but what is estimated as lost and what is recorded again; 97.5 % is customary",
    )


def uncertainty(found: Results, figures: Figures) -> tuple[Parameter, ...]:
    """Where figures may be off without anybody's fault, quantified."""
    sums = figures.by_material.values()
    lost = sum(s.lost_mg for s in sums)
    margin = sum(s.lost_margin_mg for s in sums)
    weighed = [(int(r["recorded_mg"]), int(r["ticket_mg"])) for r in found.lots if r["ticket_mg"]]
    told = [
        Parameter(
            "lost deposits",
            f"{grams(lost)} ± {grams(margin)}" if figures.lost else "none",
            "",
            "95 % prediction interval, margins of the materials added up (at most)",
        ),
    ]
    told.append(_completeness(figures))
    if weighed:
        recorded, ticket = sum(r for r, _ in weighed), sum(t for _, t in weighed)
        difference = Decimal(round((recorded - ticket) * 1_000_000 / ticket)) / 10_000 if ticket else 0
        told.append(
            Parameter(
                "weighing",
                f"{difference:+.4f}",
                "%",
                f"recorded minus weighed at the plant, over {plural(len(weighed), 'lot')} "
                f"of {grams(recorded)}",
            )
        )
    return tuple(told)
