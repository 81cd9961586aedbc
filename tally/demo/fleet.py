"""The chapters that send: a fleet whose deposits are classified, and a real machine's temperature."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tally.demo.counts import oddities_in_time, rows_by_stream
from tally.demo.stage import Stage
from tally.demo.story import Story

FLEET: Final = "demo"
_SHAPE: Final = ("--machines", "20", "--sites", "5", "--seed", "7", "--fleet", FLEET)
_BUSY_UTC: Final = 1
"""The fleet stands in Australia, where it is late morning then: whenever the demo runs, it has much to do."""
_REPLAYED: Final = "nab-machine"
_SERIES: Final = Path("nab/realKnownCause/machine_temperature_system_failure.csv")
_PHOTOS: Final = Path("trashnet/images")
_DATA: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
_FORWARDED_S: Final = 20.0
_LEAST_RIGHT: Final = {"photo": 0.85, "readings": 0.93}


def photos() -> Path | None:
    """TrashNet's photos by class, if the data folder lies beside the checkout."""
    folder = _DATA / _PHOTOS
    return folder if folder.is_dir() else None


def stream(story: Story, on: Stage, folder: Path) -> None:
    """An hour of the fleet's life, every deposit classified by the model that was promoted."""
    manifest = folder / "manifest.jsonl"
    when = ("--start", _start(), "--duration", "60m", "--at-least", "1", "--deposits", "500")
    story.say("through the stock OpenTelemetry SDK exporters: half of the machines gRPC, half HTTP")
    cameras = photos()
    if cameras is not None and on.champion("waste-photos") is not None:
        story.say("half of the machines send the readings of their sensors, half send photos of TrashNet,")
        story.say("most of which the model was trained on: what it reaches on others is in its card")
        given: tuple[str, ...] = ("--photos", str(cameras))
    else:
        story.say("all machines send sensor readings: there are no photos at ../shared/data/trashnet")
        given = ()
    asked = (*on.predict_options(), *given, "--answers", str(folder / "answers.jsonl"))
    report = on.tally("generate", "faster", *_SHAPE, *when, *asked, "--manifest", str(manifest))
    story.summary["fleet"] = report
    sent = {name: count for name, count in report["rows_by_stream"].items() if count}
    for name, count in sent.items():
        story.say(f"{count:>8,} rows of {name}")
    faults = sum(report["faults"].values())
    story.say(f"{faults} faults of {len(report['faults'])} kinds are among them, listed in manifest.jsonl")
    found = _arrived(on, sent)
    story.check(
        report["good"] and all(found[name] == count for name, count in sent.items()),
        "every record that was acknowledged is in the ledger, once, and a row for every answer",
    )
    _accuracy(story, report["predictions"])


def _accuracy(story: Story, answers: dict[str, Any]) -> None:
    for model in answers["models"]:
        unsure = model["low_confidence"] / model["answered"]
        story.say(
            f"{model['model']:<14} {model['answered']:>4} answers from {model['input']:<9} "
            f"{model['accuracy']:>6.1%} right  {unsure:>5.1%} unsure, left to a human"
        )
    wanted = {model["input"]: _LEAST_RIGHT[model["input"]] for model in answers["models"]}
    story.check(
        bool(wanted) and all(model["accuracy"] >= wanted[model["input"]] for model in answers["models"]),
        "right, by what the simulation knows to be true: at least "
        + ", ".join(f"{least:.0%} from {given}" for given, least in wanted.items()),
    )


def _arrived(on: Stage, sent: dict[str, int]) -> dict[str, int]:
    """Rows in the ledger, when the answers have come out of the service's outbox."""
    deadline = time.monotonic() + _FORWARDED_S
    while True:
        found = rows_by_stream(on.audit_url)
        if found["predictions"] >= sent.get("predictions", 0) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _start() -> str:
    """The latest busy hour that is over."""
    now = datetime.now(UTC)
    start = now.replace(hour=_BUSY_UTC, minute=0, second=0, microsecond=0)
    if start + timedelta(hours=1) > now:
        start -= timedelta(days=1)
    return start.strftime("%Y-%m-%dT%H:%M:%SZ")


def replay(story: Story, on: Stage) -> None:
    """A real series, with all that is odd about its times."""
    series = _DATA / _SERIES
    if not series.is_file():
        story.say(
            "skipped: the Numenta Anomaly Benchmark's file is not there; to have it replayed, put it at"
        )
        story.say(f"../shared/data/{_SERIES}, beside the checkout")
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
