"""``tally report``, ``tally explain`` and ``tally correct``: what an auditor takes home, and asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from tally.commands import reconciling as shared
from tally.commands.reconcile import reconciled, show
from tally.console import FOUND, Json, note, output, print_json
from tally.errors import TallyError
from tally.progress import Steps
from tally.settings import read_settings

if TYPE_CHECKING:
    from audit.reconcile.explain import Explanation
    from audit.reporting.folder import Written
    from audit.reporting.model import Report


def report(
    *,
    folder: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.", metavar="DIR")],
    start: shared.From = None,
    end: shared.To = None,
    site: shared.Site = None,
    machine: shared.Machine = None,
    material: shared.Material = None,
    export: shared.Export = None,
    restates: Annotated[
        Path | None,
        typer.Option(
            help="An earlier report of this period (its folder); the difference is explained by cause."
        ),
    ] = None,
    materiality: shared.Materiality = "5",
    performance: shared.Performance = "",
    factors: shared.Factors = "epa-warm",
    transcribed: shared.Unverified = False,
    operator: shared.Operator = shared.OPERATOR,
    boundary: shared.Boundary = shared.BOUNDARY,
    unverified: shared.NoVerify = False,
    unrecorded: Annotated[
        bool, typer.Option("--no-record", help="Do not put the report's digest into the ledger.")
    ] = False,
    replaced: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier report in that folder.")
    ] = False,
    url: shared.Url = None,
    json: Json = False,
) -> None:
    """Write the report: JSON, HTML, PDF, XLSX, CSV. Exit code 1 unless the figures can be confirmed.

    Example: tally report --from 2026-03-01 --to 2026-04-01 -o march-report
    """
    from audit.reporting.folder import check_target, write_report

    check_target(folder, overwrite=replaced)
    made = reconciled(
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
    if restates is not None:
        made = _restated(made, restates)
    with Steps("writing", quiet=json):
        written = write_report(made, folder, overwrite=replaced)
    if export is None and not unrecorded:
        _record(made, written)
    if json:
        print_json({"folder": str(written.directory), "digest": written.digest, "files": dict(written.files),
                    "opinion": made.conclusion.opinion})  # fmt: skip
    else:
        show(made)
        output().print(f"[green]✓[/] {len(written.files)} files in {escape(str(folder))}", soft_wrap=True)
    if made.conclusion.opinion != "no_material_misstatement":
        raise typer.Exit(FOUND)


def explain(
    ref: Annotated[
        str,
        typer.Argument(
            help="A figure's reference, like mass.supported, class.late or rule.cut_off.", show_default=False
        ),
    ],
    *,
    folder: Annotated[Path, typer.Option("--report", "-r", help="The report's folder.", metavar="DIR")],
    export: shared.Export = None,
    factors: Annotated[
        str | None, typer.Option(help="The report's own set of factors, if it is a file.", metavar="FILE")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Rows to show.")] = 20,
    url: shared.Url = None,
    json: Json = False,
) -> None:
    """Show the rows behind a figure of a report, their places in the ledger, and the arithmetic.

    Example: tally explain mass.overstated.pet --report march-report
    """
    from audit.reconcile.explain import Explainer
    from audit.reconcile.parameters import parameters_from_json
    from audit.reconcile.run import computed_export, computed_ledger
    from audit.reporting.as_json import report_digest

    made = _read(folder)
    asked = parameters_from_json(_request_of(made, folder))
    factor_set = factors or f"{made.factor_set.name}:{made.factor_set.version}"
    asker = shared.asker_of(factor_set, made.operator, made.boundary, transcribed=True)
    materialities = asked.materiality_ppm, asked.performance_materiality_ppm
    with Steps("reconciling", quiet=json) as steps:
        opened = (
            computed_ledger(shared.address(url), asked, asker, verified=False, progress=steps)
            if export is None
            else computed_export(export, asker, materialities, progress=steps)
        )
        with opened as computed:
            changed = made.ledger.evidence_digest != computed.report.ledger.evidence_digest
            found = Explainer(computed.engine, made, limit).explain(ref)
    if changed:
        note("explain", "the evidence of the period is not the report's any more: rows were added since")
    if json:
        print_json(found.to_json() | {"report": report_digest(made), "evidence_changed": changed})
    else:
        _show(found)


def correct(
    *,
    machine: Annotated[str, typer.Option(help="Whose deposit is corrected.", show_default=False)],
    seq: Annotated[int, typer.Option(min=1, help="Its position in the machine's chain.", show_default=False)],
    mass_g: Annotated[
        str, typer.Option(help="By how much its mass changes, signed.", metavar="GRAMS", show_default=False)
    ],
    material: Annotated[
        str | None, typer.Option(help="Another material whose mass changes; else the declared one's does.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it goes on record.", show_default=False)],
    actor: Annotated[str, typer.Option(help="Who corrects; it goes on record.", show_default=False)],
    url: shared.Url = None,
    json: Json = False,
) -> None:
    """Put a compensating row on record for a deposit. Nothing is altered; reports show both.

    Example: tally correct --machine rvm-0003 --seq 17 --mass-g -120.5 --reason "sent twice" --actor anna
    """
    from audit.reconcile.corrections import correction, deposit_at
    from tally.audit_events import CORRECTION, record

    found = deposit_at(shared.address(url), machine, seq)
    attributes = correction(found, mass_g, material, reason, actor)
    record(read_settings(), CORRECTION, attributes)
    if json:
        print_json(attributes)
    else:
        said = (
            f"transactions/{machine}/{seq} ({found.transaction_id}, {found.mass_mg / 1000:,.1f} "
            f"g) corrected by {mass_g} g"
        )
        output().print(f"[green]✓[/] {escape(said)}", soft_wrap=True)


def _restated(made: Report, earlier: Path) -> Report:
    from audit.esg.restatement import restate
    from audit.reporting.as_json import report_digest

    before = _read(earlier)
    return replace(made, restatement=restate(before, report_digest(before), made))


def _record(made: Report, written: Written) -> None:
    from audit.reporting.as_json import time_text
    from tally.audit_events import REPORT, record

    attributes: dict[str, str | int] = {
        "report.digest": written.digest,
        "report.from": time_text(made.period_from),
        "report.to": time_text(made.period_to),
        "report.opinion": made.conclusion.opinion,
        "report.factor_set": f"{made.factor_set.name} {made.factor_set.version} {made.factor_set.digest}",
        "report.evidence": made.ledger.evidence_digest,
        "report.sql": made.sql_digest,
    }
    if made.restatement is not None:
        attributes["report.restates"] = made.restatement.earlier_digest
    try:
        record(read_settings(), REPORT, attributes)
    except TallyError as error:
        raise TallyError(
            f"{written.directory} is written, but its digest is not in the ledger: {error} "
            "(--no-record leaves it out)"
        ) from error


def _read(folder: Path) -> Report:
    from audit.reporting.as_json import parse

    path = folder / "report.json" if folder.is_dir() else folder
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TallyError(f"{path}: {error.strerror}; name the folder of a report") from error
    return parse(content)


def _request_of(made: Report, folder: Path) -> dict[str, object]:
    from json import loads

    for parameter in made.parameters:
        if parameter.name == "request":
            content = loads(parameter.value)
            if isinstance(content, dict):
                return content
    raise TallyError(f"{folder}: the report does not say what was asked, so it can't be computed again")


def _show(found: Explanation) -> None:
    from audit.reporting.figures import shown

    console = output()
    console.print(f"[bold]{escape(shown(found.ref))}[/]  {escape(shown(found.title))}", soft_wrap=True)
    for line in found.lines:
        console.print(f"  {escape(shown(line))}", soft_wrap=True)
    if found.rows:
        table = Table(*(Column(name, overflow="fold") for name in found.columns), box=None, pad_edge=False)
        for row in found.rows:
            table.add_row(*(escape(shown(cell)) for cell in row))
        console.print()
        console.print(table)
    if found.total > len(found.rows):
        console.print(f"  {len(found.rows):,} of {found.total:,} rows; --limit shows more")
    for text in found.texts:
        console.print()
        console.print(escape(text), soft_wrap=True)
