"""``tally verify``: the audit's verification on this stack's ledger."""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tally.commands.reconciling import audit_url, utc
from tally.console import FOUND, Json, output, print_json
from tally.progress import LongWork
from tally.settings import read_settings


def verify(
    stream: Annotated[
        list[str] | None, typer.Option("--stream", help="Only this one; may be repeated.")
    ] = None,
    machine: Annotated[
        str | None, typer.Option(help="Only this machine's chains (a model's, in governance).")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="Only rows from this event time on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only rows before this event time (UTC).")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes to use; one a processor.")] = None,
    *,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against",
            help="A checkpoint that was kept elsewhere, or a policy (log and witnesses); may be repeated.",
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="Folder of the published log, or a copy of it. [default: this stack's]"),
    ] = None,
    twin: Annotated[bool, typer.Option("--twin", help="Also compute every hash inside PostgreSQL.")] = False,
    url: Annotated[str | None, typer.Option(help="Another database than this stack's.")] = None,
    json: Json = False,
) -> None:
    """Recompute every hash chain and compare it with what is stored. Exit code 1 if anything is broken.

    With --against, the rows have to lead to signed heads too, which nobody can rewrite afterwards.

    Example: tally verify --stream transactions --machine rvm-0003 --since 2026-03-01

    Example: tally verify --against policy.txt --against kept/checkpoint
    """
    from audit.against import held_by
    from audit.against_text import against_text
    from audit.anchors import collect
    from audit.sealing.log_files import LogFiles
    from audit.text import report_text, twin_text
    from audit.twin import verify_twin
    from audit.verify import verify as verify_ledger
    from store.seals import AUDITING, SealStore

    address = url or audit_url(read_settings())
    folder = LogFiles(log or read_settings().tlog_dir)
    anchors = collect(against, folder) if against else None
    held = None
    with contextlib.ExitStack() as stack:
        store = snapshot = None
        if anchors is not None:
            store = stack.enter_context(SealStore(address, AUDITING))
            snapshot = store.hold_still()
        with LongWork("verifying", "rows", shown=False if json else None) as work:
            report = verify_ledger(
                address, stream, machine, utc(since), utc(until), processes, work.update, snapshot
            )
        second = verify_twin(address, stream) if twin else None
        if store is not None and anchors is not None:
            with LongWork("making the log's tree again", "leaves", shown=False if json else None) as work:
                held = held_by(store, anchors, folder, work.update)
    if json:
        more = {} if second is None else {"twin": second.to_json()}
        print_json(report.to_json() | more | ({} if held is None else {"against": held.to_json()}))
    else:
        console = output()
        console.print(report_text(report))
        if second is not None:
            console.print(twin_text(second))
        if held is not None:
            console.print(against_text(held))
    if not report.ok or (second is not None and not second.ok) or (held is not None and not held.ok):
        raise typer.Exit(FOUND)
