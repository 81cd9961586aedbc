"""``tally sample``: draw an audit sample into a sheet, and evaluate the sheet that comes back filled in."""

from __future__ import annotations

import os
import secrets
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from audit.sampling.plan import Method
from tally.commands.reconciling import audit_url, utc
from tally.console import FOUND, Json, output, print_json
from tally.errors import TallyError
from tally.settings import read_settings

if TYPE_CHECKING:
    from audit.sampling.evaluate import Misstatement, Result
    from audit.sampling.items import Population
    from audit.sampling.plan import Sample

app = typer.Typer(invoke_without_command=True)


@app.callback()
def sample(
    context: typer.Context,
    *,
    since: Annotated[
        datetime | None, typer.Option("--from", help="Only from this event time on (UTC).")
    ] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="Only before this event time (UTC).")] = None,
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    machine: Annotated[str | None, typer.Option(help="Only this machine.")] = None,
    material: Annotated[str | None, typer.Option(help="Only this declared material.")] = None,
    method: Annotated[
        Method, typer.Option(help="How many items are wrong, or (mus) by how much mass.")
    ] = Method.ATTRIBUTE,
    confidence: Annotated[str, typer.Option(help="In percent, from 50.", metavar="PERCENT")] = "95",
    tolerable: Annotated[
        str, typer.Option(help="Of the items, or of the book mass (mus).", metavar="PERCENT")
    ] = "5",
    expected: Annotated[
        str,
        typer.Option(help="Wrong items in the sample, or percent of the book mass (mus).", metavar="NUMBER"),
    ] = "0",
    seed: Annotated[
        str | None,
        typer.Option(help="Another seed than the ledger's digest: 64 hexadecimal digits.", metavar="HEX"),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The sheet to write: .csv or .xlsx.", metavar="SHEET"),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Another database than this stack's.")] = None,
    json: Json = False,
) -> None:
    """Draw an audit sample, seeded by the ledger so that nobody chooses and everybody can repeat it.

    Example: tally sample --from 2026-03-01 --to 2026-04-01 --method mus -o march.xlsx
    """
    if context.invoked_subcommand is not None:
        return
    if sheet is None or since is None or until is None:
        missing = "--output" if sheet is None else "--from" if since is None else "--to"
        raise typer.BadParameter(f"missing option {missing}", context)
    from audit.sampling.files import check_suffix, render
    from audit.sampling.plan import Scope, SeedFrom, draw, plan_of
    from audit.sampling.sheet import digest_of

    check_suffix(sheet.suffix)
    _check_free(sheet)
    since, until = utc(since), utc(until)
    planned = partial(
        plan_of,
        method,
        confidence=confidence,
        tolerable=tolerable,
        expected=expected,
        scope=Scope(_moment(since), _moment(until), site or "", machine or "", material or ""),
    )
    planned(
        seed=seed or "0" * 64, seed_from=SeedFrom.GIVEN
    )  # what is wrong is told before the ledger is read
    seed_from = SeedFrom.LEDGER if seed is None else SeedFrom.GIVEN
    with ExitStack() as opened:
        items, digest = _population(url)(since, until, site=site, machine=machine, material=material)
        if isinstance(items, AbstractContextManager):
            opened.enter_context(items)
        drawn = draw(planned(seed=seed or digest, seed_from=seed_from), items)
    _write(sheet, render(drawn, sheet.suffix))
    if json:
        print_json(_drawn_json(drawn, sheet, digest_of(drawn)))
        return
    console = output()
    console.print(
        f"[green]✓[/] {len(drawn.items):,} of {drawn.totals.items:,} items in {escape(str(sheet))}; "
        f"seed {drawn.plan.seed} ({drawn.plan.seed_from})",
        soft_wrap=True,
    )
    console.print(f"  note its digest: {digest_of(drawn)}")
    if drawn.totals.negative_items and method is Method.MONETARY:
        console.print(f"  {drawn.totals.negative_items:,} items below zero are not in it: examine them apart")


@app.command()
def evaluate(
    sheet: Annotated[Path, typer.Argument(help="The filled sheet, .csv or .xlsx.", show_default=False)],
    *,
    digest: Annotated[
        str | None, typer.Option(help="The digest that was noted when the sheet was drawn.", metavar="HEX")
    ] = None,
    json: Json = False,
) -> None:
    """Tell what follows from a filled sheet. Exit code 1 if what is tolerable is not supported.

    Example: tally sample evaluate march.xlsx
    """
    from audit.sampling.errors import SheetAltered
    from audit.sampling.evaluate import evaluate as evaluate_sheet
    from audit.sampling.files import load

    try:
        data = sheet.read_bytes()
    except OSError as error:
        raise TallyError(f"{sheet} can't be read: {error.strerror}") from error
    filled = load(data)
    if digest is not None and digest.lower().removeprefix("sha256:") != filled.digest:
        raise SheetAltered(f"not the sheet that was drawn: expected digest {digest}, got {filled.digest}")
    result = evaluate_sheet(filled)
    if json:
        print_json(result.to_json() | {"digest": filled.digest, "seed_from": filled.sample.plan.seed_from})
    else:
        output().print(
            f"[{'green' if result.supported else 'red'}]{escape(result.conclusion)}[/]", soft_wrap=True
        )
        for line in _details(result):
            output().print(f"  {line}", soft_wrap=True)
    if not result.supported:
        raise typer.Exit(FOUND)


def _population(url: str | None) -> Population:
    from audit.reconcile.population import population

    return partial(population, url or audit_url(read_settings()))


def _details(result: Result) -> list[str]:
    from audit.sampling.evaluate import AttributeResult

    if isinstance(result, AttributeResult):
        return [f"were the process to go on: at most {float(result.upper_rate):.4%} of its items"]
    return [_line("overstatement", result.over), _line("understatement", result.under)]


def _line(name: str, found: Misstatement) -> str:
    from audit.sampling.sheet import grams

    return (
        f"{name}: {found.items} items; likely {grams(round(found.likely_mg))} g, basic precision "
        f"{grams(round(found.basic_mg))} g, incremental allowance {grams(round(found.incremental_mg))} g"
    )


def _drawn_json(drawn: Sample, sheet: Path, digest: str) -> dict[str, object]:
    from audit.sampling.sheet import grams

    return {
        "sheet": str(sheet),
        "digest": digest,
        "method": drawn.plan.method.value,
        "seed": drawn.plan.seed,
        "seed_from": drawn.plan.seed_from.value,
        "population_items": drawn.totals.items,
        "population_book_g": grams(drawn.totals.book_mg),
        "negative_items": drawn.totals.negative_items,
        "size": drawn.extent.size,
        "interval_g": grams(drawn.extent.interval_mg),
        "selected_items": len(drawn.items),
    }


def _moment(time: datetime | None) -> str:
    return "" if time is None else time.isoformat()


def _check_free(sheet: Path) -> None:
    """A sheet that somebody may have filled in is never written over."""
    if sheet.exists():
        raise TallyError(f"{sheet} exists; choose another name, or remove it")
    if not sheet.parent.is_dir():
        raise TallyError(f"{sheet.parent} is no folder; make it first")


def _write(sheet: Path, data: bytes) -> None:
    """Whole or not at all.  A crash leaves a hidden file beside it, which may be deleted."""
    temporary = sheet.with_name(f".{sheet.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _check_free(sheet)
        temporary.replace(sheet)
    except OSError as error:
        raise TallyError(f"{sheet} can't be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
