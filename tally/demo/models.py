"""The chapters on models: one is trained, refused, approved and promoted; a second one comes and goes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import inference.spec
from tally.demo.counts import shadow_answers
from tally.demo.stage import Stage
from tally.demo.story import Story
from tally.errors import TallyError

MODEL: Final = "waste-sensors"
_TRAINER: Final = "ada"
_SEATED_S: Final = 10.0
_BACK_S: Final = 2.0
_BESIDE: Final = (
    "--machines", "2", "--sites", "2", "--seed", "8", "--fleet", "beside", "--duration", "20m",
    "--start", "2026-01-05T01:00:00Z", "--step", "60s", "--deposits", "2500", "--no-faults",
)  # fmt: skip


def first(story: Story, on: Stage) -> None:
    """Train; promotion is refused until somebody else has approved."""
    trained = _train(story, on, MODEL)
    version = trained["version"]
    refusal = on.tally("models", "promote", MODEL, version).get("error", {})
    rules = refusal.get("details", {}).get("rules", [])
    story.say(f"$ tally models promote {MODEL} {version}")
    story.say(f"  [red]refused[/], {sum(rule['passed'] for rule in rules)} of {len(rules)} rules pass:")
    for rule in rules:
        if rule["passed"]:
            story.say(f"  [green]✓[/] {rule['rule']:<20} {_short(rule['found'])}")
        else:
            story.say(f"  [red]✗[/] {rule['rule']:<20} {rule['found']}; expected: {rule['expected']}")
    missed = [rule["rule"] for rule in rules if not rule["passed"]]
    story.check(
        missed == ["approval_present"] and on.champion(MODEL) is None,
        "good figures are not enough: it is not served before somebody else has approved it",
    )
    _promoted(story, on, version, "figures and card seen")
    story.summary["first_model"] = {"trained": trained, "refusal": refusal}


def second(story: Story, on: Stage, folder: Path) -> None:
    """Another version answers in shadow, is promoted, and is rolled back."""
    before = on.champion(MODEL)
    trained = _train(story, on, str(_other_spec(folder)), "--trials", "2")
    version = trained["version"]
    on.tally("models", "shadow", MODEL, version, "--note", "beside the champion first")
    on.wait_seated(MODEL, version, "shadow", _SEATED_S)
    report = on.tally("generate", "faster", *_BESIDE, *on.predict_options())
    shadow = shadow_answers(on.audit_url, version, report["predictions"]["answered"])
    story.say(
        f"in shadow it answered {shadow['answers']} of {report['predictions']['answered']} deposits too, "
        f"{shadow['agree']} like the champion: on record, none returned"
    )
    returned = {model["version"] for model in report["predictions"]["models"]}
    story.check(
        returned == {before} and shadow["answers"] > 0, "every answer that was returned is the champion's"
    )
    _promoted(story, on, version, "agrees with the champion in shadow")
    asked = time.monotonic()
    taken = on.tally("models", "rollback", MODEL, "--note", "the demo goes back")
    seconds = on.wait_seated(MODEL, str(before), "champion", _SEATED_S) - asked
    story.say(f"$ tally models rollback {MODEL}    {version} → {taken['state']['champion']}")
    story.check(
        on.champion(MODEL) == before and seconds < _BACK_S,
        f"{before} answers again {seconds:.1f} s after the command was typed, nothing was restarted",
    )
    _history(story, on)
    story.summary["second_model"] = {"trained": trained, "shadow": shadow, "rollback_seconds": seconds}


def _train(story: Story, on: Stage, spec: str, *options: str) -> dict[str, Any]:
    trained = on.tally("train", spec, "--actor", _TRAINER, *options)
    metrics = trained["metrics"]
    took = f"{trained['seconds']:.0f} s, {trained['estimator']}"
    story.say(f"$ tally train {Path(spec).name} {' '.join(('--actor', _TRAINER, *options))}    {took}")
    story.say(
        f"  {trained['version']}: accuracy {metrics['accuracy']:.3f}, macro F1 {metrics['macro_f1']:.3f}, "
        f"calibration error {metrics['ece']:.3f}, on rows it had not seen"
    )
    return trained


def _promoted(story: Story, on: Stage, version: str, note: str) -> None:
    steps = [
        on.tally("models", "approve", MODEL, version, "--note", note),
        on.tally("models", "promote", MODEL, version),
    ]
    for word, step in zip(("approved by approver", "promoted by operator"), steps, strict=True):
        at = step["position"]
        story.say(f"  {word}: {at['stream']} {at['chain']}, row {at['seq']}, hash {at['row_hash'][:16]}")
    on.wait_seated(MODEL, version, "champion", _SEATED_S)
    story.check(on.champion(MODEL) == version, f"{version} is the champion")


def _history(story: Story, on: Stage) -> None:
    """The whole life of the model, and that its chain verifies."""
    history = on.tally("models", "history", MODEL)
    story.say(f"$ tally models history {MODEL}")
    for step in history["steps"]:
        at = step["position"]
        story.say(
            f"  row {at['seq']:>2}  {step['action']:<12} {step['version']:<20} by {step['actor']:<9} "
            f"{at['row_hash'][:16]}"
        )
    report = on.tally("verify", "--stream", "governance", "--machine", MODEL)
    story.say(f"$ {history['verify']}    {report['rows']} rows")
    story.check(
        report["ok"] and report["rows"] == len(history["steps"]),
        "the model's life is a chain of the ledger like any other, and it verifies",
    )
    story.summary["history"] = {"steps": history["steps"], "verification": report}


def _other_spec(folder: Path) -> Path:
    """The packaged specification with other rows to train on."""
    text = (Path(inference.spec.__file__).with_name("specs") / f"{MODEL}.yaml").read_text(encoding="utf-8")
    other = text.replace("rows: 8000", "rows: 5000").replace("seed: 1", "seed: 2")
    if other == text:
        raise TallyError(f"the specification {MODEL} has other rows and seed than the demo expects")
    path = folder / f"{MODEL}-2.yaml"
    path.write_text(other, encoding="utf-8")
    return path


def _short(found: str) -> str:
    """A digest is cut."""
    return f"{found[:16]}..." if len(found) == 64 and " " not in found else found
