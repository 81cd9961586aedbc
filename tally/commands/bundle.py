"""``tally bundle``: a period's rows with all that proves them, in one file that an auditor takes home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from tally.commands import reconciling as shared
from tally.console import Json, output, print_json
from tally.errors import TallyError
from tally.progress import Steps
from tally.settings import read_settings

if TYPE_CHECKING:
    from audit.bundle.build import Bundled, Contents
    from audit.reconcile.parameters import Parameters


def bundle(
    *,
    start: shared.From = None,
    end: shared.To = None,
    place: Annotated[
        Path, typer.Option("--output", "-o", help="The file to make.", metavar="FILE.zip", show_default=False)
    ],
    site: shared.Site = None,
    log: Annotated[
        Path | None, typer.Option(help="Folder of the published log. [default: this stack's]", metavar="DIR")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="A C2SP tlog-policy: the keys that go along. [default: this stack's]", metavar="FILE"
        ),
    ] = None,
    unreported: Annotated[
        bool, typer.Option("--no-report", help="Leave the reconciliation report out.")
    ] = False,
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
    """Bundle a period's rows with the proof that they are all and unaltered, and with their own verifier.

    Example: tally bundle --from 2026-03-01 --to 2026-04-01 --site fleet-site-01 -o march.zip
    """
    from audit.bundle.build import bundle as make
    from audit.bundle.build import check_period, check_place

    asked = shared.parameters(start, end, site, None, None, **shared.thresholds(materiality, performance))
    check_period(asked.start, asked.end)
    check_place(place)
    believed = _policy(policy)
    address = shared.address(url)
    ask = shared.Ask(
        start=start,
        end=end,
        site=site,
        machine=None,
        material=None,
        export=None,
        materiality=materiality,
        performance=performance,
        factors=factors,
        operator=operator,
        boundary=boundary,
        transcribed=transcribed,
        unverified=unverified,
        url=address,
    )
    contents = _contents(asked, believed, factors, None if unreported else ask, quiet=json)
    with Steps("bundling", quiet=json) as steps:
        made = make(address, log or read_settings().tlog_dir, place, contents, steps)
    if json:
        print_json(_plain(made))
    else:
        _tell(made)


def _contents(
    asked: Parameters, policy: bytes, factors: str, ask: shared.Ask | None, *, quiet: bool
) -> Contents:
    from importlib.resources import files

    from audit.bundle.build import Contents
    from audit.errors import NothingSelected
    from audit.reconcile.masses import item_masses
    from audit.reconcile.published import published
    from audit.reporting.folder import rendered
    from tally.commands.reconcile import reconciled

    folder = files("audit.esg") / "factor_sets"
    tables = {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith(".csv")}
    if factors.endswith(".csv"):
        tables[f"own-{Path(factors).name}"] = Path(factors).read_bytes()
    try:
        report = {} if ask is None else rendered(reconciled(ask, quiet=quiet))
    except NothingSelected as error:
        raise TallyError(f"no report can be made: {error}; --no-report leaves the report out") from error
    return Contents(
        start=asked.start,
        end=asked.end,
        sites=asked.sites,
        policy=policy,
        texts=published(asked, item_masses()),
        factors=tables,
        report=report,
    )


def _policy(path: Path | None) -> bytes:
    """The policy that was named, else the stack's; a log without one has its key alone, and no witness."""
    from service.keys.sources import load_signing_key
    from tally.log_keys import log_key_source

    settings = read_settings()
    named = path or settings.sealer_policy
    if named is None:
        return f"log {load_signing_key(log_key_source(settings)).verifier}\nquorum none\n".encode()
    try:
        return named.read_bytes()
    except OSError as error:
        raise TallyError(f"{named} can't be read: {error.strerror}; name a policy with --policy") from error


def _plain(made: Bundled) -> dict[str, Any]:
    selection = made.selection
    return {
        "file": str(made.place),
        "digest": made.digest,
        "rows": made.rows,
        "chains": made.chains,
        "opening": None if selection.opening is None else selection.opening.batch.number,
        "closing": selection.closing.batch.number,
        "complete": selection.complete,
        "origin": selection.seen.checkpoint.origin,
        "size": selection.seen.checkpoint.size,
        "witnessed": selection.seen.quorum,
    }


def _tell(made: Bundled) -> None:
    from audit.invariants.rule import plural

    selection = made.selection
    console = output()
    rows = sum(made.rows.values())
    console.print(
        f"[green]✓[/] {plural(rows, 'row')} of {plural(made.chains, 'chain')} in {escape(str(made.place))}",
        soft_wrap=True,
    )
    console.print(f"  its digest, to be noted: {made.digest}", soft_wrap=True)
    opening = (
        "the ledger's beginning" if selection.opening is None else f"batch {selection.opening.batch.number}"
    )
    console.print(f"  {opening} to batch {selection.closing.batch.number}", soft_wrap=True)
    if not selection.complete:
        console.print(
            "  [yellow]rows may still come: the time for late ones is not over, or some wait to be sealed[/]",
            soft_wrap=True,
        )
    if not selection.seen.quorum:
        console.print(
            "  [yellow]NOT YET WITNESSED: the checkpoint lacks the policy's cosignatures[/]", soft_wrap=True
        )
