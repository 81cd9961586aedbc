"""``tally retention``: what old chunks could go, and dropping them for good."""

from __future__ import annotations

import getpass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tally.commands.reconciling import utc
from tally.console import FOUND, Json, output, print_json
from tally.errors import NotRunning, TallyError
from tally.progress import LongWork
from tally.settings import read_settings
from tally.stack.state import is_locked

if TYPE_CHECKING:
    from audit.retention.planning import Plan

app = typer.Typer(help="Drop old rows that are sealed, witnessed and exported.", no_args_is_help=True)

Before = Annotated[
    datetime, typer.Option("--before", help="Only chunks whose event times all lie before it (UTC).")
]
Bundles = Annotated[
    list[Path] | None, typer.Option("--bundle", help="A bundle that has the rows; may be repeated.")
]
Policy = Annotated[
    Path | None, typer.Option(help="What witnessed means (C2SP tlog-policy). [default: this stack's]")
]
Log = Annotated[Path | None, typer.Option(help="Folder of the published log. [default: this stack's]")]
Url = Annotated[
    str | None, typer.Option(help="Another database than this stack's; an owner's or administrator's login.")
]


@app.command("plan")
def plan_command(
    *,
    before: Before,
    bundles: Bundles = None,
    policy: Policy = None,
    log: Log = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """List the chunks that could go, and why others can't. Exit code 1 if one has to stay.

    Example: tally retention plan --before 2026-01-01 --bundle 2025.zip
    """
    made = _plan(_address(url), before, bundles, policy, log)
    if json:
        print_json(made.to_json())
    else:
        _tell(made, "could go")
    if made.kept:
        raise typer.Exit(FOUND)


@app.command("drop")
def drop_command(
    *,
    before: Before,
    bundles: Bundles = None,
    reason: Annotated[str, typer.Option(help="Why; it goes on record.", show_default=False)],
    actor: Annotated[
        str | None, typer.Option(help="Who does it; it goes on record. Else the system's user.")
    ] = None,
    policy: Policy = None,
    log: Log = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Drop the chunks that may go, after the ledger was verified and the drop is on record.

    Exit code 1 if one has to stay. After a crash, the same command again finishes.

    Example: tally retention drop --before 2026-01-01 --bundle 2025.zip --reason "kept for a year"
    """
    from audit.retention.dropping import drop
    from audit.retention.planning import check_intact, witnessed_head
    from audit.sealing.log_files import LogFiles
    from tally.audit_events import record

    settings = read_settings()
    address = _address(url)
    made = _plan(address, before, bundles, policy, log)
    if made.going:
        files = LogFiles(log or settings.tlog_dir)
        anchor, _ = witnessed_head(files, policy or settings.sealer_policy)
        with LongWork("verifying", "rows", shown=False if json else None) as work:
            check_intact(address, files, anchor, work.update)
        drop(
            address,
            made,
            actor or getpass.getuser(),
            reason,
            lambda name, attributes: record(settings, name, attributes),
        )
    if json:
        print_json(made.to_json())
    else:
        _tell(made, "dropped")
    if made.kept:
        raise typer.Exit(FOUND)


def _address(url: str | None) -> str:
    """An administrator's login.

    Raises:
        NotRunning: the embedded database does not run.
    """
    from tally.stack import plan as stack

    settings = read_settings()
    if url is None and settings.database_url is None and not is_locked(settings.run_dir):
        raise NotRunning("the embedded database does not run; start it with `tally up` or `tally db start`")
    return url or stack.database_urls(settings)["TALLY_DATABASE_URL"]


def _plan(
    address: str, before: datetime, bundles: list[Path] | None, policy: Path | None, log: Path | None
) -> Plan:
    from audit.retention.planning import plan
    from audit.sealing.log_files import LogFiles

    settings = read_settings()
    moment = utc(before)
    if moment is None:
        raise TallyError("--before is missing; name the moment before which chunks may go")
    files = LogFiles(log or settings.tlog_dir)
    return plan(address, files, moment, bundles or (), policy or settings.sealer_policy)


def _tell(made: Plan, what: str) -> None:
    console = output()
    for one in made.going:
        console.print(f"[green]✓[/] {escape(one.chunk.title)}: {one.rows:,} rows {what}", soft_wrap=True)
    for kept in made.kept:
        console.print(f"[yellow]![/] {escape(kept.chunk.title)} stays", soft_wrap=True)
        for why in kept.reasons:
            console.print(f"    {escape(why)}", soft_wrap=True)
    if not made.going and not made.kept:
        console.print(f"No chunk lies wholly before {made.before:%Y-%m-%d %H:%M:%S} UTC.")
    elif what == "dropped" and made.going:
        console.print(
            f"{made.rows:,} rows dropped as drop {made.number}; `tally verify` names it, and the bundles "
            "have the rows."
        )
