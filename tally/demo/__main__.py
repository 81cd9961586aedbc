"""The demo's story: a fleet streams, the ledger verifies, somebody cheats, the ledger says who and where.

Exit codes: 0 everything went as it should, 1 something did not (the last lines say what), 2 could not run.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from tally.demo import attack
from tally.demo.counts import oddities_in_time, rows_by_stream
from tally.demo.stage import Stage, stage
from tally.errors import TallyError
from tally.files import write_atomically
from tally.settings import Settings

_FLEET: Final = ("--machines", "20", "--sites", "5", "--seed", "7", "--fleet", "demo")
_REPLAYED: Final = "nab-machine"
_SERIES: Final = Path("shared/data/nab/realKnownCause/machine_temperature_system_failure.csv")

console = Console(width=110, highlight=False)


class Story:
    """Tells what happens and keeps what came out; a check that fails makes the whole demo fail."""

    def __init__(self) -> None:
        self.summary: dict[str, Any] = {}
        self.failures: list[str] = []
        self._number = 0

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """A numbered step; its time is kept."""
        self._number += 1
        console.print(f"\n[bold]{self._number}. {title}[/]")
        started = time.monotonic()
        yield
        self.summary.setdefault("seconds", {})[title] = round(time.monotonic() - started, 1)

    def say(self, text: str) -> None:
        """A line of the story."""
        console.print(f"   {text}")

    def check(self, holds: bool, claim: str) -> None:
        """A claim that the demo makes good or fails."""
        console.print(f"   [green]✓[/] {claim}" if holds else f"   [red]✗ NOT SO:[/] {claim}")
        if not holds:
            self.failures.append(claim)


def play(story: Story, on: Stage, folder: Path) -> None:
    """The chapters after the stack is up."""
    with story.chapter("A fleet of 20 machines streams an hour of its life, faster than it passes"):
        _stream(story, on, folder)
    with story.chapter("A real machine's temperature is replayed"):
        _replay(story, on)
    with story.chapter("An auditor verifies the ledger"):
        _verify(story, on, "before")
    with story.chapter("The operator cheats, as database superuser"):
        target = _attack(story, on)
    with story.chapter("The auditor verifies again"):
        _expose(story, on, target)
    with story.chapter("The value is put back"):
        attack.write(on.admin_url, target, target.mass_mg)
        _verify(story, on, "after")


def _stream(story: Story, on: Stage, folder: Path) -> None:
    manifest = folder / "manifest.jsonl"
    start = datetime.fromtimestamp(time.time() - 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    when = ("--start", start, "--duration", "60m", "--at-least", "1", "--deposits", "2500")
    story.say("through the stock OpenTelemetry SDK exporters: half of the machines gRPC, half HTTP")
    report = on.tally("generate", "faster", *_FLEET, *when, "--manifest", str(manifest))
    story.summary["fleet"] = report
    sent = {stream: count for stream, count in report["rows_by_stream"].items() if count}
    for stream, count in sent.items():
        story.say(f"{count:>8,} rows of {stream}")
    faults = sum(report["faults"].values())
    story.say(f"{faults} faults of {len(report['faults'])} kinds are among them, listed in manifest.jsonl")
    found = rows_by_stream(on.audit_url)
    story.check(
        report["good"] and all(found[stream] == count for stream, count in sent.items()),
        "every record that was acknowledged is in the ledger, once",
    )


def _replay(story: Story, on: Stage) -> None:
    series = _series()
    if series is None:
        story.say(
            "skipped: the Numenta Anomaly Benchmark's file is not there; to have it replayed, put it at"
        )
        story.say(f"../{_SERIES}, beside the checkout")
        story.summary["replay"] = None
        return
    metric = ("--metric", "hw.temperature", "--unit", "Cel", "--machine", _REPLAYED)
    report = on.tally("generate", "replay", "--csv", str(series), *metric)
    odd = oddities_in_time(on.audit_url, _REPLAYED)
    story.summary["replay"] = {"sent": report, "in_ledger": odd}
    story.say(f"{report['rows']:,} readings of an industrial machine, as they were recorded")
    story.check(
        report["good"] and odd["rows"] == report["rows"], "all of them are in the ledger, in their order"
    )
    story.check(
        all(odd[name] == report[name] for name in odd),
        f"{odd['repeated_timestamps']} repeated timestamps and {odd['backward_jumps']} backward clock jump "
        "are kept, and counted as such",
    )


def _verify(story: Story, on: Stage, when: str) -> None:
    report = on.tally("verify")
    story.summary[f"verification_{when}"] = report
    story.say(f"$ tally verify    {report['rows']:,} rows in {report['chains']:,} chains")
    story.check(report["ok"], "INTACT: every row is the one that its chain was built with, none is missing")


def _attack(story: Story, on: Stage) -> attack.Target:
    target = attack.choose(on.admin_url)
    before = attack.reported_mg(on.admin_url)
    answer = attack.refused(on.admin_url, target)
    story.say(f"a plain UPDATE does not work: {answer}")
    attack.write(on.admin_url, target, target.forged_mg)
    after = attack.reported_mg(on.admin_url)
    story.say("so the trigger is switched off, one value changed, the trigger switched on again:")
    story.say(
        f"one {target.material} deposit of {target.mass_mg / 1000:,.1f} g "
        f"now weighs {target.forged_mg / 1000:,.1f} g;"
    )
    story.say(f"the mass that the fleet has recycled rises from {before / 1e6:,.2f} to {after / 1e6:,.2f} kg")
    story.summary["attack"] = {
        "stream": "transactions",
        "machine": target.machine,
        "seq": target.seq,
        "column": "mass_mg",
        "from": target.mass_mg,
        "to": target.forged_mg,
        "figure_mg": {"before": before, "after": after},
    }
    return target


def _expose(story: Story, on: Stage, target: attack.Target) -> None:
    report = on.tally("verify")
    story.summary["verification_attacked"] = report
    story.say(f"$ tally verify    {report['rows']:,} rows in {report['chains']:,} chains")
    for found in report["breaks"]:
        story.say(f"[red]BROKEN[/]  {found['stream']} {found['chain']} row {found['seq']}: {found['kind']}")
    named = [(found["stream"], found["chain"], found["seq"]) for found in report["breaks"]]
    story.check(
        not report["ok"] and named == [("transactions", target.machine, target.seq)],
        "it names exactly the stream, the machine and the row, and nothing else",
    )


def _series() -> Path | None:
    """The real series, if the data folder lies beside the checkout."""
    checkout = Path(__file__).resolve().parents[2]
    path = checkout.parent / _SERIES
    return path if path.is_file() else None


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
            "one changed value was named by stream, machine and row; put back, the ledger verifies again."
        )
    console.print(f"\nIn {seconds:.0f} s.  Every figure: {_shown(folder / 'summary.json')}")
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
            with story.chapter("Database and collector start"):
                on = stack.enter_context(stage(folder / "stack"))
            play(story, on, folder)
    except TallyError as error:
        Console(stderr=True).print(f"[red]tally demo:[/] {error}")
        return 2
    _end(story, folder, time.monotonic() - started)
    return 1 if story.failures else 0


if __name__ == "__main__":
    sys.exit(main())
