"""The `tally` command: `tally --help`.

Exit codes: 0 good, 1 the check found something, 2 it could not run, 130 interrupted.  An error is one line on
stderr; TALLY_DEBUG=1 shows where it came from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer
from typer.exceptions import Abort, TyperException

from tally.commands import (
    database,
    forwarded,
    keys,
    log,
    models,
    prove,
    reconcile,
    report,
    retention,
    reviews,
    sample,
    stack,
    witness,
)
from tally.commands.bundle import bundle
from tally.commands.train import train
from tally.commands.verify import verify
from tally.console import COULD_NOT_RUN, GOOD, INTERRUPTED, fail

_HELP = {"help_option_names": ["-h", "--help"]}
_FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer(
    name="tally",
    help="Tamper-evident telemetry for machines that report ESG figures.",
    epilog="Exit codes: 0 good, 1 the check found something, 2 it could not run. TALLY_DEBUG=1 shows where.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=_HELP,
)
db = typer.Typer(help="The embedded database.", no_args_is_help=True, context_settings=_HELP)
app.command()(stack.up)
app.command()(stack.down)
app.command()(stack.status)
app.command()(stack.logs)
app.add_typer(db, name="db")
db.command()(database.start)
db.command()(database.stop)
db.command()(database.url)
db.command()(database.psql)
app.command()(database.migrate)
app.command()(verify)
app.command()(reconcile.reconcile)
app.command()(report.report)
app.command()(report.explain)
app.command()(report.correct)
app.command()(reconcile.export)
app.command()(bundle)
app.add_typer(sample.app, name="sample", context_settings=_HELP)
app.command()(train)
app.add_typer(models.app, name="models", context_settings=_HELP)
app.add_typer(reviews.app, name="reviews", context_settings=_HELP)
app.add_typer(keys.app, name="keys", context_settings=_HELP)
app.command()(log.seal)
app.command()(prove.prove)
app.command()(prove.prove_consistency)
app.add_typer(retention.app, name="retention", context_settings=_HELP)
app.add_typer(witness.app, name="witness", context_settings=_HELP)
app.command(context_settings=_FORWARD, add_help_option=False)(forwarded.generate)
app.command(context_settings=_FORWARD, add_help_option=False)(forwarded.bench)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    debug = os.environ.get("TALLY_DEBUG", "") not in {"", "0"}
    try:
        status = app(args=arguments, prog_name="tally", standalone_mode=False)
    except TyperException as error:
        if message := error.format_message():  # without arguments the help was shown already
            fail(f"{message} (see `{_command(error)} --help`)")
        return COULD_NOT_RUN
    except (Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SystemExit:  # Typer's only one here: the reader of our output, like `head`, has gone
        return GOOD
    except Exception as error:
        if debug:
            raise
        fail(_in_words(error))
        return COULD_NOT_RUN
    return status if isinstance(status, int) else GOOD


def _command(error: TyperException) -> str:
    """The command that was mistyped, whose help tells more."""
    context = getattr(error, "ctx", None)
    return "tally" if context is None else str(context.command_path)


def _in_words(error: Exception) -> str:
    """An error of ours speaks for itself; one that nobody foresaw is named with its type."""
    ours = type(error).__module__.split(".")[0] in {
        "tally",
        "store",
        "ledger",
        "audit",
        "generator",
        "collector",
        "inference",
        "outbox",
        "service",
        "witness",
    }
    text = str(error).strip()
    return text if ours and text else f"{type(error).__name__}: {text} (TALLY_DEBUG=1 shows where)"


if __name__ == "__main__":
    sys.exit(main())
