"""The last chapters: the auditor's report, and the same table from Parquet and SQL alone."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tally.demo.stage import Stage
from tally.demo.story import Story

_OPERATOR: Final = "Demo Recycling"


def write(story: Story, on: Stage, folder: Path) -> None:
    """The report of the fleet's hour; every fault that was played is named in it."""
    header, faults = _manifest(folder / "manifest.jsonl")
    target = folder / "report"
    shutil.rmtree(target, ignore_errors=True)
    period = _period(header)
    done = on.tally("report", *period, "--operator", _OPERATOR, "-o", str(target))
    report: dict[str, Any] = json.loads((target / "report.json").read_bytes())
    story.summary["report"] = {**done, "conclusion": report["conclusion"]}
    story.say(f"$ tally report {' '.join(period)} -o {target.name}")
    for sentence in report["conclusion"]["sentences"][:2]:
        story.say(f"  {sentence}")
    for total in report["totals"]:
        mass, co2e = total["figure"]["mass"]["mg"], total["figure"]["co2e"]["g"]
        if total["name"] in {"reported", "supported"}:
            story.say(
                f"  {total['name']:<10} {mass / 1e6:>9,.3f} kg  {float(co2e) / 1e3:>10,.3f} kg CO2e avoided"
            )
    found = _found(report)
    hidden = _hidden(folder, faults, found)
    played: dict[str, int] = defaultdict(int)
    named: dict[str, int] = defaultdict(int)
    for fault in faults:
        if fault["id"] in hidden:
            continue
        played[fault["kind"]] += 1
        named[fault["kind"]] += _is_named(fault, found)
    told = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in sorted(played.items()))
    story.say(f"faults that were played: {told}")
    if hidden:
        story.say(
            f"({len(hidden)} more: a material declared as another of its own class, as PET as HDPE, which no "
            "photo tells)"
        )
    own = len(found["material_mismatch"]) - sum(fault["kind"] == "wrong_material" for fault in faults)
    if own > 0:
        story.say(
            f"(about {own} of the deposits declared as another material are errors of the models themselves)"
        )
    story.check(played == named, "each of them is named in the report, with its rows and its effect")
    story.check(
        bool(report["ledger"]["intact"]), "the report's digest is a row of the ledger; the ledger is intact"
    )


def recompute(story: Story, on: Stage, folder: Path) -> None:
    """Export, and reconcile from the export alone."""
    header, _ = _manifest(folder / "manifest.jsonl")
    target = folder / "export"
    shutil.rmtree(target, ignore_errors=True)
    done = on.tally("export", *_period(header), "-o", str(target))
    story.say(
        f"$ tally export ... -o {target.name}    {sum(done['rows'].values()):,} rows as Parquet, with the SQL"
    )
    again = folder / "report-from-export"
    shutil.rmtree(again, ignore_errors=True)
    other = on.tally("report", "--export", str(target), "--operator", _OPERATOR, "-o", str(again))
    story.say(f"$ tally report --export {target.name} -o {again.name}    DuckDB instead of TimescaleDB")
    story.summary["report_from_export"] = other
    story.check(
        other["digest"] == story.summary["report"]["digest"]
        and other["files"] == story.summary["report"]["files"],
        f"the same report, byte for byte: {other['digest'][:16]}",
    )


def refuse(story: Story, on: Stage, folder: Path) -> None:
    """On a broken ledger no figure is confirmed."""
    header, _ = _manifest(folder / "manifest.jsonl")
    said = on.tally("reconcile", *_period(header))["conclusion"]
    story.say(f"$ tally reconcile    {said['sentences'][0]}")
    story.check(
        said["opinion"] == "no_conclusion", "no figure is confirmed on a ledger that contradicts itself"
    )


def _manifest(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return lines[0], [line for line in lines if line["record"] == "fault"]


def _period(header: dict[str, Any]) -> tuple[str, ...]:
    start = datetime.fromisoformat(header["spec"]["start"])
    end = start + timedelta(seconds=header["spec"]["duration_s"])
    return "--from", f"{start:%Y-%m-%dT%H:%M:%SZ}", "--to", f"{end:%Y-%m-%dT%H:%M:%SZ}"


def _found(report: dict[str, Any]) -> dict[str, set[str]]:
    """What the report names: transactions by class, machines and missing numbers by rule."""
    found: dict[str, set[str]] = defaultdict(set)
    for finding in report["findings"]:
        found[finding["name"]].add(finding["transaction_id"] or finding["ref"])
    for rule in report["invariants"]:
        for offender in rule["worst"]:
            found[rule["name"]].add(offender["subject"])
    return found


_NAMED_BY: Final = {
    "downtime": "heartbeats_unbroken",
    "sensor_spike": "temperature_credible",
    "slow_drift": "temperature_credible",
    "clock_skew": "times_consistent",
    "duplicated_deposit": "duplicate",
    "lost_prediction": "missing_prediction",
    "wrong_mass": "mass_plausible",
    "late_arrival": "late",
}


def _hidden(folder: Path, faults: list[dict[str, Any]], found: dict[str, set[str]]) -> set[str]:
    """Materials declared wrongly within one class of the model: it was right, and nothing differs."""
    text = (folder / "answers.jsonl").read_text(encoding="utf-8")
    answers = {one["transaction_id"]: one for one in map(json.loads, text.splitlines())}
    return {
        fault["id"]
        for fault in faults
        if fault["kind"] == "wrong_material"
        and not _is_named(fault, found)
        and (answer := answers.get(_transaction(fault))) is not None
        and answer["right"]
        and answer["prediction"] != fault["parameters"]["material"]
    }


def _transaction(fault: dict[str, Any]) -> str | None:
    return next((row["transaction_id"] for row in fault["rows"] if "transaction_id" in row), None)


def _is_named(fault: dict[str, Any], found: dict[str, set[str]]) -> bool:
    row: dict[str, Any] = next((row for row in fault["rows"] if "transaction_id" in row), {})
    if fault["kind"] == "lost_deposit":
        return any(ref.startswith(f"lost:{fault['machine']}/") for ref in found["lost"])
    if fault["kind"] == "wrong_material":  # where the model was unsure, or wrong in the same way, too
        return any(row["transaction_id"] in found[name] for name in ("material_mismatch", "low_confidence"))
    names = found[_NAMED_BY[fault["kind"]]]
    return fault["machine"] in names or row.get("transaction_id") in names
