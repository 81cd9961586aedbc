"""``tally seal``: a round of the sealer now, for whoever runs none as a service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from tally.commands.prove import PolicyFile, moment
from tally.commands.reconciling import Url, audit_url
from tally.console import FOUND, Json, output, print_json
from tally.errors import TallyError
from tally.settings import read_settings

if TYPE_CHECKING:
    from audit.sealing.rounds import Done
    from ledger.policies import Policy


def seal(
    *,
    log: Annotated[Path | None, typer.Option(help="Folder of the log. [default: this stack's]")] = None,
    key: Annotated[
        str | None,
        typer.Option(help="The log's key: a file, env:NAME or command:... [default: this stack's]"),
    ] = None,
    policy: PolicyFile = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Seal what is committed now, publish it, ask the witnesses; for whoever runs no sealer as a service.

    Exit code 1 if chains were left out, or the policy's quorum did not cosign.

    Example: tally seal --policy policy
    """
    import logging

    import structlog

    from audit.sealing.metrics import SealerMetrics
    from audit.sealing.parts import read_policy, sealing
    from tally.log_keys import log_key_source
    from tally.stack import plan

    # What a round would log is in what this prints.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings = read_settings()
    folder = log or settings.tlog_dir
    asked = policy or settings.sealer_policy
    if url is None:
        audit_url(settings)  # says if the embedded database does not run
        url = plan.database_urls(settings)["TALLY_SEALER_DATABASE_URL"]
    metrics = SealerMetrics()
    with sealing(url, key or log_key_source(settings), folder, asked, metrics=metrics) as rounds:
        done = rounds.run()
    if done is None:
        raise TallyError(
            "another sealer is at work on this database, and seals by itself: see `tally status`"
        )
    rows = int(metrics.registry.get_sample_value("tally_sealer_rows_total") or 0)
    believed = None if asked is None else read_policy(asked)
    found = _sealed(done, believed, rows, folder)
    if json:
        print_json(found)
    else:
        _tell_sealed(output(), found)
    if found["left_out"] or found["quorum"] is False:
        raise typer.Exit(FOUND)


def _sealed(done: Done, policy: Policy | None, rows: int, folder: Path) -> dict[str, Any]:
    """What a round did, for people and for programs.  ``quorum`` is None where no policy asks for one."""
    from audit.sealing.log_files import CHECKPOINT
    from ledger.policies import check_note

    head = done.sealed.head
    witnesses: list[dict[str, Any]] = []
    if policy is not None and done.note is not None:
        times = {one.key: one.unix_s for one in check_note(done.note, policy).cosigned}
        troubles = {answer.witness: answer.trouble for answer in done.answers}
        for witness in policy.witnesses:
            unix_s = times.get(witness.key)
            trouble = troubles.get(witness) or "the policy has no URL of it, so it was not asked"
            witnesses.append(
                {
                    "name": witness.name,
                    "cosigned_at": None if unix_s is None else moment(unix_s),
                    "trouble": trouble if unix_s is None else None,
                }
            )
    wanted = policy is not None and policy.quorum is not None
    return {
        "rows": rows,
        "batch": None if head is None else head.batch.number,
        "size": 0 if head is None else head.batch.size,
        "root": None if head is None else head.root.hex(),
        "checkpoint": None if done.note is None else str(folder / CHECKPOINT),
        "quorum": done.quorum if wanted and done.note is not None else None,
        "quorum_wanted": None if policy is None or not wanted else policy.quorum_text,
        "witnesses": witnesses,
        "left_out": [one._asdict() for one in done.sealed.left_out],
    }


def _tell_sealed(console: Console, found: dict[str, Any]) -> None:
    if found["checkpoint"] is None:
        console.print("Nothing is sealed: the ledger has no rows")
    else:
        console.print(
            f"Sealed {found['rows']:,} rows: batch {found['batch']:,}, the log has {found['size']:,} leaves"
        )
        console.print(f"  root        {found['root']}")
        console.print(f"  checkpoint  {escape(found['checkpoint'])}", soft_wrap=True)
        if found["quorum"] is None:
            console.print("  NOT YET WITNESSED: no policy asks for witnesses")
        else:
            state = "WITNESSED" if found["quorum"] else "NOT YET WITNESSED"
            console.print(f"  {state}, the policy asks for {escape(found['quorum_wanted'])}:")
        for one in found["witnesses"]:
            said = one["trouble"] or f"{one['name']} cosigned at {one['cosigned_at']}"
            console.print(f"    {escape(said)}", soft_wrap=True)
    for one in found["left_out"]:
        said = f"LEFT OUT: {one['stream']} {one['chain']}: {one['reason']}"
        console.print(f"  {escape(said)}", soft_wrap=True)
