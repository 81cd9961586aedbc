"""``tally bench``: run the measures, print a table, write ``var/bench/bench.json``.

Exit codes: 0 every bound holds, 1 some bound is missed, 2 a measure could not run.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from tally.bench.bench_stack import LARGE_CACHE, BenchStack, bench_stack
from tally.bench.bundling import bundling
from tally.bench.figures import Figure, table
from tally.bench.inference import serving
from tally.bench.ingest import against_raw_copy, small_requests
from tally.bench.reconciliation import faults, report, ten_million_deposits
from tally.bench.reconciliation_data import Shape
from tally.bench.sealing import sealing
from tally.bench.volume import ten_million
from tally.files import write_atomically
from tally.settings import Settings

Measure = Callable[[BenchStack], list[Figure]]
"""Each gets a server of its own.  Memory and disk never touched before cost the kernel more than those that
were, so volume comes first: its last million is not compared with a first that others made room for."""

FULL: Final[dict[str, Measure]] = {
    "volume": lambda stack: ten_million(stack, millions=10, verifications=3),
    "ingest": lambda stack: against_raw_copy(stack, rounds=5, requests=1_000),
    "small": lambda stack: small_requests(stack, rounds=3, seconds=8),
    "sealing": lambda stack: sealing(stack, requests=10_000, rounds=3, load_requests=6_000),
    "bundle": lambda stack: bundling(stack, requests=1_000, rounds=5),
    "inference": lambda stack: serving(stack, rounds=5, seconds=15),
    "faults": lambda stack: faults(stack, seeds=30, per_day=2_500),
    "reconciliation": lambda stack: ten_million_deposits(stack) + report(stack, per_day=2_500),
}
QUICK: Final[dict[str, Measure]] = {
    "volume": lambda stack: ten_million(stack, millions=2, verifications=1),
    "ingest": lambda stack: against_raw_copy(stack, rounds=1, requests=100),
    "small": lambda stack: small_requests(stack, rounds=1, seconds=2),
    "sealing": lambda stack: sealing(stack, requests=300, rounds=1, load_requests=300),
    "bundle": lambda stack: bundling(stack, requests=20, rounds=1),
    "inference": lambda stack: serving(stack, rounds=1, seconds=3),
    "faults": lambda stack: faults(stack, seeds=2, per_day=250),
    "reconciliation": lambda stack: (
        ten_million_deposits(stack, shape=Shape(days=2, machines=20, sites=10)) + report(stack, per_day=250)
    ),
}
_SERVERS: Final = {"reconciliation": LARGE_CACHE}
"""Settings of the server of a measure, where they differ."""
_BUSY: Final = 0.5
"""A load average above it means that somebody else wants the processors too."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    only: Annotated[
        list[str] | None, typer.Option(help=f"Only this measure: {', '.join(FULL)}; may be repeated.")
    ] = None,
    quick: Annotated[
        bool, typer.Option(help="Small numbers, to see that it runs; not to be quoted.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure this machine: ingest, volume, verification, sealing, bundles, inference, reconciliation.

    Example: tally bench --only small
    """
    measures = QUICK if quick else FULL
    if unknown := set(only or ()) - measures.keys():
        raise typer.BadParameter(
            f"no measure is called {', '.join(unknown)}; there are {', '.join(measures)}"
        )
    busy = os.getloadavg()[0]
    if busy > _BUSY:
        typer.echo(f"tally bench: the machine is busy already (load {busy:.1f}): not to be quoted", err=True)
    progress = Console(stderr=True, quiet=not sys.stderr.isatty())
    figures: list[Figure] = []
    for name in only or measures:
        progress.print(f"measuring {name} ...")
        with bench_stack(_SERVERS.get(name)) as stack:
            figures += measures[name](stack)
    result = _result(figures, quick=quick, busy=busy)
    path = Settings().var_dir / "bench" / "bench.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(result, indent=2) + "\n")
    if as_json:
        print(json.dumps(result))  # noqa: T201
    else:
        Console(width=None if sys.stdout.isatty() else 120).print(table(figures))
    raise typer.Exit(0 if result["good"] else 1)


def _result(figures: list[Figure], *, quick: bool, busy: float) -> dict[str, Any]:
    return {
        "good": all(figure.good for figure in figures),
        "quick": quick,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": round(busy, 2),
        },
        "figures": [figure.to_json() for figure in figures],
    }


def main(arguments: list[str]) -> int:
    """Run it with these arguments; returns the exit code."""
    status = app(args=arguments, prog_name="tally bench", standalone_mode=False)
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
