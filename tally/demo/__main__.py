"""The demo's story: a fleet streams and is classified, somebody cheats, the ledger says where.

Exit codes: 0 everything went as it should, 1 something did not (the last lines say what), 2 could not run.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from tally.demo import audit, evidence, fleet, models, report, reviews, witnessed
from tally.demo.auditor import Auditor
from tally.demo.stage import Stage, stage
from tally.demo.story import Story, console
from tally.errors import TallyError
from tally.files import write_atomically
from tally.settings import Settings


def play(story: Story, on: Stage, folder: Path, auditor: Auditor) -> None:
    """The chapters after the stack is up."""
    with story.chapter("A model is trained; nobody promotes it alone"):
        models.first(story, on)
    with story.chapter("A fleet of 20 machines streams an hour of its life; each deposit is classified"):
        fleet.stream(story, on, folder)
    with story.chapter("What the models were not sure of waits for a human"):
        reviews.decide_one(story, on, folder)
    with story.chapter("A second model in shadow, promoted, rolled back"):
        models.second(story, on, folder)
    with story.chapter("A real machine's temperature is replayed"):
        fleet.replay(story, on)
    with story.chapter("An auditor verifies the ledger"):
        audit.verify(story, on, "before")
    with story.chapter("The operator cheats, as database superuser"):
        target = audit.cheat(story, on)
    with story.chapter("The auditor verifies again"):
        audit.expose(story, on, target)
        report.refuse(story, on, folder)
    with story.chapter("The value is put back"):
        audit.restore(story, on, target)
    with story.chapter("The auditor's report: what was claimed, what the evidence supports"):
        report.write(story, on, folder)
    with story.chapter("The same report from Parquet and SQL, without the operator"):
        report.recompute(story, on, folder)
    with story.chapter("An auditor's witness cosigns the log"):
        witnessed.witness(story, on, auditor)
    with story.chapter("The operator rewrites history without a flaw; the witness's policy exposes it"):
        witnessed.rewrite(story, on, folder, auditor)
    with story.chapter("A bundle of evidence, taken to an empty folder"):
        evidence.carry_home(story, on, folder, auditor)


def _end(story: Story, folder: Path, seconds: float) -> None:
    summary = {"ok": not story.failures, "failures": story.failures, **story.summary}
    summary["total_seconds"] = round(seconds, 1)
    write_atomically(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    rows = story.summary["verification_after"]["rows"]
    console.rule(style="dim")
    if story.failures:
        console.print(f"[red bold]The demo failed:[/] {'; '.join(story.failures)}")
    else:
        console.print(
            f"[bold green]All of it held.[/]  {rows:,} rows came in over OTLP, were chained and committed;\n"
            "models were trained, approved, promoted and rolled back, each step and each answer a row;\n"
            "one changed value was named by stream, machine and row; put back, the ledger verifies again;\n"
            "the report names the faults that the fleet had, and DuckDB computes it byte for byte "
            "from an export;\n"
            "a history rewritten without a flaw was exposed by a head that a witness had cosigned;\n"
            "a bundle proved itself, and was disproved by one bit, where there was nothing but Python."
        )
    console.print(f"\nIn {seconds:.0f} s.  Every figure: {_shown(folder / 'summary.json')}")
    console.print(f"The report: {_shown(folder / 'report' / 'report.html')} (and PDF, XLSX, CSV, JSON)")
    console.print(f"The evidence to take home: {_shown(folder / 'evidence.zip')}")
    console.print(f"The faults that the fleet had: {_shown(folder / 'manifest.jsonl')}")
    console.print(f"Logs: {_shown(folder / 'stack' / 'log')}")
    console.print(
        "Next: [bold]make up[/] runs the stack until Ctrl-C; [bold].venv/bin/tally --help[/] lists the rest."
    )


def _shown(path: Path) -> str:
    """A path as a person in the checkout would type it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def main() -> int:
    """Play the demo; returns the exit code."""
    started = time.monotonic()
    folder = Settings().var_dir / "demo"
    story = Story()
    console.print("[bold]Tally[/]: telemetry that an auditor can check down to the row")
    try:
        with ExitStack() as stack:
            with story.chapter("Database, collector, inference service and sealer start"):
                found = fleet.photos()
                auditor = stack.enter_context(Auditor(folder / "auditor"))
                photo_roots = [] if found is None else [found]
                on = stack.enter_context(stage(folder / "stack", photo_roots, auditor.agree))
            play(story, on, folder, auditor)
    except TallyError as error:
        Console(stderr=True).print(f"[red]tally demo:[/] {error}")
        return 2
    _end(story, folder, time.monotonic() - started)
    return 1 if story.failures else 0


if __name__ == "__main__":
    sys.exit(main())
