"""The chapter on people: what the models were not sure of waits for one, whose word goes on record."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from tally.demo.counts import review_row
from tally.demo.stage import Stage
from tally.demo.story import Story

_QUEUED_S: Final = 15.0


def decide_one(story: Story, on: Stage, folder: Path) -> None:
    """The queue's length; its oldest item is leased and decided."""
    unsure = story.summary["fleet"]["predictions"]["low_confidence"]
    waiting = _queued(on, unsure)
    story.say("$ tally reviews list")
    for reason, count in waiting.items():
        story.say(f"  {count:>4} wait, {reason.replace('_', ' ')}")
    leased = on.tally("reviews", "next", "--as", "reviewer")["items"]
    story.check(
        waiting.get("low_confidence", 0) == unsure and len(leased) == 1,
        f"each of the {unsure} answers below the threshold waits for a human",
    )
    if not leased:
        return
    item = leased[0]
    truth = _truth(folder, item["prediction_id"])
    right = truth in {item["predicted"], *item["covers"]}
    words = ("confirmed",) if right else ("corrected", "--material", truth)
    done = on.tally(
        "reviews", "decide", item["prediction_id"], *words, "--token", item["lease_token"], "--as", "reviewer"
    )
    row = review_row(on.audit_url, done["review_id"])
    story.say(
        f"one of {item['machine_id']}: {item['predicted']}, {item['confidence']:.0%} sure; "
        f"the reviewer saw {truth}: {done['decision']}"
    )
    story.check(
        row is not None and row["decision"] == done["decision"] and row["reviewer"] == "reviewer",
        "the decision is on record"
        + (
            "" if row is None else f": reviews {row['machine_id']}, row {row['seq']}, hash {row['hash'][:16]}"
        ),
    )
    story.summary["review"] = {"waiting": waiting, "item": item, "truth": truth, "decided": done, "row": row}


def _queued(on: Stage, unsure: int) -> dict[str, int]:
    """Items that wait, by reason, when the queue has taken up the unsure ones."""
    deadline = time.monotonic() + _QUEUED_S
    while True:
        counts = on.tally("reviews", "list")["counts"]
        waiting = {count["reason"]: count["items"] for count in counts if count["state"] == "waiting"}
        if (waiting.get("low_confidence", 0) >= unsure and waiting) or time.monotonic() > deadline:
            return waiting
        time.sleep(0.2)


def _truth(folder: Path, prediction_id: str) -> str:
    """What the simulation knows of the deposit that a prediction is about."""
    answers: list[dict[str, Any]] = [
        json.loads(line) for line in (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    return next(str(one["material"]) for one in answers if one["prediction_id"] == prediction_id)
