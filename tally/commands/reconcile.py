"""``tally reconcile`` and ``tally export``: what was claimed against what the evidence supports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tally.commands import reconciling as shared
from tally.console import FOUND, Json, output, print_json
from tally.errors import TallyError
from tally.progress import Steps

if TYPE_CHECKING:
    from audit.reporting.model import Report

_COLOURS = {"PASSED": "green", "FAILED": "red", "REVIEW_REQUIRED": "yellow"}
_OPINIONS = {
    "no_material_misstatement": "[green]no material misstatement[/]",
    "review_required": "[yellow]review required[/]",
    "material_misstatement": "[red]material misstatement[/]",
    "no_conclusion": "[red]no conclusion: the ledger is broken[/]",
}


def reconcile(
    *,
    start: shared.From = None,
    end: shared.To = None,
    site: shared.Site = None,
    machine: shared.Machine = None,
    material: shared.Material = None,
    export: shared.Export = None,
    materiality: shared.Materiality = "5",
    performance: shared.Performance = "",
    factors: shared.Factors = "epa-warm",
    transcribed: shared.Unverified = False,
    operator: shared.Operator = shared.OPERATOR,
    boundary: shared.Boundary = shared.BOUNDARY,
    unverified: shared.NoVerify = False,
    url: shared.Url = None,
    json: Json = False,
) -> None:
    """Reconcile deposits with predictions. Exit code 1 unless the figures can be confirmed.

    Example: tally reconcile --from 2026-03-01 --to 2026-04-01 --site fleet-site-01
    """
    report = reconciled(
        shared.Ask(
            start=start,
            end=end,
            site=site,
            machine=machine,
            material=material,
            export=export,
            materiality=materiality,
            performance=performance,
            factors=factors,
            operator=operator,
            boundary=boundary,
            transcribed=transcribed,
            unverified=unverified,
            url=url,
        ),
        quiet=json,
    )
    if json:
        from json import loads

        from audit.reporting.as_json import render

        print_json(loads(render(report)))
    else:
        show(report)
    if report.conclusion.opinion != "no_material_misstatement":
        raise typer.Exit(FOUND)


def export(
    *,
    start: shared.From = None,
    end: shared.To = None,
    folder: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.", metavar="DIR")],
    site: shared.Site = None,
    machine: shared.Machine = None,
    unverified: shared.NoVerify = False,
    url: shared.Url = None,
    json: Json = False,
) -> None:
    """Export the evidence of a period as Parquet, with the SQL that reconciles it anywhere.

    Example: tally export --from 2026-03-01 --to 2026-04-01 -o march
    """
    from audit.reconcile.run import export_ledger

    asked = shared.parameters(start, end, site, machine, None)
    with Steps("exporting", quiet=json) as steps:
        done = export_ledger(shared.address(url), folder, asked, verified=not unverified, progress=steps)
    if json:
        print_json({"folder": str(done.folder), "rows": done.rows, "sha256": done.digest})
        return
    console = output()
    rows = sum(done.rows.values())
    console.print(f"[green]✓[/] {rows:,} rows in {escape(str(folder))}", soft_wrap=True)
    console.print(f"  its digest, to be noted: {done.digest}", soft_wrap=True)
    console.print(
        f"  tally reconcile --export {escape(str(folder))}, or duckdb -init reconcile.sql in it",
        soft_wrap=True,
    )


def reconciled(ask: shared.Ask, *, quiet: bool) -> Report:
    """The report that the options ask for."""
    from audit.reconcile.manifest import read_export
    from audit.reconcile.run import reconcile_export, reconcile_ledger

    thresholds = shared.thresholds(ask.materiality, ask.performance)
    with Steps("reconciling", quiet=quiet) as steps:
        if ask.export is not None:
            if ask.start or ask.end or ask.site or ask.machine or ask.material:
                raise TallyError("--export has its own period and scope: leave out --from, --to and the rest")
            asked, _, _ = read_export(ask.export)
            materialities = thresholds["materiality_ppm"], thresholds["performance_materiality_ppm"]
            asker = shared.asker(ask, asked.start, asked.end)
            return reconcile_export(ask.export, asker, materialities, steps)
        asked = shared.parameters(ask.start, ask.end, ask.site, ask.machine, ask.material, **thresholds)
        return reconcile_ledger(
            shared.address(ask.url),
            asked,
            shared.asker(ask, asked.start, asked.end),
            verified=not ask.unverified,
            progress=steps,
        )


def show(report: Report) -> None:
    """The report on a terminal."""
    from audit.reporting.as_json import report_digest, time_text
    from audit.reporting.figures import shown

    console = output()
    scope = ", ".join((*report.sites, *report.machines, *report.materials)) or "whole fleet"
    console.print(
        f"[bold]{time_text(report.period_from)} to {time_text(report.period_to)}[/]  {escape(shown(scope))}",
        soft_wrap=True,
    )
    console.print(f"{_OPINIONS[report.conclusion.opinion]}")
    for sentence in report.conclusion.sentences:
        console.print(f"  {escape(sentence)}", soft_wrap=True)
    figures = Table("", "mass", "avoided CO2e", box=None, pad_edge=False)
    for column in figures.columns[1:]:
        column.justify = "right"
    for total in report.totals:
        g = total.figure.co2e.g
        figures.add_row(
            total.name.replace("_", " "),
            f"{total.figure.mass.mg / 1_000_000:,.3f} kg",
            "no factor" if g is None else f"{g / 1000:,.3f} kg",
        )
    console.print()
    console.print(figures)
    classes = Table("class", "records", "mass", "effect on reported", box=None, pad_edge=False)
    for column in classes.columns[1:]:
        column.justify = "right"
    for line in report.by_class:
        if line.count:
            effect = line.effect.mass.mg
            classes.add_row(
                line.name.replace("_", " "),
                f"{line.count:,}",
                f"{line.mass_mg / 1_000_000:,.3f} kg",
                f"{effect / 1_000_000:+,.3f} kg" if effect else "none",
            )
    console.print()
    console.print(classes)
    console.print()
    for rule in report.invariants:
        colour = _COLOURS[rule.status]
        word = "REVIEW" if rule.status == "REVIEW_REQUIRED" else rule.status
        console.print(f"[{colour}]{word:7}[/] {escape(rule.sentence)}", soft_wrap=True)
    console.print(f"\nreport {report_digest(report)}")
