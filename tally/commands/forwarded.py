"""``tally generate`` and ``tally bench``: commands whose options live with the program that does the work."""

from __future__ import annotations

import typer

from tally.console import GOOD


def generate(context: typer.Context) -> None:
    """Simulate a fleet and send it to a collector (`tally generate --help` lists what it can do).

    Every one of its commands has --json.

    Example: tally generate simulate --machines 20 --duration 10m --json
    """
    from generator.__main__ import app

    status = app(args=context.args, prog_name="tally generate", standalone_mode=False)
    raise typer.Exit(status if isinstance(status, int) else GOOD)


def bench(context: typer.Context) -> None:
    """Measure this machine: ingest, volume, verification, sealing, inference, reconciliation (has --json).

    Example: tally bench --json
    """
    from tally.bench.__main__ import main

    raise typer.Exit(main(context.args))
