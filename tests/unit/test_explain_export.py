"""Every figure of a report can be explained from an export alone."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

from audit.reconcile.explain import Explainer
from audit.reporting.model import CLASSES, Figure
from tests.evidence import END, START, clean_fleet, deposit_at, reconciled


def test_every_reference_is_explained_from_an_export(tmp_path: Path) -> None:
    fleet = clean_fleet()
    fleet.repeat(fleet.deposit("M1", 3))
    fleet.prediction(fleet.deposit("M1", 6))["material"] = "glass"
    fleet.prediction(fleet.deposit("M2", 3))["confidence"] = 0.1
    fleet.predictions.remove(fleet.prediction(fleet.deposit("M2", 6)))
    fleet.deposits.remove(fleet.deposit("M2", 8))
    fleet.deposits.append(deposit_at("M2", 99, END + timedelta(minutes=1), delay_us=-120_000_000))
    fleet.deposit("M1", 9)["mass_mg"] = 1
    late = fleet.deposit("M2", 2)
    late["event_time"], late["delay_us"] = START + timedelta(minutes=1), 4_000_000_000
    found = reconciled(fleet, tmp_path)
    report = found.report()
    named = {finding.name for finding in report.findings}
    assert named == {*CLASSES} - {"conflict"}
    figures = [total.figure for total in report.totals]
    for line in report.by_material:
        figures += [f for field in fields(line) if isinstance(f := getattr(line, field.name), Figure)]
    refs = [ref for figure in figures for ref in (figure.mass.ref, figure.co2e.ref)]
    refs += [one.ref for one in report.findings]
    refs += [one.ref for one in report.by_class]
    refs += [one.ref for one in report.invariants]
    for ref in refs:
        assert Explainer(found.engine, report, 5).explain(ref).ref == ref, ref
    finding = next(one for one in report.findings if one.name == "material_mismatch")
    rows = Explainer(found.engine, report, 5).explain(finding.ref).rows
    assert {place.partition("/")[0] for place, _, _ in rows} == {"transactions", "predictions"}
    received = [value for _, name, value in rows if name == "received_us"]
    assert received == ["2026-03-01T10:30:00.250000Z", "2026-03-01T10:30:02.250000Z"]
