"""``python -m audit verify``: the auditor without the rest of Tally.

Exit codes: 0 nothing is broken, 1 something is, 2 the check could not run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console

from audit.errors import AuditError, unforeseen
from audit.text import report_text, twin_text
from audit.twin import verify_twin
from audit.verify import verify
from ledger.errors import LedgerError
from ledger.streams import STREAMS
from store.errors import StoreError


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; write it like 2026-01-31T00:00:00Z"
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m audit", description="Check the ledger against itself.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "verify",
        help="recompute every hash chain and compare it with what is stored",
        description="Recompute every hash chain and compare it with what is stored.",
        epilog="Example: python -m audit verify --stream telemetry --machine rvm-0003 --since 2026-03-01.  "
        "Exit codes: 0 nothing is broken, 1 something is, 2 the check could not run.",
    )
    check.add_argument(
        "--url",
        default=os.environ.get("TALLY_AUDIT_DATABASE_URL") or os.environ.get("TALLY_DATABASE_URL"),
        help="the database (default: TALLY_AUDIT_DATABASE_URL, else TALLY_DATABASE_URL)",
    )
    check.add_argument(
        "--stream",
        action="append",
        metavar="NAME",
        choices=list(STREAMS),
        help="only this one; may be repeated",
    )
    check.add_argument("--machine", help="only this machine's chains (a model's, in governance)")
    check.add_argument(
        "--since", type=_moment, metavar="TIME", help="only rows from this event time on (ISO 8601, UTC)"
    )
    check.add_argument("--until", type=_moment, metavar="TIME", help="only rows before this event time")
    check.add_argument(
        "--processes", type=_positive, metavar="N", help="processes to use (default: one a processor)"
    )
    check.add_argument(
        "--twin", action="store_true", help="also compute every hash inside PostgreSQL and compare"
    )
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    if not options.url:
        return _fail("no database: give --url or set TALLY_AUDIT_DATABASE_URL")
    try:
        report = verify(
            options.url, options.stream, options.machine, options.since, options.until, options.processes
        )
        twin = verify_twin(options.url, options.stream) if options.twin else None
    except (AuditError, StoreError, LedgerError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001  (one line, never a traceback)
        return _fail(str(unforeseen(error)))
    if options.json:
        result = report.to_json() | ({} if twin is None else {"twin": twin.to_json()})
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        console = Console(color_system=None, highlight=False)
        console.print(report_text(report))
        if twin is not None:
            console.print(twin_text(twin))
    return 0 if report.ok and (twin is None or twin.ok) else 1


def _fail(message: str) -> int:
    sys.stderr.write(f"audit: {message.splitlines()[0]}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
